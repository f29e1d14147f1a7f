package main

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// quantile is the value below which the part q of sorted lies, between neighbours in
// proportion. NaN without values.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// median sorts its argument.
func median(values []float64) float64 {
	slices.Sort(values)
	return quantile(values, 0.5)
}

// miss is how likely one of the intervals of a run at least does not hold what it is of.
const miss = 0.05

// interval is where a median lies. The intervals that are told together hold with about 95 %
// confidence all of them: a run has some ninety, of which one in twenty would be wrong if each held for
// itself, and who compares two runs row by row looks at all.
type interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// overlaps reports whether the two have a value in common; one that is not known overlaps
// everything.
func (i interval) overlaps(j interval) bool { return !(i.High < j.Low || j.High < i.Low) }

const (
	resamples = 1000
	// fewStretches is how many stretches a bootstrap over stretches takes at least.
	fewStretches = 6
)

// bootstrap is the interval of the median. Each element of stretches holds what was measured
// close in time, which is more alike than what was not: a neighbour on the machine slows a
// whole stretch down. So stretches are drawn, not values. With too few, values are drawn.
//
// How much the medians of the resamples spread is the standard error, which the spread of few stretches
// makes too small by n/(n-1) (squared); the interval is as many of it to both sides as Student's
// distribution wants for one of so many intervals (Bonferroni). That is right where stretches spread
// normally; where they are of two kinds, an interval misses what it is of more often.
//
// The seed is fixed: the same values have the same interval.
func bootstrap(stretches [][]float64, together int) interval {
	random := rand.New(rand.NewPCG(1, 2))
	if len(stretches) < fewStretches {
		var single [][]float64
		for _, s := range stretches {
			for _, v := range s {
				single = append(single, []float64{v})
			}
		}
		stretches = single
	}
	n, sorted := len(stretches), mergeStretches(stretches)
	middle := quantile(sorted.values, 0.5)
	if n < 2 {
		return interval{middle, middle}
	}
	medians := make([]float64, resamples)
	drawn := make([]int, n) // how often each stretch is
	mean, squares := 0.0, 0.0
	for i := range medians {
		clear(drawn)
		for range n {
			drawn[random.IntN(n)]++
		}
		medians[i] = sorted.medianOf(drawn)
		mean += medians[i] / resamples
	}
	for _, m := range medians {
		squares += (m - mean) * (m - mean)
	}
	deviation := math.Sqrt(squares / resamples * float64(n) / float64(n-1))
	reach := deviation * student(miss/float64(together), n-1)
	return interval{max(middle-reach, sorted.values[0]), min(middle+reach, sorted.values[len(sorted.values)-1])}
}

// merged are the values of all stretches in order, so that a resample needs no sorting.
type merged struct {
	values []float64
	from   []int // the stretch of each
	sizes  []int // of the stretches
}

func mergeStretches(stretches [][]float64) (m merged) {
	type value struct {
		of   float64
		from int
	}
	var all []value
	for i, s := range stretches {
		m.sizes = append(m.sizes, len(s))
		for _, v := range s {
			all = append(all, value{v, i})
		}
	}
	slices.SortFunc(all, func(a, b value) int { return cmp.Compare(a.of, b.of) })
	for _, v := range all {
		m.values, m.from = append(m.values, v.of), append(m.from, v.from)
	}
	return m
}

// medianOf is the median where the values of each stretch are there as often as times says.
func (m merged) medianOf(times []int) float64 {
	count := 0
	for i, size := range m.sizes {
		count += times[i] * size
	}
	lower, seen := math.NaN(), 0
	for i, v := range m.values {
		seen += times[m.from[i]]
		if seen > (count-1)/2 && math.IsNaN(lower) {
			lower = v
		}
		if seen > count/2 {
			return (lower + v) / 2
		}
	}
	return math.NaN()
}

// student is how far from zero all but a share of Student's distribution lies. With
// t = tan θ √freedom, the density of θ is as cos θ to the power of freedom - 1
// (Abramowitz and Stegun 26.7.1), which is summed up from the tail.
func student(share float64, freedom int) float64 {
	const steps = 10_000
	const width = math.Pi / 2 / steps
	weight := func(step int) float64 { return math.Pow(math.Cos((float64(step)+0.5)*width), float64(freedom-1)) }
	whole := 0.0
	for step := range steps {
		whole += weight(step)
	}
	beyond, step := share*whole, steps-1
	for ; beyond > weight(step); step-- {
		beyond -= weight(step)
	}
	return math.Tan((float64(step+1)-beyond/weight(step))*width) * math.Sqrt(float64(freedom))
}

// summary is what is told of one row.
type summary struct {
	N        int      `json:"n"`
	Median   float64  `json:"median"`
	Interval interval `json:"interval"`
	P90      float64  `json:"p90"`
	P99      float64  `json:"p99"`
	Max      float64  `json:"max"`
}

func summarize(stretches [][]float64, together int) summary {
	all := slices.Concat(stretches...)
	slices.Sort(all)
	return summary{
		N: len(all), Median: quantile(all, 0.5), Interval: bootstrap(stretches, together),
		P90: quantile(all, 0.9), P99: quantile(all, 0.99), Max: quantile(all, 1),
	}
}

// ratio is how many times as much one row is of another, by pair: values that were measured
// next to each other are divided, and the median of that is told. It is nil if the intervals
// of the two rows overlap, because then the one may as well be the larger as the other.
type ratio struct {
	Median   float64  `json:"median"`
	Interval interval `json:"interval"`
}

// ratioOf is nil without a pair.
func ratioOf(values, reference [][]float64, together int) *ratio {
	var pairs [][]float64
	for i := range min(len(values), len(reference)) {
		var stretch []float64
		for k := range min(len(values[i]), len(reference[i])) {
			if reference[i][k] != 0 {
				stretch = append(stretch, values[i][k]/reference[i][k])
			}
		}
		if len(stretch) > 0 {
			pairs = append(pairs, stretch)
		}
	}
	s := summarize(pairs, together)
	if s.N == 0 {
		return nil
	}
	return &ratio{s.Median, s.Interval}
}
