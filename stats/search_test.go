package stats

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/stat"
	"pgregory.net/rapid"
)

// The exact distribution of the winner is the limit of the procedure as the
// paper runs it: draw a quarter with replacement, keep the best, 10⁴ times.
func TestBestRangeAgainstTheProcedure(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	for _, n := range []int{5, 12, 100} {
		errs, param := make([]float64, n), make([]float64, n)
		for i := range errs {
			param[i] = float64(1 + rng.IntN(16))
			errs[i] = math.Round(4*(10+math.Abs(param[i]-9)/2+rng.NormFloat64())) / 4 // with ties
		}
		win, err := winning(errs, (n+3)/4)
		if err != nil {
			t.Fatal(err)
		}
		const times = 20000
		seen := make([]float64, n)
		for range times {
			var best []int
			for range (n + 3) / 4 {
				i := rng.IntN(n)
				switch {
				case len(best) == 0 || errs[i] < errs[best[0]]:
					best = []int{i}
				case errs[i] == errs[best[0]]:
					best = append(best, i)
				}
			}
			seen[best[rng.IntN(len(best))]] += 1.0 / times
		}
		total := 0.0
		for i := range win {
			near(t, "probability of winning", win[i], seen[i], 4*math.Sqrt(0.25/times))
			total += win[i]
		}
		near(t, "total", total, 1, 1e-9)

		r, err := BestRange(errs, param)
		if err != nil {
			t.Fatal(err)
		}
		f := mustEDF(t, param, seen)
		// Quantiles of the simulation, give or take its own noise.
		if r.Lo < f.Quantile(0.02) || r.Lo > f.Quantile(0.03) || r.Hi < f.Quantile(0.97) || r.Hi > f.Quantile(0.98) || r.Best < f.Quantile(0.48) || r.Best > f.Quantile(0.52) {
			t.Errorf("n = %d: range %+v; simulated %v %v %v", n, r, f.Quantile(0.025), f.Quantile(0.5), f.Quantile(0.975))
		}
	}
}

func TestBestRangeRefuses(t *testing.T) {
	if _, err := BestRange([]float64{1, 2}, []float64{1}); err == nil {
		t.Error("fewer parameters: no error")
	}
	if _, err := BestRange(nil, nil); err == nil {
		t.Error("nothing: no error")
	}
	if r, err := BestRange([]float64{12}, []float64{3}); err != nil || r != (Range{3, 3, 3}) {
		t.Errorf("one model: %v, %v", r, err)
	}
}

// The expectation by order statistics is the mean over every subset.
func TestSearchEfficiencyAgainstEverySubset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := errorsOf(t, "x", 1, 9)
		s, err := SearchEfficiency(x, nil)
		if err != nil {
			t.Fatal(err)
		}
		for at, k := range s.K {
			var best []float64
			for mask := uint(1); mask < 1<<len(x); mask++ {
				if bits.OnesCount(mask) != k {
					continue
				}
				least := math.Inf(1)
				for i, v := range x {
					if mask>>i&1 == 1 {
						least = math.Min(least, v)
					}
				}
				best = append(best, least)
			}
			near(t, "mean", s.Mean[at], stat.Mean(best, nil), 1e-9)
			f := mustEDF(t, best, nil)
			near(t, "lower", s.Lo[at], f.Quantile(0.025), 0)
			near(t, "upper", s.Hi[at], f.Quantile(0.975), 0)
		}
	})
}

func TestSearchEfficiencyEdges(t *testing.T) {
	x := []float64{12, 10, 90}
	s, err := SearchEfficiency(x, []int{1, 3})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Search{K: []int{1, 3}, Mean: []float64{112.0 / 3, 10}, Lo: []float64{10, 10}, Hi: []float64{90, 10}}, s); d != "" {
		t.Error(d)
	}
	for _, k := range []int{0, 4} {
		if _, err := SearchEfficiency(x, []int{k}); err == nil {
			t.Errorf("k = %d: no error", k)
		}
	}
}

func TestNormalise(t *testing.T) {
	// Two bins over the shared range 2 … 8, cut at 4; models outside weigh nothing.
	got, err := Normalise([][]float64{{1, 2, 3, 3, 8}, {2, 5, 6, 7, 8, 9}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := Normalised{
		Weights: [][]float64{{0, 1. / 6, 1. / 6, 1. / 6, 1. / 2}, {1. / 2, 1. / 8, 1. / 8, 1. / 8, 1. / 8, 0}},
		Used:    []int{4, 5}, Bins: 2,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	for name, c := range map[string][][]float64{
		"disjoint": {{1, 2}, {3, 4}}, "nothing": {}, "empty": {{1}, {}}, "zero": {{0, 1}, {1}},
		"no common bin": {{1, 100}, {1.5, 50}, {10, 11}},
	} {
		if w, err := Normalise(c, 10); err == nil {
			t.Errorf("%s: no error, %+v", name, w)
		}
	}
}

// Where error follows complexity alone, the plain EDFs of two spaces of unequal
// complexity differ and the normalised ones do not (NDS fig. 3).
func TestNormalisedEDFsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	var cost, errs [2][]float64
	for p := range cost {
		for range 4000 {
			u := rng.Float64()
			if p == 1 {
				u = math.Sqrt(u) // more of the large ones
			}
			c := math.Exp(u)
			cost[p] = append(cost[p], c)
			errs[p] = append(errs[p], 30-10*u+rng.NormFloat64())
		}
	}
	w, err := Normalise(cost[:], 20)
	if err != nil {
		t.Fatal(err)
	}
	gap := func(f, g EDF) float64 {
		d := 0.0
		for _, e := range f.X {
			d = math.Max(d, math.Abs(f.At(e)-g.At(e)))
		}
		return d
	}
	plain := gap(mustEDF(t, errs[0], nil), mustEDF(t, errs[1], nil))
	normal := gap(mustEDF(t, errs[0], w.Weights[0]), mustEDF(t, errs[1], w.Weights[1]))
	if plain < 0.2 || normal > 0.05 {
		t.Errorf("largest gap of the EDFs %v, of the normalised ones %v", plain, normal)
	}
}

func TestNormaliseProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cost := rapid.SliceOfN(rapid.SliceOfN(rapid.Float64Range(1, 3), 1, 30), 1, 4).Draw(t, "cost")
		w, err := Normalise(cost, rapid.IntRange(1, 12).Draw(t, "bins"))
		if err != nil {
			return // no shared range or bin: tested above
		}
		for i, ws := range w.Weights {
			sum, used := 0.0, 0
			for _, v := range ws {
				sum += v
				if v > 0 {
					used++
				}
			}
			near(t, "sum of weights", sum, 1, 1e-9)
			if used != w.Used[i] {
				t.Fatalf("%d models used, %d have weights", w.Used[i], used)
			}
		}
	})
}
