package stats

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// splits are k random, overlapping divisions of n values, of rising shares.
func splits(rng *rand.Rand, n, k int) []Effect {
	effects := make([]Effect, k)
	for j := range effects {
		s := make(Split, n)
		share := 0.15 + 0.55*float64(j)/float64(k)
		for i := range s {
			s[i] = InRest
			if rng.Float64() < share {
				s[i] = InPart
			}
		}
		effects[j].Split = s
	}
	return effects
}

func populationOf(rng *rand.Rand, n int, failing float64) []float64 {
	errs := make([]float64, n)
	for i := range errs {
		if errs[i] = 10 + 5*math.Exp(0.5*rng.NormFloat64()); rng.Float64() < failing {
			errs[i] = 90
		}
	}
	return errs
}

func contrasts(t testing.TB, errs []float64, effects []Effect, emax float64, o Options) []Contrast {
	t.Helper()
	out, err := Contrasts(context.Background(), errs, effects, emax, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The estimates are those of the parts.
func TestContrastsAreDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	errs := populationOf(rng, 60, 0.1)
	effects := splits(rng, 60, 3)
	for i := range 20 {
		effects[2].Split[3*i] = Outside
	}
	for k, c := range contrasts(t, errs, effects, 20, Options{Resamples: 200}) {
		var part, rest []float64
		for i, g := range effects[k].Split {
			switch g {
			case InPart:
				part = append(part, errs[i])
			case InRest:
				rest = append(rest, errs[i])
			}
		}
		p, _ := Summarise(part, 20, Options{Resamples: 100})
		r, _ := Summarise(rest, 20, Options{Resamples: 100})
		for _, d := range [][2]float64{
			{c.Mean.Value, p.Mean.Value - r.Mean.Value}, {c.Median.Value, p.Median.Value - r.Median.Value}, {c.Area.Value, p.Area.Value - r.Area.Value},
			{c.StdDev, p.StdDev}, {c.RestStdDev, r.StdDev}, {c.AreaStdDev, p.AreaStdDev}, {c.RestAreaStdDev, r.AreaStdDev},
			{float64(c.Part), float64(p.N)}, {float64(c.Rest), float64(r.N)},
		} {
			if math.Abs(d[0]-d[1]) > 1e-9 {
				t.Errorf("effect %d: %v, want %v", k, d[0], d[1])
			}
		}
	}
}

// Intervals of many effects hold all at once in 95 % of samples, where there is
// no effect and where there is one, with and without failures, at sizes of parts
// down to a dozen.
func TestContrastsCoverAtOnce(t *testing.T) {
	const runs = 60
	for _, c := range []struct {
		name    string
		n, k    int
		failing float64
		shift   float64
	}{
		{"nothing", 80, 8, 0, 0},
		{"an effect", 80, 8, 0, -1.5},
		{"failures", 120, 8, 0.03, 0},
	} {
		rng := rand.New(rand.NewPCG(7, uint64(c.n)))
		var held [statistics]int
		for run := range runs {
			errs := populationOf(rng, c.n, c.failing)
			effects := splits(rng, c.n, c.k)
			for i, g := range effects[c.k-1].Split {
				if g == InPart {
					errs[i] += c.shift
				}
			}
			// What the other effects truly are, given who has the shift.
			truth := func(s Split) float64 {
				var shifted, n [2]float64
				for i, g := range s {
					if n[g-InPart]++; effects[c.k-1].Split[i] == InPart {
						shifted[g-InPart]++
					}
				}
				return c.shift * (shifted[0]/n[0] - shifted[1]/n[1])
			}
			all := [statistics]bool{true, true, true}
			for k, x := range contrasts(t, errs, effects, 100, Options{Resamples: 500, Seed: uint64(run)}) {
				want := truth(effects[k].Split)
				all[ofMean] = all[ofMean] && x.Mean.Lo <= want && want <= x.Mean.Hi
				all[ofArea] = all[ofArea] && x.Area.Lo <= -want && -want <= x.Area.Hi
				if c.shift == 0 {
					all[ofMedian] = all[ofMedian] && x.Median.Lo <= 0 && 0 <= x.Median.Hi
				}
			}
			for s, ok := range all {
				if ok {
					held[s]++
				}
			}
		}
		t.Logf("%s: all at once in %d, %d, %d of %d", c.name, held[ofMean], held[ofMedian], held[ofArea], runs)
		for s, h := range held {
			if share := float64(h) / runs; share < 0.85 { // 95 % less the error of so few runs
				t.Errorf("%s: statistic %d holds at once in %.3f of samples", c.name, s, share)
			}
		}
	}
}

// The same sample gives the same bits, in whatever order its values come.
func TestContrastsRepeat(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	errs := populationOf(rng, 80, 0)
	effects := splits(rng, 80, 4)
	first := contrasts(t, errs, effects, 20, Options{Resamples: 500, Seed: 5})
	if again := contrasts(t, errs, effects, 20, Options{Resamples: 500, Seed: 5}); !reflect.DeepEqual(first, again) {
		t.Errorf("not the same again: %+v, %+v", first, again)
	}
	other := contrasts(t, errs, effects, 20, Options{Resamples: 500, Seed: 6})
	if first[0].Mean.Value != other[0].Mean.Value || first[0].Mean.Lo == other[0].Mean.Lo {
		t.Error("the seed is to change the intervals alone")
	}
	slices.Reverse(errs)
	for _, e := range effects {
		slices.Reverse(e.Split)
	}
	if back := contrasts(t, errs, effects, 20, Options{Resamples: 500, Seed: 5}); !reflect.DeepEqual(first, back) {
		t.Error("the order of the values matters")
	}
}

// One statistic with a heavy tail does not widen the intervals of the others.
func TestContrastsAreBalanced(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	errs := populationOf(rng, 200, 0)
	calm := splits(rng, 200, 2)
	heavy := make(Split, 200) // a part of which one value is far off
	for i := range heavy {
		heavy[i] = InRest
		if i < 12 {
			heavy[i] = InPart
		}
	}
	wide := slices.Clone(errs)
	wide[0] = 90
	for _, e := range calm {
		e.Split[0] = Outside
	}
	alone := contrasts(t, wide, calm, 100, Options{Seed: 1})
	with := contrasts(t, wide, append(slices.Clone(calm), Effect{Split: heavy}), 100, Options{Seed: 1})
	for k := range calm {
		before, after := alone[k].Mean.Hi-alone[k].Mean.Lo, with[k].Mean.Hi-with[k].Mean.Lo
		if after > 1.2*before {
			t.Errorf("effect %d: %.3f wide alone, %.3f beside a heavy one", k, before, after)
		}
	}
}

func TestContrastsEdges(t *testing.T) {
	ctx := context.Background()
	equal := make([]float64, 20)
	half, none, single := make(Split, 20), make(Split, 20), make(Split, 20)
	for i := range equal {
		equal[i] = 90
		half[i], none[i], single[i] = InPart+int8(i%2), InRest, InRest
	}
	single[0] = InPart
	out := contrasts(t, equal, []Effect{{Split: half}, {Split: none}, {Split: single}, {}}, 20, Options{Resamples: 100})
	if c := out[0]; c.Mean != (Estimate{}) || c.Area != (Estimate{}) || c.Median != (Estimate{}) {
		t.Errorf("of equal values: %+v", c)
	}
	if c := out[1]; c.Part != 0 || c.Rest != 20 || !math.IsNaN(c.Mean.Value) || c.Mean.Known() {
		t.Errorf("of nothing: %+v", c)
	}
	if c := out[2]; c.Mean.Value != 0 || c.Mean.Known() {
		t.Errorf("of one value: %+v", c)
	}
	if c := out[3]; !math.IsNaN(c.Mean.Value) || c.Mean.Known() {
		t.Errorf("of no estimate: %+v", c)
	}
	if _, err := Contrasts(ctx, equal, []Effect{{Split: half[:3]}}, 20, Options{}); err == nil {
		t.Error("a split of another size")
	}
	if _, err := Contrasts(ctx, nil, nil, 20, Options{}); !errors.Is(err, ErrEmpty) {
		t.Errorf("no values: %v", err)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Contrasts(done, equal, []Effect{{Split: half}}, 20, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Against the textbook: the slope of a plain line, and a case worked out by hand
// where a covariate takes part of it.
func TestPartialSlope(t *testing.T) {
	y := []float64{1, 3, 2, 5, 4, 6}
	x := []float64{1, 2, 3, 4, 5, 6}
	s, err := PartialSlope(y, x)
	if err != nil || math.Abs(s.Value-31.0/35) > 1e-12 || math.Abs(s.R2-(31*31.0)/(35*35)) > 1e-12 {
		t.Errorf("%+v, %v; want a slope of 31/35 and its square as R²", s, err)
	}
	if single, err := PartialSlope(y, []float64{0, 0, 0, 0, 0, 1}); err != nil || math.Abs(single.Effective-1.43) > 0.01 || s.Effective < 3 {
		t.Errorf("the work of %.2f and %.2f values, %v; want about one and most", single.Effective, s.Effective, err)
	}
	// y = 2x − 3z + 1 exactly.
	z := []float64{1, 0, 2, 5, 1, 1}
	exact := make([]float64, 6)
	for i := range exact {
		exact[i] = 2*x[i] - 3*z[i] + 1
	}
	if s, err = PartialSlope(exact, x, z, z, make([]float64, 6)); err != nil || math.Abs(s.Value-2) > 1e-9 || s.Covariates != 1 || math.Abs(s.R2-1) > 1e-9 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err = PartialSlope(y, z, z); !errors.Is(err, ErrCollinear) {
		t.Errorf("its own covariate: %v", err)
	}
	if _, err = PartialSlope(y, x, z, []float64{0, 1, 0, 0, 0, 0}, []float64{0, 0, 1, 0, 0, 0}, []float64{0, 0, 0, 1, 0, 0}, []float64{0, 0, 0, 0, 1, 0}); err == nil {
		t.Error("as many coefficients as values")
	}
}

// Its interval covers the true slope where the scatter grows with the regressor.
func TestPartialSlopeCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	const runs, n = 400, 60
	held := 0
	for run := range runs {
		y, x, z := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range y {
			x[i] = math.Abs(rng.NormFloat64())
			z[i] = x[i] + rng.NormFloat64()
			y[i] = 20 - 1.5*x[i] + z[i] + (0.5+x[i])*rng.NormFloat64()
		}
		s, err := PartialSlope(y, x, z)
		if err != nil {
			t.Fatal(err)
		}
		c := contrasts(t, y, []Effect{{Mean: &s.Linear}}, 20, Options{Resamples: 500, Seed: uint64(run)})
		if c[0].Mean.Lo <= -1.5 && -1.5 <= c[0].Mean.Hi {
			held++
		}
	}
	t.Logf("covers in %d of %d", held, runs)
	if held < runs*92/100 {
		t.Errorf("covers in %d of %d", held, runs)
	}
}
