package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// valueBehindBlank refuses --graceful 30s: the value of a flag that can stand without one is only
// taken behind =, and what stands behind a blank would be a job of that name, next to the one that
// is meant, for which the flag then counts without its value.
func valueBehindBlank(set *pflag.FlagSet, args []string) error {
	for n, a := range args[:max(len(args)-1, 0)] {
		if a == "--" {
			return nil
		}
		f := bareFlag(set, a)
		if f == nil {
			continue
		}
		if value, ok := meantFor(f, args[n+1]); ok {
			return usage("Write --"+f.Name+"="+value+"; a job of that name is DOMAIN/"+args[n+1]+", or stands behind --.",
				"--%s takes its value behind =, not as %q behind a blank", f.Name, args[n+1])
		}
	}
	return nil
}

// bareFlag is the flag that an argument gives without its value, though it has one; or nil.
func bareFlag(set *pflag.FlagSet, arg string) *pflag.Flag {
	var f *pflag.Flag
	if name, long := strings.CutPrefix(arg, "--"); long {
		f = set.Lookup(name)
	} else if name, short := strings.CutPrefix(arg, "-"); short && len(name) == 1 {
		f = set.ShorthandLookup(name)
	}
	if f == nil || f.NoOptDefVal == "" {
		return nil
	}
	return f
}

// meantFor tells a value of the flag's kind from a label, and writes it as the flag takes it.
func meantFor(f *pflag.Flag, arg string) (value string, ok bool) {
	if _, duration := f.Value.(*optional); !duration {
		arg = strings.ToLower(arg)
		return arg, arg == "true" || arg == "false"
	}
	if _, err := strconv.ParseUint(arg, 10, 32); err == nil {
		return arg + "s", true
	}
	_, err := time.ParseDuration(arg)
	return arg, err == nil
}
