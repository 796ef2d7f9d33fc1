package stats

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/stat"
	"pgregory.net/rapid"
)

// distance is the largest gap between two EDFs, from the definition.
func distance(t rapid.TB, a, b []float64) float64 {
	f, g := mustEDF(t, a, nil), mustEDF(t, b, nil)
	d := 0.0
	for _, e := range slices.Concat(a, b) {
		d = math.Max(d, math.Abs(f.At(e)-g.At(e)))
	}
	return d
}

// The exact p-value is the share of all splits of the pooled sample that lie
// apart at least as far, ties included.
func TestKolmogorovSmirnovAgainstEverySplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.IntRange(0, 12).Draw(t, "v")) })
		a := rapid.SliceOfN(value, 1, 5).Draw(t, "a")
		b := rapid.SliceOfN(value, 1, 5).Draw(t, "b")
		got, err := KolmogorovSmirnov(a, b)
		if err != nil {
			t.Fatal(err)
		}
		d := distance(t, a, b)
		near(t, "D", got.D, d, 1e-12)
		pooled := slices.Concat(a, b)
		splits, far := 0, 0
		for mask := range 1 << len(pooled) {
			var x, y []float64
			for i, v := range pooled {
				if mask>>i&1 == 1 {
					x = append(x, v)
				} else {
					y = append(y, v)
				}
			}
			if len(x) != len(a) {
				continue
			}
			splits++
			if distance(t, x, y) >= d-1e-9 {
				far++
			}
		}
		near(t, "p", got.P, float64(far)/float64(splits), 1e-9)
	})
}

// At sizes of real populations the exact p-value approaches Kolmogorov's limit
// Q(λ) = 2 Σ (−1)^{k−1} exp(−2k²λ²), λ = D·√(mn/(m+n)).
func TestKolmogorovSmirnovLimit(t *testing.T) {
	var a, b []float64
	for i := range 500 {
		a = append(a, float64(i))
		b = append(b, float64(i)+50.5)
	}
	got, err := KolmogorovSmirnov(a, b)
	if err != nil {
		t.Fatal(err)
	}
	lambda, limit := got.D*math.Sqrt(250), 0.0
	for k := 1; k < 50; k++ {
		limit += 2 * math.Pow(-1, float64(k-1)) * math.Exp(-2*lambda*lambda*float64(k*k))
	}
	near(t, "D", got.D, 0.102, 1e-12)
	near(t, "p", got.P, limit, 0.15*limit)
	// What large samples are given is near the exact value of smaller ones.
	for _, shift := range []int{10, 30, 50} {
		for i := range b {
			b[i] = float64(i+shift) + 0.5
		}
		if got, err = KolmogorovSmirnov(a, b); err != nil {
			t.Fatal(err)
		}
		near(t, "limit", kolmogorovLimit(got.D, 500, 500), got.P, 0.1*got.P)
	}
	large := make([]float64, 4000)
	for i := range large {
		large[i] = float64(i)
	}
	if got, err = KolmogorovSmirnov(large, large[:3000]); err != nil || got.P != kolmogorovLimit(got.D, 4000, 3000) {
		t.Fatalf("%+v, %v", got, err)
	}
	near(t, "p of a distance of nothing", kolmogorovLimit(1e-9, 4000, 3000), 1, 1e-12)
}

func TestCompareSideBySide(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	sample := func(n int, shift float64) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = shift + 5*math.Exp(0.5*rng.NormFloat64())
		}
		return x
	}
	a, b, c := sample(100, 12), sample(100, 10), sample(100, 12)
	o := Options{Seed: 3}
	sums, pairs, err := Compare(context.Background(), [][]float64{a, b, c}, 20, 0.5, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(sums) != 3 || len(pairs) != 3 || pairs[0].B != 1 || pairs[1].B != 2 || pairs[2].A != 1 {
		t.Fatalf("%d summaries, pairs %+v", len(sums), pairs)
	}
	better, same := pairs[0], pairs[1]
	near(t, "difference of the means", better.Mean.Value, stat.Mean(b, nil)-stat.Mean(a, nil), 1e-9)
	near(t, "difference of the areas", better.Area.Value, sums[1].Area.Value-sums[0].Area.Value, 1e-9)
	if better.Mean.Hi >= 0 || better.Area.Lo <= 0 || better.Mean.Better < 0.99 || better.Area.Better < 0.99 || better.Median.Better < 0.99 {
		t.Errorf("B is better by 2 points and is not found to be: %+v", better)
	}
	if better.KS.P > 0.001 || better.NotWorse.P > 0.001 || better.NotWorseArea.P > 0.001 {
		t.Errorf("KS p = %v, not worse p = %v", better.KS.P, better.NotWorse.P)
	}
	if same.Mean.Lo > 0 || same.Mean.Hi < 0 || same.KS.P < 0.01 {
		t.Errorf("equal spaces differ: %+v", same)
	}
	if worse := pairs[2]; worse.NotWorse.P < 0.95 || worse.NotWorseArea.P < 0.95 {
		t.Errorf("C is worse by 2 points: p = %v", worse.NotWorse.P)
	}

	// The first population's summary does not depend on its company, and the
	// same seed gives the same bits.
	alone, err := Summarise(a, 20, o)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(alone, sums[0]); d != "" {
		t.Error(d)
	}
	_, again, err := Compare(context.Background(), [][]float64{a, b, c}, 20, 0.5, o)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(pairs, again); d != "" {
		t.Error(d)
	}
}

