package main

import (
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

// interval is where a median lies with 95 % confidence.
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
// whole stretch down. So stretches are drawn, not values, and the interval is widened by
// what the spread of few of them falls short of that of many. With too few, values are drawn.
//
// The seed is fixed: the same values have the same interval.
func bootstrap(stretches [][]float64) interval {
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
	n := len(stretches)
	if n == 0 {
		return interval{math.NaN(), math.NaN()}
	}
	var drawn []float64
	medians := make([]float64, resamples)
	for i := range medians {
		drawn = drawn[:0]
		for range n {
			drawn = append(drawn, stretches[random.IntN(n)]...)
		}
		medians[i] = median(drawn)
	}
	slices.Sort(medians)
	low, high := quantile(medians, 0.025), quantile(medians, 0.975)
	if n > 1 {
		middle := median(slices.Concat(stretches...))
		wider := math.Sqrt(float64(n)/float64(n-1)) * student(n-1)
		low, high = middle-(middle-low)*wider, middle+(high-middle)*wider
		all := slices.Concat(stretches...)
		low, high = max(low, slices.Min(all)), min(high, slices.Max(all))
	}
	return interval{low, high}
}

// student is by how much Student's 97.5 % quantile is above the normal one, the begin of its
// series (Abramowitz and Stegun 26.7.5).
func student(freedom int) float64 {
	const normal = 1.96
	return 1 + (normal*normal+1)/(4*float64(freedom))
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

func summarize(stretches [][]float64) summary {
	all := slices.Concat(stretches...)
	slices.Sort(all)
	return summary{
		N: len(all), Median: quantile(all, 0.5), Interval: bootstrap(stretches),
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
func ratioOf(values, reference [][]float64) *ratio {
	pairs := make([][]float64, min(len(values), len(reference)))
	for i := range pairs {
		for k := range min(len(values[i]), len(reference[i])) {
			if reference[i][k] != 0 {
				pairs[i] = append(pairs[i], values[i][k]/reference[i][k])
			}
		}
	}
	s := summarize(pairs)
	if s.N == 0 {
		return nil
	}
	return &ratio{s.Median, s.Interval}
}
