package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/hermes-gw/hermes-gw/internal/spell"
)

// unknownLong is about a flag that the verb has not: which verbs have it, or what it was meant to be.
func unknownLong(set *pflag.FlagSet, name, page string) error {
	if _, known := findFlag(name); !known {
		if like := spell.Nearest(name, flagNames(set)); like != "" {
			return usage("Did you mean --"+like+"? "+page, "unknown flag --%s", name)
		}
		if like := spell.Nearest(name, allFlags()); like != "" {
			return usage("Did you mean --"+like+", which only "+havers(like)+"? "+page, "unknown flag --%s", name)
		}
	}
	if has := havers(name); has != "" {
		return usage(page, "unknown flag --%s: only %s it", name, has)
	}
	return usage(page, "unknown flag --%s", name)
}

// unknownShort is the same of one letter, out of those behind a hyphen: they can also be a long flag's
// name.
func unknownShort(set *pflag.FlagSet, letter, letters, page string) error {
	if name, _, _ := strings.Cut(letters, "="); len(name) > 1 {
		if like := spell.Nearest(name, flagNames(set)); like != "" {
			return usage("Did you mean --"+like+"? "+page, "unknown flag -%s", name)
		}
	}
	for _, r := range flagTable() {
		switch {
		case r.short == "" || !strings.EqualFold(r.short, letter):
		case set.Lookup(r.name) != nil:
			return usage("Did you mean -"+r.short+", --"+r.name+"? "+page, "unknown flag -%s", letter)
		case r.short == letter:
			return usage(page, "unknown flag -%s: only %s -%s, --%s", letter, havers(r.name), r.short, r.name)
		default:
			return usage("Did you mean -"+r.short+", --"+r.name+", which only "+havers(r.name)+"? "+page, "unknown flag -%s", letter)
		}
	}
	for _, r := range flagTable() { // -j for --json
		if strings.HasPrefix(r.name, strings.ToLower(letter)) && set.Lookup(r.name) != nil {
			return usage("Did you mean --"+r.name+"? "+page, "unknown flag -%s", letter)
		}
	}
	return usage(page, "unknown flag -%s", letter)
}

func flagNames(set *pflag.FlagSet) (names []string) {
	set.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

func allFlags() (names []string) {
	for _, r := range flagTable() {
		if havers(r.name) != "" {
			names = append(names, r.name)
		}
	}
	return names
}
