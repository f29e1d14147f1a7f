package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		sorted []float64
		q      float64
		want   float64
	}{
		{[]float64{7}, 0, 7}, {[]float64{7}, 0.5, 7}, {[]float64{7}, 1, 7},
		{[]float64{1, 2}, 0.5, 1.5}, {[]float64{1, 2, 3}, 0.5, 2}, {[]float64{1, 2, 3, 10}, 0.5, 2.5},
		{[]float64{0, 10}, 0.9, 9}, {[]float64{0, 10}, 0.99, 9.9}, {[]float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0.9, 9},
		{[]float64{3, 3, 3, 9}, 1, 9}, {[]float64{3, 4, 5, 9}, 0, 3},
	} {
		if got := quantile(c.sorted, c.q); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("quantile(%v, %v) = %v, want %v", c.sorted, c.q, got, c.want)
		}
	}
	if got := quantile(nil, 0.5); !math.IsNaN(got) {
		t.Error("of nothing:", got)
	}
	if got := median([]float64{9, 1, 5}); got != 5 {
		t.Error("median:", got)
	}
}

func TestOverlaps(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		a, b interval
		want bool
	}{
		{interval{1, 2}, interval{3, 4}, false}, {interval{1, 3}, interval{2, 4}, true}, {interval{1, 2}, interval{2, 3}, true},
		{interval{1, 9}, interval{4, 5}, true}, {interval{5, 5}, interval{5, 5}, true}, {interval{5, 5}, interval{6, 6}, false},
		{interval{nan, nan}, interval{1, 2}, true},
	} {
		if c.a.overlaps(c.b) != c.want || c.b.overlaps(c.a) != c.want {
			t.Errorf("%v, %v: want %v", c.a, c.b, c.want)
		}
	}
}

// draws are n stretches of k values around middle; what a stretch has in common spreads by
// common, each value by own.
func draws(r *rand.Rand, n, k int, middle, common, own float64) [][]float64 {
	all := make([][]float64, n)
	for i := range all {
		shift := r.NormFloat64() * common
		for range k {
			all[i] = append(all[i], middle+shift+r.NormFloat64()*own)
		}
	}
	return all
}

func TestBootstrapIsDeterministic(t *testing.T) {
	values := draws(rand.New(rand.NewPCG(3, 4)), 10, 8, 100, 5, 5)
	first := bootstrap(values, 1)
	if again := bootstrap(values, 1); again != first {
		t.Errorf("%v, then %v", first, again)
	}
	if m := median(slices.Concat(values...)); m < first.Low || m > first.High || first.High-first.Low < 0.5 {
		t.Errorf("%v around %v", first, m)
	}
}

func TestBootstrapEdges(t *testing.T) {
	if got := bootstrap(nil, 1); !math.IsNaN(got.Low) || !math.IsNaN(got.High) {
		t.Error("of nothing:", got)
	}
	if got := bootstrap([][]float64{{7}}, 1); got != (interval{7, 7}) {
		t.Error("of one value:", got)
	}
	if got := bootstrap([][]float64{{7, 7}, {7, 7}, {7, 7}}, 1); got != (interval{7, 7}) {
		t.Error("of equal values:", got)
	}
	// Few stretches: values are drawn, or the interval would be one of a handful of medians.
	if got := bootstrap([][]float64{{1, 2, 3, 4}, {5, 6, 7, 8}}, 1); got.Low < 1 || got.High > 9 || got.Low >= got.High {
		t.Error("of two stretches:", got)
	}
}

// A resample's median is the median of its values, also where stretches differ in length, have equal
// values, or are drawn not at all.
func TestResample(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 200 {
		stretches, times := make([][]float64, 1+r.IntN(6)), make([]int, 6)
		for i := range stretches {
			for range 1 + r.IntN(5) {
				stretches[i] = append(stretches[i], float64(r.IntN(8)))
			}
		}
		var drawn []float64
		for range stretches {
			i := r.IntN(len(stretches))
			times[i]++
			drawn = append(drawn, stretches[i]...)
		}
		if got, want := mergeStretches(stretches).medianOf(times), median(drawn); got != want {
			t.Fatalf("%v, drawn %v times: %v, want %v", stretches, times, got, want)
		}
	}
}

