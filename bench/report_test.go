package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// twoMethods is a report of a fast and a slow method, and of one that cannot be told from
// the fast one.
func twoMethods(shift float64) *report {
	around := func(middle float64) measured {
		var m measured
		for i := range 10 {
			var stretch []sample
			for k := range 4 {
				stretch = append(stretch, sample{total: middle + float64(i*7%5)*1000 + float64(k)*500, objects: 7})
			}
			m = append(m, stretch)
		}
		return m
	}
	g := group{Name: "Restart", Reference: "fast", What: "<a & b>", Methods: []method{{Name: "fast"}, {Name: "same"}, {Name: "slow"}}}
	return newReport(environment{subject: subject{Launchctl: "x", StandIn: true}}, 40, []group{g}, map[string]measured{
		"Restart/fast": around(1e6 + shift), "Restart/same": around(1e6 + 200 + shift), "Restart/slow": around(5e6 + shift),
	})
}

func rowOf(t *testing.T, r *report, method string, m metric) row {
	t.Helper()
	for _, row := range r.Rows {
		if row.Method == method && row.Metric == m {
			return row
		}
	}
	t.Fatalf("no row %s %s", method, m)
	return row{}
}

func TestNoRatioWhereIntervalsOverlap(t *testing.T) {
	r := twoMethods(0)
	if row := rowOf(t, r, "same", total); row.Ratio != nil || !row.overlap || !strings.Contains(row.shown(), "overlap") {
		t.Errorf("%+v %q", row, row.shown())
	}
	if row := rowOf(t, r, "slow", total); row.Ratio == nil || math.Abs(row.Ratio.Median-5) > 0.1 || row.shown() == "" {
		t.Errorf("%+v %q", row, row.shown())
	}
	if row := rowOf(t, r, "fast", total); row.Ratio != nil || row.shown() != "" {
		t.Errorf("the reference: %+v", row)
	}
}

func TestReportText(t *testing.T) {
	var out strings.Builder
	if err := twoMethods(0).text(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"EMBEDDED LAUNCHD", "none: the intervals overlap", "5.00 ms", "4.99 x", "of fast, by pair", "all 10 hold: of 6 medians, and of 4 ratios"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestReportJSON(t *testing.T) {
	var out bytes.Buffer
	r := twoMethods(0)
	if err := r.json(&out); err != nil {
		t.Fatal(err)
	}
	var read report
	if err := json.Unmarshal(out.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	// 6 of medians, and of ratios of 2 methods to the first in 2 metrics.
	values := r.results["Restart/slow"].values(total)
	if row := rowOf(t, &read, "slow", total); read.Together != 10 || row.Interval != bootstrap(values, 10) || row.Interval == bootstrap(values, 1) {
		t.Errorf("%d intervals: %+v", read.Together, row)
	}
	if len(read.Rows) != 6 || read.Pairs != 40 || !strings.Contains(out.String(), `"ratio": null`) {
		t.Errorf("%d rows of %d pairs\n%s", len(read.Rows), read.Pairs, out.String())
	}
	// What was read again is the same run.
	if apart, err := twoMethods(0).against(&read, io.Discard); apart != 0 || err != nil {
		t.Error(apart, err)
	}
	var said strings.Builder
	read.Together++
	if apart, err := twoMethods(1e6).against(&read, &said); apart != 3 || err != nil || !strings.Contains(said.String(), "of 6 rows") || !strings.Contains(said.String(), "for 11") {
		t.Error(apart, err, said.String())
	}
}

func TestAmount(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit string
		want string
	}{
		{0, "ns", "0.00 µs"}, {1500, "ns", "1.50 µs"}, {99_960, "ns", "100 µs"}, {12_340_000, "ns", "12.3 ms"}, {2.5e9, "ns", "2.50 s"},
		{77, "", "77"}, {512, "B", "512 B"}, {2048, "B", "2.00 KiB"}, {3 << 20, "B", "3.00 MiB"}, {math.NaN(), "ns", "-"},
	} {
		if got := amount(c.v, c.unit); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}

func TestSVG(t *testing.T) {
	var out strings.Builder
	if err := twoMethods(0).svg(&out); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(out.String()))
	count := map[string]int{}
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			count[e.Name.Local]++
			for _, a := range e.Attr {
				color := a.Name.Local == "fill" || a.Name.Local == "stroke"
				if color && !slices.Contains([]string{"black", "white", "none", "#bbb"}, a.Value) || strings.HasPrefix(a.Name.Local, "on") {
					t.Errorf("%s has %s=%q", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
	// A tick for each run, a box for each method and the background, no script.
	if count["path"] != 3*40 || count["rect"] != 4 || count["script"] != 0 {
		t.Errorf("%v", count)
	}
	if !strings.Contains(out.String(), "&lt;a &amp; b&gt;") {
		t.Error("text is not escaped")
	}
}

func TestLogScale(t *testing.T) {
	for _, c := range []struct{ low, high float64 }{{1e6, 5e6}, {100, 100}, {0, 0}, {10e3, 3e9}} {
		s := newLogScale(c.low, c.high, 100, 800)
		if from, to := s.x(c.low), s.x(c.high); from < 100 || to > 800.001 || from > to || math.IsNaN(from+to) {
			t.Errorf("%v: %v to %v", c, from, to)
		}
		ticks := s.ticks()
		if !slices.IsSorted(ticks) || len(ticks) == 0 || len(ticks) > 12 {
			t.Errorf("%v: ticks %v", c, ticks)
		}
	}
	values := make([]float64, 10_000)
	for i := range values {
		values[i] = float64(i)
	}
	if kept := thinned(values); len(kept) != mostTicks || kept[0] != 0 || kept[mostTicks-1] != 9999 {
		t.Errorf("%d of them, %v to %v", len(kept), kept[0], kept[len(kept)-1])
	}
}
