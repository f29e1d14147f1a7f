package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"
)

// report is all that a run has to tell.
type report struct {
	Environment environment `json:"environment"`
	Pairs       int         `json:"pairs"`
	Took        float64     `json:"seconds"`
	Together    int         `json:"intervals"` // of medians and of ratios: with about 95 % confidence all of them hold
	Rows        []row       `json:"rows"`

	groups  []group
	results map[string]measured
}

// row is one metric of one method.
type row struct {
	Group     string `json:"group"`
	Method    string `json:"method"`
	Metric    metric `json:"metric"`
	Unit      string `json:"unit"`
	Reference string `json:"reference,omitempty"` // the method that the ratio is of
	summary
	// Ratio is null where there is none: for the reference itself, and where the intervals of
	// the two overlap.
	Ratio *ratio `json:"ratio"`

	overlap bool
}

func (r row) name() string { return r.Group + "/" + r.Method + " " + string(r.Metric) }

func newReport(e environment, pairs int, groups []group, results map[string]measured) *report {
	r := &report{Environment: e, Pairs: pairs, groups: groups, results: results}
	values := func(group, method string, m metric) [][]float64 { return results[group+"/"+method].values(m) }
	for _, g := range groups {
		for _, m := range metrics {
			reference := len(values(g.Name, g.Reference, m)) > 0
			for _, method := range g.Methods {
				if len(values(g.Name, method.Name, m)) == 0 {
					continue
				}
				row := row{Group: g.Name, Method: method.Name, Metric: m, Unit: m.unit()}
				r.Together++
				if reference && method.Name != g.Reference {
					row.Reference = g.Reference
					r.Together++
				}
				r.Rows = append(r.Rows, row)
			}
		}
	}
	base := map[string]interval{}
	for i := range r.Rows {
		row := &r.Rows[i]
		row.summary = summarize(values(row.Group, row.Method, row.Metric), r.Together)
		base[row.name()] = row.Interval
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Reference == "" {
			continue
		}
		reference := *row
		reference.Method = row.Reference
		if row.overlap = row.Interval.overlaps(base[reference.name()]); !row.overlap {
			row.Ratio = ratioOf(values(row.Group, row.Method, row.Metric), values(row.Group, row.Reference, row.Metric), r.Together)
		}
	}
	return r
}

// amount words a value for people, with three digits.
func amount(v float64, unit string) string {
	digits := func(v float64, unit string) string {
		decimals := 2
		switch {
		case v >= 99.95:
			decimals = 0
		case v >= 9.995:
			decimals = 1
		}
		return fmt.Sprintf("%.*f%s", decimals, v, unit)
	}
	switch {
	case math.IsNaN(v):
		return "-"
	case unit == "ns" && v >= 1e9:
		return digits(v/1e9, " s")
	case unit == "ns" && v >= 1e6:
		return digits(v/1e6, " ms")
	case unit == "ns":
		return digits(v/1e3, " µs")
	case unit == "B" && v >= 1<<20:
		return digits(v/(1<<20), " MiB")
	case unit == "B" && v >= 1<<10:
		return digits(v/(1<<10), " KiB")
	}
	return strings.TrimSpace(fmt.Sprintf("%.0f %s", v, unit))
}

// between words an interval.
func between(i interval, unit string) string {
	return amount(i.Low, unit) + " .. " + amount(i.High, unit)
}

// shown is the ratio's column.
func (r row) shown() string {
	switch {
	case r.Ratio != nil:
		return fmt.Sprintf("%.3g x (%.3g .. %.3g)", r.Ratio.Median, r.Ratio.Interval.Low, r.Ratio.Interval.High)
	case r.overlap:
		return "none: the intervals overlap"
	}
	return ""
}

func (r *report) text(out io.Writer) error {
	w := &strings.Builder{}
	e := r.Environment
	kind := "EMBEDDED LAUNCHD: a model, these are not figures of a Mac"
	if e.Live {
		kind = "LIVE: the launchd of this Mac, with a throwaway job"
	}
	fmt.Fprintf(w, "%s\n", kind)
	for _, line := range [][2]string{
		{"date", e.Date}, {"commit", e.Commit}, {"system", fmt.Sprintf("%s, %s, %d cores, load %s", e.System, e.CPU, e.Cores, e.Load)},
		{"go", e.Go + " " + e.Arch}, {"launchd", e.Launchd}, {"launchctl", e.Launchctl},
		{"run", fmt.Sprintf("%d pairs, after warm-ups, in %s", r.Pairs, time.Duration(r.Took*1e9).Round(100*time.Millisecond))},
		{"intervals", fmt.Sprintf("of about 95 %% confidence that all %d hold: of %d medians, and of %d ratios, told or not", r.Together, len(r.Rows), r.Together-len(r.Rows))},
	} {
		fmt.Fprintf(w, "%-10s %s\n", line[0], line[1])
	}
	for _, g := range r.groups {
		fmt.Fprintf(w, "\n%s: %s\n", g.Name, g.What)
		for _, m := range g.Methods {
			fmt.Fprintf(w, "  %-18s %s\n", m.Name, m.What)
		}
		fmt.Fprintln(w)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(table, "  metric\tmethod\tn\tmedian\t95 %% interval\tp90\tp99\tmax\tof %s, by pair\n", g.Reference)
		var last metric
		for _, row := range r.Rows {
			if row.Group != g.Name {
				continue
			}
			name := string(row.Metric)
			if row.Metric == last {
				name = ""
			}
			last = row.Metric
			fmt.Fprintf(table, "  %s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", name, row.Method, row.N, amount(row.Median, row.Unit),
				between(row.Interval, row.Unit), amount(row.P90, row.Unit), amount(row.P99, row.Unit), amount(row.Max, row.Unit), row.shown())
		}
		table.Flush()
	}
	_, err := io.WriteString(out, w.String())
	return err
}

func (r *report) json(out io.Writer) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", " ")
	return enc.Encode(r)
}

// against holds the rows against those of an earlier run, and tells in how many the intervals
// do not overlap.
func (r *report) against(earlier *report, out io.Writer) (apart int, err error) {
	before := map[string]row{}
	for _, row := range earlier.Rows {
		before[row.name()] = row
	}
	w := &strings.Builder{}
	compared := 0
	for _, row := range r.Rows {
		old, ok := before[row.name()]
		if !ok {
			continue
		}
		if compared++; !row.Interval.overlaps(old.Interval) {
			apart++
			fmt.Fprintf(w, "  %s: %s, and earlier %s\n", row.name(), between(row.Interval, row.Unit), between(old.Interval, old.Unit))
		}
	}
	head := fmt.Sprintf("\nof %d rows that the earlier run has, too, the intervals of %d do not overlap\n", compared, apart)
	if r.Together != earlier.Together {
		head += fmt.Sprintf("  but this run's are for %d intervals at once and the earlier one's for %d: their confidence differs\n", r.Together, earlier.Together)
	}
	_, err = io.WriteString(out, head+w.String())
	return apart, err
}
