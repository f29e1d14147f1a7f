package main

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// The picture's measures, in pixels.
const (
	svgWidth  = 960
	svgLeft   = 170 // of the axis; the names stand before it
	svgRight  = 150 // after the axis; the medians stand there
	svgRow    = 34
	svgHead   = 46 // above a group's rows
	svgAxis   = 40 // below them
	svgMargin = 16
)

// svg draws the distributions of each group's main metric: a tick for each run, a box for the
// 95 % interval of the median, a line for the median. It is black on white, and a group has a
// logarithmic axis of its own.
func (r *report) svg(out io.Writer) error {
	var body strings.Builder
	y := float64(svgMargin)
	e := r.Environment
	kind := "embedded launchd (a model, not a Mac)"
	if e.Live {
		kind = "live launchd"
	}
	text := func(x, y float64, anchor, extra, s string) {
		fmt.Fprintf(&body, `<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>`+"\n", x, y, anchor, extra, html.EscapeString(s))
	}
	text(svgMargin, y+14, "start", ` font-size="17" font-weight="bold"`, "hermes-gw bench: "+kind)
	launchctl := "launchctl: " + e.Launchctl
	if e.StandIn {
		launchctl = "launchctl: a stand-in"
	}
	text(svgMargin, y+34, "start", "", strings.Join([]string{e.Date, "commit " + e.Commit, e.System, e.CPU, launchctl}, " · "))
	text(svgMargin, y+51, "start", "", fmt.Sprintf("tick: one run (of more than %d, so many) · box: interval of the median, 95 %% that all hold · thick line: median · logarithmic axes", mostTicks))
	y += 64
	for _, g := range r.groups {
		main := total
		if g.Name == "Start" {
			main = firstByte
		}
		y = r.draw(&body, g, main, y, text)
	}
	_, err := fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%.0f" viewBox="0 0 %d %.0f" font-family="sans-serif" font-size="12" fill="black">
<rect width="100%%" height="100%%" fill="white"/>
%s</svg>
`, svgWidth, y+svgMargin, svgWidth, y+svgMargin, body.String())
	return err
}

// draw draws one group from y down, and returns where it ends.
func (r *report) draw(body *strings.Builder, g group, m metric, y float64, text func(x, y float64, anchor, extra, s string)) float64 {
	type line struct {
		row
		values []float64
	}
	var lines []line
	low, high := math.Inf(1), math.Inf(-1)
	for _, row := range r.Rows {
		if row.Group != g.Name || row.Metric != m {
			continue
		}
		values := slices.Concat(r.results[g.Name+"/"+row.Method].values(m)...)
		lines = append(lines, line{row, values})
		low, high = min(low, slices.Min(values), row.Interval.Low), max(high, row.Max, row.Interval.High)
	}
	if len(lines) == 0 {
		return y
	}
	scale := newLogScale(low, high, svgLeft, svgWidth-svgRight)
	text(svgMargin, y+22, "start", ` font-size="14" font-weight="bold"`, g.Name+", "+string(m))
	text(svgWidth-svgMargin, y+22, "end", "", g.What)
	y += svgHead
	bottom := y + float64(len(lines)*svgRow)
	for _, at := range scale.ticks() {
		x := scale.x(at)
		fmt.Fprintf(body, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#bbb" stroke-dasharray="2 3"/>`+"\n", x, y-8, x, bottom)
		text(x, bottom+16, "middle", "", amount(at, m.unit()))
	}
	for i, l := range lines {
		middle := y + float64(i*svgRow) + svgRow/2 - 4
		text(svgLeft-10, middle+4, "end", "", l.Method)
		ticks := thinned(l.values)
		fmt.Fprintf(body, `<g stroke="black" stroke-opacity="0.25">`+"\n")
		for _, v := range ticks {
			x := scale.x(v)
			fmt.Fprintf(body, `<path d="M%.1f %.1fv12"/>`+"\n", x, middle-6)
		}
		fmt.Fprintln(body, "</g>")
		from, to := scale.x(l.Interval.Low), scale.x(l.Interval.High)
		fmt.Fprintf(body, `<rect x="%.1f" y="%.1f" width="%.1f" height="20" fill="none" stroke="black" stroke-width="1.2"/>`+"\n", from, middle-10, max(to-from, 1))
		x := scale.x(l.Median)
		fmt.Fprintf(body, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="black" stroke-width="3"/>`+"\n", x, middle-12, x, middle+12)
		text(svgWidth-svgMargin, middle+4, "end", ` font-weight="bold"`, amount(l.Median, l.Unit))
	}
	return bottom + svgAxis
}

// mostTicks is how many runs of one method are drawn.
const mostTicks = 250

// thinned leaves out values of many, evenly over their order, and neither the least nor the
// largest.
func thinned(values []float64) []float64 {
	if len(values) <= mostTicks {
		return values
	}
	sorted := slices.Sorted(slices.Values(values))
	kept := make([]float64, mostTicks)
	for i := range kept {
		kept[i] = sorted[i*(len(sorted)-1)/(mostTicks-1)]
	}
	return kept
}

// logScale maps values to a logarithmic axis.
type logScale struct{ low, high, from, to float64 }

// newLogScale makes an axis for the values from low to high, with a little room at both ends.
func newLogScale(low, high, from, to float64) logScale {
	low, high = max(low, 1), max(high, 1)
	if high/low < 2 { // an axis must not make much of nothing
		middle := math.Sqrt(low * high)
		low, high = middle/math.Sqrt2, middle*math.Sqrt2
	}
	const room = 1.05
	return logScale{low / room, high * room, from, to}
}

func (s logScale) x(v float64) float64 {
	part := math.Log(max(v, s.low)/s.low) / math.Log(s.high/s.low)
	return s.from + min(part, 1)*(s.to-s.from)
}

// ticks are round values on the axis: 1, 2 and 5 of each decade, or 1 alone where these would
// be many.
func (s logScale) ticks() (values []float64) {
	steps := []float64{1, 2, 5}
	if s.high/s.low > 1000 {
		steps = []float64{1}
	}
	for decade := math.Pow(10, math.Floor(math.Log10(s.low))); decade <= s.high; decade *= 10 {
		for _, step := range steps {
			if v := step * decade; v >= s.low && v <= s.high {
				values = append(values, v)
			}
		}
	}
	return values
}