// The interval holds what it is of about as often as it says, also where values come in
// stretches that have something in common: an interval that takes each value for itself holds
// it far less often.
func TestBootstrapCoverage(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const trials = 60
	held, naive := 0, 0
	for range trials {
		values := draws(r, 10, 6, 100, 3, 3)
		if i := bootstrap(values, 1); i.Low <= 100 && 100 <= i.High {
			held++
		}
		var single [][]float64
		for _, v := range slices.Concat(values...) {
			single = append(single, []float64{v})
		}
		if i := bootstrap(single, 1); i.Low <= 100 && 100 <= i.High {
			naive++
		}
	}
	t.Logf("%d of %d by stretches, %d by values", held, trials, naive)
	if held < trials*85/100 || naive > trials*80/100 {
		t.Errorf("%d of %d by stretches, %d by values", held, trials, naive)
	}
}

// Those of rows that are told together hold all of them about as often as they say; those that hold
// each for itself do not.
func TestBootstrapTogether(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const trials, rows = 40, 20
	held, alone := 0, 0
	for range trials {
		missed, missedAlone := 0, 0
		for range rows {
			values := draws(r, mostStretches, 2, 100, 3, 3)
			if i := bootstrap(values, rows); i.Low > 100 || i.High < 100 {
				missed++
			}
			if i := bootstrap(values, 1); i.Low > 100 || i.High < 100 {
				missedAlone++
			}
		}
		if missed == 0 {
			held++
		}
		if missedAlone == 0 {
			alone++
		}
	}
	t.Logf("%d of %d hold all %d rows, %d if each holds for itself", held, trials, rows, alone)
	if held < trials*85/100 || alone > trials*60/100 {
		t.Errorf("%d of %d hold all %d rows, %d if each holds for itself", held, trials, rows, alone)
	}
}

// Against the tables of Abramowitz and Stegun, 26.10.
func TestStudent(t *testing.T) {
	for _, c := range []struct {
		share   float64
		freedom int
		want    float64
	}{{0.05, 1, 12.706}, {0.05, 2, 4.303}, {0.05, 9, 2.262}, {0.01, 9, 3.250}, {0.001, 9, 4.781}, {0.001, 4, 8.610}, {0.05, 120, 1.980}, {0.001, 120, 3.373}, {0.05, 100_000, 1.960}} {
		if got := student(c.share, c.freedom); math.Abs(got-c.want) > 0.002 {
			t.Errorf("all but %v of %d degrees of freedom: %.4f, want %.3f", c.share, c.freedom, got, c.want)
		}
	}
}

func TestRatio(t *testing.T) {
	reference := [][]float64{{1, 2}, {4, 8}}
	if r := ratioOf([][]float64{{3, 6}, {12, 24}}, reference, 1); r == nil || r.Median != 3 || r.Interval != (interval{3, 3}) {
		t.Errorf("by pair each is three times the other: %+v", r)
	}
	if r := ratioOf([][]float64{{1, 4}, {2}}, [][]float64{{0, 2}, {0}}, 1); r == nil || r.Median != 2 {
		t.Errorf("pairs without a reference do not count: %+v", r)
	}
	for _, none := range [][][]float64{nil, {{0}}} {
		if r := ratioOf([][]float64{{1}}, none, 1); r != nil {
			t.Errorf("of %v: %+v", none, r)
		}
	}
}

func TestSummarize(t *testing.T) {
	s := summarize([][]float64{{5, 1}, {3, 2, 4}}, 1)
	if s.N != 5 || s.Median != 3 || s.Max != 5 || math.Abs(s.P90-4.6) > 1e-9 || math.Abs(s.P99-4.96) > 1e-9 {
		t.Errorf("%+v", s)
	}
}
