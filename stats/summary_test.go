package stats

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/stat"
	"pgregory.net/rapid"
)

func TestSummaryOfKnownValues(t *testing.T) {
	s, err := Summarise([]float64{14, 12, 90, 16, 18, 10}, 20, Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "min", s.Min.Value, 10, 0)
	near(t, "median", s.Median.Value, 15, 0)
	near(t, "mean", s.Mean.Value, 160.0/6, 1e-12)
	near(t, "area", s.Area.Value, (6+8+0+4+2+10)/6.0, 1e-12)
	near(t, "standard deviation", s.StdDev, stat.StdDev([]float64{14, 12, 90, 16, 18, 10}, nil), 1e-12)
	if s.N != 6 || s.EMax != 20 {
		t.Errorf("n = %d, emax = %v", s.N, s.EMax)
	}
	if s.Min.Lo != 10 {
		t.Errorf("the interval of the best begins at %v, not at the best", s.Min.Lo)
	}
}

func TestSummaryEdges(t *testing.T) {
	one, err := Summarise([]float64{14}, 20, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if one.Mean.Known() || one.Mean.Value != 14 || one.Area.Value != 6 {
		t.Errorf("one value: %+v", one)
	}
	same, err := Summarise([]float64{14, 14, 14}, 20, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Estimate{14, 14, 14}); same.Mean != want || same.Median != want || same.Min != want {
		t.Errorf("equal values: %+v", same)
	}
	for name, f := range map[string]func() error{
		"empty":       func() error { _, err := Summarise(nil, 20, Options{}); return err },
		"NaN":         func() error { _, err := Summarise([]float64{math.NaN()}, 20, Options{}); return err },
		"no emax":     func() error { _, err := Summarise([]float64{1}, 0, Options{}); return err },
		"level 95":    func() error { _, err := Summarise([]float64{1}, 20, Options{Level: 95}); return err },
		"5 resamples": func() error { _, err := Summarise([]float64{1}, 20, Options{Resamples: 5}); return err },
	} {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// One seed gives the same bits; the order of the models does not matter; the
// values agree with gonum, and lie in their intervals.
func TestSummaryProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := errorsOf(t, "x", 2, 40)
		o := Options{Seed: rapid.Uint64().Draw(t, "seed"), Resamples: 200}
		s, err := Summarise(x, 30, o)
		if err != nil {
			t.Fatal(err)
		}
		shuffled := rapid.Permutation(x).Draw(t, "order")
		again, err := Summarise(shuffled, 30, o)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(s, again); d != "" {
			t.Fatal(d)
		}
		near(t, "mean", s.Mean.Value, stat.Mean(x, nil), 1e-9)
		near(t, "deviation", s.StdDev, stat.StdDev(x, nil), 1e-9)
		near(t, "area", s.Area.Value, mustEDF(t, x, nil).Area(30), 1e-9)
		for name, e := range map[string]Estimate{"min": s.Min, "median": s.Median} {
			if !(e.Lo <= e.Value && e.Value <= e.Hi) {
				t.Fatalf("%s: %v is not in [%v, %v]", name, e.Value, e.Lo, e.Hi)
			}
		}
		for name, e := range map[string]Estimate{"mean": s.Mean, "area": s.Area} {
			if !e.Known() || e.Lo > e.Hi || e.Lo < 0 {
				t.Fatalf("%s: [%v, %v]", name, e.Lo, e.Hi)
			}
		}
	})
}

// The statistics of a resample are those of the multiset that counts say.
func TestDescribeAgainstGonum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := sorted(errorsOf(t, "x", 2, 20))
		n := len(x)
		counts := make([]int, n)
		var drawn []float64
		for range n {
			i := rapid.IntRange(0, n-1).Draw(t, "i")
			counts[i]++
			drawn = append(drawn, x[i])
		}
		below := make([]float64, n)
		for i, v := range x {
			below[i] = math.Max(0, 40-v)
		}
		lowest, median, mean, area := describe(x, below, counts)
		s := sorted(drawn)
		near(t, "lowest", lowest, s[0], 0)
		near(t, "median", median, (s[(n-1)/2]+s[n/2])/2, 0)
		near(t, "mean", mean, stat.Mean(drawn, nil), 1e-9)
		near(t, "area", area, mustEDF(t, drawn, nil).Area(40), 1e-9)
	})
}

// coverage is the share of trials, in percent, in which the intervals of
// samples from draw hold the true mean, median and area up to 20. The truth is
// taken from a sample so large that its own error does not matter.
func coverage(n, trials int, draw func(*rand.Rand) float64) (mean, median, area float64) {
	rng := rand.New(rand.NewPCG(42, uint64(n)))
	big := make([]float64, 200000)
	for i := range big {
		big[i] = draw(rng)
	}
	f, _ := NewEDF(big, nil)
	trueMean, trueMedian, trueArea := stat.Mean(big, nil), f.Quantile(0.5), f.Area(20)
	x := make([]float64, n)
	for range trials {
		for i := range x {
			x[i] = draw(rng)
		}
		s, _ := Summarise(x, 20, Options{Seed: rng.Uint64(), Resamples: 500})
		in := func(e Estimate, v float64) float64 {
			if e.Lo <= v && v <= e.Hi {
				return 100 / float64(trials)
			}
			return 0
		}
		mean += in(s.Mean, trueMean)
		median += in(s.Median, trueMedian)
		area += in(s.Area, trueArea)
	}
	return mean, median, area
}

// The 95 % intervals hold the truth about 95 times in 100 on populations that
// look like real ones: skewed errors above a floor, some failures at chance.
// The bounds allow three standard errors of 600 trials (2.7 points) and the
// known shortfall of small samples; docs/statistics.md quotes these numbers.
func TestIntervalsCover(t *testing.T) {
	if testing.Short() {
		t.Skip("a simulation of some seconds")
	}
	skewed := func(r *rand.Rand) float64 { return 10 + 5*math.Exp(0.5*r.NormFloat64()) }
	failing := func(r *rand.Rand) float64 {
		if r.Float64() < 0.03 {
			return 90
		}
		return skewed(r)
	}
	for _, c := range []struct {
		name    string
		n       int
		draw    func(*rand.Rand) float64
		atLeast [3]float64 // mean, median, area
	}{
		{"skewed", 12, skewed, [3]float64{91, 91, 91}},
		{"skewed", 30, skewed, [3]float64{91.5, 91.5, 92}},
		{"skewed", 100, skewed, [3]float64{92, 92, 92}},
		// The mean of a few dozen models cannot know how rare failures are.
		{"failing", 30, failing, [3]float64{0, 91.5, 92}},
		{"failing", 100, failing, [3]float64{88, 92, 92}},
	} {
		mean, median, area := coverage(c.n, 600, c.draw)
		t.Logf("%-8s n = %3d: mean %.1f %%, median %.1f %%, area %.1f %%", c.name, c.n, mean, median, area)
		for i, got := range [3]float64{mean, median, area} {
			if name := [3]string{"mean", "median", "area"}[i]; got < c.atLeast[i] || got > 98 {
				t.Errorf("%s, n = %d: the interval of the %s covers %.1f %%, want %v … 98", c.name, c.n, name, got, c.atLeast[i])
			}
		}
	}
}

func TestDefaultEMax(t *testing.T) {
	got, err := DefaultEMax([]float64{12, 13, 14, 15}, []float64{16, 17, 90, 90})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "emax", got, 17, 0)
	if _, err := DefaultEMax(); err == nil {
		t.Error("nothing: no error")
	}
}