// A population against itself: no difference, an even chance, and resamples
// that were drawn independently of each other.
func TestCompareWithItself(t *testing.T) {
	a := []float64{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}
	_, pairs, err := Compare(context.Background(), [][]float64{a, a}, 20, 0, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := pairs[0]
	near(t, "better", p.Mean.Better, 0.5, 0.02)
	near(t, "better", p.Area.Better, 0.5, 0.02)
	near(t, "better", p.Min.Better, 0.5, 0.02)
	near(t, "KS p", p.KS.P, 1, 0)
	near(t, "not worse by 0", p.NotWorse.P, 0.5, 0.02)
	// Welch's interval for the difference of two means of this variance.
	half := 2.101 * math.Sqrt(2*stat.Variance(a, nil)/10)
	near(t, "lower end", p.Mean.Lo, -half, 0.25)
	near(t, "upper end", p.Mean.Hi, half, 0.25)
}

func TestCompareEdges(t *testing.T) {
	sums, pairs, err := Compare(context.Background(), [][]float64{{10}, {12, 13}}, 20, 0, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := pairs[0]
	if p.Mean.Known() || !math.IsNaN(p.Mean.Better) || !math.IsNaN(p.NotWorse.P) || sums[0].Mean.Known() {
		t.Errorf("one value has no intervals: %+v", p)
	}
	near(t, "difference", p.Mean.Value, 2.5, 1e-12)
	for name, pops := range map[string][][]float64{"empty": {{1, 2}, {}}, "NaN": {{math.NaN()}}} {
		if _, _, err := Compare(context.Background(), pops, 20, 0, Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, _, err := Compare(context.Background(), [][]float64{{1, 2}}, 20, -1, Options{}); err == nil {
		t.Error("a negative margin: no error")
	}
}

// TestNotWorse rejects a true null hypothesis at 5 % about 5 times in 100, on
// skewed populations of unequal spread.
func TestNotWorseHasItsSize(t *testing.T) {
	if testing.Short() {
		t.Skip("a simulation of some seconds")
	}
	rng := rand.New(rand.NewPCG(5, 6))
	draw := func(n int, mean, scale float64) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = mean + scale*(math.Exp(0.5*rng.NormFloat64())-math.Exp(0.125))
		}
		return x
	}
	const trials = 1000
	for _, n := range []int{12, 50} {
		unpaired, paired := 0, 0
		for range trials {
			o := Options{Seed: rng.Uint64(), Resamples: 300}
			a, b := draw(n, 14, 3), draw(n, 15, 2) // worse by exactly the margin
			if r, err := TestNotWorse(a, b, 1, o); err != nil {
				t.Fatal(err)
			} else if r.P < 0.05 {
				unpaired++
			}
			for i := range b {
				b[i] = a[i] + 1 + 0.3*rng.NormFloat64()
			}
			if r, err := TestNotWorsePaired(a, b, 1, o); err != nil {
				t.Fatal(err)
			} else if r.P < 0.05 {
				paired++
			}
		}
		u, p := 100*float64(unpaired)/trials, 100*float64(paired)/trials
		t.Logf("n = %d: unpaired %.1f %%, paired %.1f %% at 5 %%", n, u, p)
		if u < 2.5 || u > 7.5 || p < 2.5 || p > 7.5 {
			t.Errorf("n = %d: false rejections of %.1f %% (unpaired) and %.1f %% (paired), want 5", n, u, p)
		}
	}
}

// Pairing cancels what the pairs share: the same samples decide paired and do
// not unpaired.
func TestPairingDecides(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	a, b := make([]float64, 20), make([]float64, 20)
	for i := range a {
		a[i] = 15 + 4*rng.NormFloat64()
		b[i] = a[i] + 0.2*rng.NormFloat64()
	}
	un, err := TestNotWorse(a, b, 0.5, Options{})
	if err != nil {
		t.Fatal(err)
	}
	paired, err := TestNotWorsePaired(a, b, 0.5, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if un.P < 0.1 || paired.P > 0.005 {
		t.Errorf("unpaired p = %v, paired p = %v", un.P, paired.P)
	}
	same, err := TestNotWorsePaired(a, a, 0.5, Options{})
	if err != nil || same.P != 0 {
		t.Errorf("identical pairs: p = %v, %v", same.P, err)
	}
	if same, err = TestNotWorsePaired(a, a, 0, Options{}); err != nil || same.P != 1 {
		t.Errorf("identical pairs, no margin: p = %v, %v", same.P, err)
	}
	if _, err := TestNotWorsePaired(a, b[:3], 0, Options{}); err == nil {
		t.Error("no pairs: no error")
	}
}

func TestHolm(t *testing.T) {
	got := Holm([]float64{0.01, 0.04, math.NaN(), 0.03, 0.005})
	want := []float64{0.03, 0.06, math.NaN(), 0.06, 0.02}
	for i := range want {
		if math.IsNaN(want[i]) != math.IsNaN(got[i]) || math.Abs(got[i]-want[i]) > 1e-12 {
			t.Fatalf("Holm = %v, want %v", got, want)
		}
	}
}

// The sample size is the one of the textbook, and simulated populations of it
// have the power that was asked for.
func TestModelsNeeded(t *testing.T) {
	n, err := ModelsNeeded(3, 3, 1, 0.05, 0.8)
	if err != nil || n != 112 { // (1.6449 + 0.8416)²·18 = 111.3
		t.Fatalf("n = %d, %v; want 112", n, err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	kept := 0
	for range 400 {
		a, b := make([]float64, n), make([]float64, n)
		for i := range a {
			a[i], b[i] = 15+3*rng.NormFloat64(), 15+3*rng.NormFloat64()
		}
		r, err := TestNotWorse(a, b, 1, Options{Seed: rng.Uint64(), Resamples: 300})
		if err != nil {
			t.Fatal(err)
		}
		if r.P < 0.05 {
			kept++
		}
	}
	near(t, "power", float64(kept)/400, 0.8, 0.06)
	for _, bad := range [][5]float64{{-1, 1, 1, 0.05, 0.8}, {1, 1, 0, 0.05, 0.8}, {1, 1, 1, 0, 0.8}, {1, 1, 1, 0.05, 80}} {
		if _, err := ModelsNeeded(bad[0], bad[1], bad[2], bad[3], bad[4]); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
}

// Exchanging A and B mirrors the interval of a difference, also where both
// populations are skewed alike: their skews pull in opposite directions.
func TestDifferenceIsMirrored(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	a, b := make([]float64, 15), make([]float64, 15)
	for i := range a {
		a[i], b[i] = 12+4*math.Exp(0.9*rng.NormFloat64()), 12+4*math.Exp(0.9*rng.NormFloat64())
	}
	_, ab, err := Compare(context.Background(), [][]float64{a, b}, 20, 0.5, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, ba, err := Compare(context.Background(), [][]float64{b, a}, 20, 0.5, Options{})
	if err != nil {
		t.Fatal(err)
	}
	x, y := ab[0], ba[0]
	for name, d := range map[string][2]Difference{"mean": {x.Mean, y.Mean}, "area": {x.Area, y.Area}, "median": {x.Median, y.Median}, "min": {x.Min, y.Min}} {
		tol := 0.06 * (d[0].Hi - d[0].Lo) // of the resampling
		near(t, name+": value", d[0].Value, -d[1].Value, 1e-9)
		near(t, name+": lower end", d[0].Lo, -d[1].Hi, tol)
		near(t, name+": upper end", d[0].Hi, -d[1].Lo, tol)
		near(t, name+": better", d[0].Better, 1-d[1].Better, 0.02)
	}
	// The test on areas is the test on clipped errors, and belongs to the
	// interval: p is 2.5 % where the 95 % interval ends.
	clip := func(x []float64) []float64 {
		out := make([]float64, len(x))
		for i, v := range x {
			out[i] = math.Min(v, 20)
		}
		return out
	}
	clipped, err := TestNotWorse(clip(a), clip(b), 0.5, Options{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "p of areas", x.NotWorseArea.P, clipped.P, 0.02)
	if margin := -x.Area.Lo; margin > 0 {
		at, err := TestNotWorse(clip(a), clip(b), margin, Options{})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "p at the end of the interval", at.P, 0.025, 0.005)
	}
}
