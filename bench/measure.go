package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// metric is something that is measured of one run of a method.
type metric string

// The metrics. Those in time are in nanoseconds.
const (
	total     metric = "total"           // from the call to its return, from the fork to the exit
	ready     metric = "ready"           // from the call until the job's new process says that it runs
	absent    metric = "without process" // from the exit of the old process to the spawn of the new one
	launchds  metric = "launchd"         // what launchd takes to stop, to reap and to spawn
	clients   metric = "client"          // total without that; to the spawn, where that comes later
	request   metric = "kickstart"       // from the request to its answer: launchd's side of it where there is a trace
	firstByte metric = "first byte"      // from the fork to the first byte at the server
	clientCPU metric = "client CPU"      // of this process, or of the programs that were run
	allocated metric = "bytes"           // allocated by this process
	objects   metric = "allocations"     // of this process
)

// metrics in the order in which they are told.
var metrics = []metric{total, ready, absent, launchds, clients, request, firstByte, clientCPU, allocated, objects}

func (m metric) unit() string {
	switch m {
	case allocated:
		return "B"
	case objects:
		return ""
	}
	return "ns"
}

// sample is what was measured of one run. A metric that it does not have was not to be had.
type sample map[metric]float64

// method is one way to have something done.
type method struct {
	Name    string
	What    string // one line for people
	measure func(context.Context) (sample, error)
}

// group is what is compared: methods that have the same done.
type group struct {
	Name      string
	What      string
	Reference string // the method that ratios are of
	burst     int    // runs of a method in a row, where one is very short
	Methods   []method
}

// choose keeps the methods that are named, all of them without names. A name is a group's, a
// method's, or both as group/method.
func choose(groups []group, names []string) ([]group, error) {
	if len(names) == 0 {
		return groups, nil
	}
	used := map[string]bool{}
	var chosen []group
	for _, g := range groups {
		all := g.Methods
		g.Methods = nil
		for _, m := range all {
			keep := false
			for _, n := range names {
				if n == g.Name || n == m.Name || n == g.Name+"/"+m.Name {
					used[n], keep = true, true
				}
			}
			if keep {
				g.Methods = append(g.Methods, m)
			}
		}
		if len(g.Methods) > 0 {
			chosen = append(chosen, g)
		}
	}
	for _, n := range names {
		if !used[n] {
			return nil, fmt.Errorf("--method %s: there is none; there are %s", n, strings.Join(methodNames(groups), ", "))
		}
	}
	return chosen, nil
}

func methodNames(groups []group) (names []string) {
	for _, g := range groups {
		for _, m := range g.Methods {
			names = append(names, g.Name+"/"+m.Name)
		}
	}
	return names
}

// mostStretches is into how many stretches a run is divided. What a machine does to one should not
// last into the next, so they are few and long; fewer would make Student's quantile large.
const mostStretches = 8

// shares divides pairs, rounded up to an even number, into stretches: each has as many rounds of
// two as the next, or one more.
func shares(pairs int) []int {
	rounds := (pairs + 1) / 2
	list := make([]int, min(mostStretches, rounds))
	for n := range list {
		list[n] = rounds*(n+1)/len(list) - rounds*n/len(list)
	}
	return list
}

// measured is what was measured of one method, by stretch of the run.
type measured [][]sample

// values are those of one metric.
func (m measured) values(of metric) [][]float64 {
	var all [][]float64
	for _, stretch := range m {
		var list []float64
		for _, s := range stretch {
			if v, ok := s[of]; ok {
				list = append(list, v)
			}
		}
		if len(list) > 0 {
			all = append(all, list)
		}
	}
	return all
}

// stretch runs every method of every group in rounds, burst times in a row each, and returns what
// was measured by the method's name. All groups take their turn in every round, so that what
// disturbs a run for a while disturbs them all; within a group the order of the methods is A B B A:
// whatever grows or shrinks steadily is the same for each. One round before is not counted.
func stretch(ctx context.Context, groups []group, rounds int) (map[string][]sample, error) {
	results := make(map[string][]sample)
	for n := range 1 + rounds {
		for _, g := range groups {
			got := make([][]sample, len(g.Methods))
			if err := g.round(ctx, got); err != nil {
				return nil, err
			}
			for i, m := range g.Methods {
				if name := g.Name + "/" + m.Name; n > 0 {
					results[name] = append(results[name], got[i]...)
				}
			}
		}
	}
	return results, nil
}

// round is A B B A.
func (g group) round(ctx context.Context, got [][]sample) error {
	order := make([]int, len(g.Methods))
	for i := range order {
		order[i] = i
	}
	for range 2 {
		for _, i := range order {
			for range max(g.burst, 1) {
				s, err := g.Methods[i].measure(ctx)
				if err != nil {
					return fmt.Errorf("%s/%s: %w", g.Name, g.Methods[i].Name, err)
				}
				got[i] = append(got[i], s)
			}
		}
		slices.Reverse(order)
	}
	return nil
}
