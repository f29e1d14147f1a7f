package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

var fuzzExecs = regexp.MustCompile(`execs: (\d+)`)

// proveFuzz runs every fuzz test for a while. A case that fails is kept by go test below
// testdata/fuzz of its package, where every later test run tries it again.
func proveFuzz(ctx context.Context, r *report, d time.Duration, match string) {
	list, err := exec.CommandContext(ctx, "go", "test", "-list", "^Fuzz", "./...").Output()
	if err != nil {
		r.add(row{what: "fuzz", tried: "list the tests", failed: []string{err.Error()}})
		return
	}
	var names []string
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case strings.HasPrefix(fields[0], "Fuzz"):
			names = append(names, fields[0])
		case fields[0] == "ok" && len(fields) > 1:
			for _, name := range names { // names come before the line of their package
				if strings.Contains(fields[1]+" "+name, match) && ctx.Err() == nil {
					r.add(fuzzOne(ctx, fields[1], name, d))
				}
			}
			names = nil
		}
	}
}

func fuzzOne(ctx context.Context, pkg, name string, d time.Duration) row {
	began := time.Now()
	w := row{what: "fuzz " + name, tried: fmt.Sprintf("%s for %v", pkg[strings.LastIndex(pkg, "/hermes-gw")+1:], d)}
	output, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+name+"$", "-fuzztime", d.String(), pkg).CombinedOutput()
	if err != nil {
		w.failed = append(w.failed, fmt.Sprintf("%v\n%s", err, tail(output)))
	}
	all := fuzzExecs.FindAllStringSubmatch(string(output), -1)
	if len(all) > 0 {
		w.figure = all[len(all)-1][1] + " inputs, none failed"
	}
	w.took = time.Since(began)
	return w
}
