package stats

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/stat"
	"pgregory.net/rapid"
)

func mustEDF(t rapid.TB, x, w []float64) EDF {
	t.Helper()
	f, err := NewEDF(x, w)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// near fails unless got and want agree within tol.
func near(t rapid.TB, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s = %v, want %v ± %v", what, got, want, tol)
	}
}

// errorsOf draws a sample of errors with ties.
func errorsOf(t *rapid.T, name string, lo, hi int) []float64 {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float64 {
		return float64(rapid.IntRange(0, 400).Draw(t, "quarter")) / 4
	}), lo, hi).Draw(t, name)
}

func TestEDFSteps(t *testing.T) {
	f := mustEDF(t, []float64{30, 10, 20, 10}, nil)
	want := EDF{X: []float64{10, 20, 30}, F: []float64{0.5, 0.75, 1}, N: 4}
	if d := cmp.Diff(want, f); d != "" {
		t.Fatal(d)
	}
	// Right-continuous: the step belongs to the value itself.
	for _, c := range []struct{ e, want float64 }{{9.99, 0}, {10, 0.5}, {19.99, 0.5}, {20, 0.75}, {30, 1}, {99, 1}} {
		near(t, "F", f.At(c.e), c.want, 0)
	}
	for _, c := range []struct{ p, want float64 }{{0.01, 10}, {0.5, 10}, {0.51, 20}, {0.75, 20}, {0.76, 30}, {1, 30}} {
		near(t, "quantile", f.Quantile(c.p), c.want, 0)
	}
	// ∫ up to 25: (25−10)·½ + (25−20)·¼
	near(t, "area", f.Area(25), 8.75, 1e-12)
	near(t, "area", f.Area(10), 0, 0)
}

func TestWeightedEDF(t *testing.T) {
	f := mustEDF(t, []float64{10, 20, 30, 40}, []float64{1, 0, 2, 1})
	want := EDF{X: []float64{10, 30, 40}, F: []float64{0.25, 0.75, 1}, N: 4}
	if d := cmp.Diff(want, f); d != "" {
		t.Fatal(d)
	}
	near(t, "area", f.Area(40), 0.25*30+0.5*10, 1e-12)
}

func TestEDFRefuses(t *testing.T) {
	for name, c := range map[string]struct{ x, w []float64 }{
		"empty":           {nil, nil},
		"NaN":             {[]float64{1, math.NaN()}, nil},
		"infinite":        {[]float64{math.Inf(1)}, nil},
		"fewer weights":   {[]float64{1, 2}, []float64{1}},
		"negative weight": {[]float64{1, 2}, []float64{1, -1}},
		"NaN weight":      {[]float64{1, 2}, []float64{1, math.NaN()}},
		"zero weights":    {[]float64{1, 2}, []float64{0, 0}},
	} {
		if _, err := NewEDF(c.x, c.w); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The EDF agrees with gonum's, ascends to 1, leaves its argument alone, and its
// area is the mean of max(0, emax − e).
func TestEDFProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := errorsOf(t, "x", 1, 40)
		before := slices.Clone(x)
		f := mustEDF(t, x, nil)
		if !slices.Equal(x, before) {
			t.Fatal("the argument changed")
		}
		if !slices.IsSorted(f.X) || !slices.IsSorted(f.F) || f.F[len(f.F)-1] != 1 {
			t.Fatalf("not a distribution function: %+v", f)
		}
		s := sorted(x)
		e := float64(rapid.IntRange(-4, 404).Draw(t, "e")) / 4
		near(t, "F", f.At(e), stat.CDF(e, stat.Empirical, s, nil), 1e-12)
		p := rapid.Float64Range(0.001, 1).Draw(t, "p")
		if q := f.Quantile(p); f.At(q) < p-1e-9 {
			t.Fatalf("F(%v) = %v < %v", q, f.At(q), p)
		}
		want := 0.0
		for _, v := range x {
			want += math.Max(0, e-v) / float64(len(x))
		}
		near(t, "area", f.Area(e), want, 1e-9)

		// Equal weights change nothing.
		w := slices.Repeat([]float64{0.3}, len(x))
		near(t, "weighted F", mustEDF(t, x, w).At(e), f.At(e), 1e-12)
	})
}

func TestDKW(t *testing.T) {
	near(t, "DKW(100, 95 %)", DKW(100, 0.95), 0.1358, 5e-5)
	near(t, "DKW(500, 95 %)", DKW(500, 0.95), 0.0607, 5e-5)
}
