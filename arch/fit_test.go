package arch

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"netspace/graph"
)

// TestFitZoo: the widths of all published RegNets are recovered exactly, and
// those of the ResNets, which no line describes, are not.
func TestFitZoo(t *testing.T) {
	for _, m := range Zoo() {
		n, ok := m.Spec.AnyNet()
		if !ok {
			continue
		}
		fit := n.Fit()
		_, regnet := m.Spec.Network.(RegNet)
		if regnet != (fit.Error == 0) || fit.Error > 0.3 {
			t.Errorf("%s: %+v", m.Name, fit)
		}
	}
}

// TestFitRecovers: any RegNet with DDS's parameters, not only with round ones,
// is recovered exactly, and the parameters found build its widths.
func TestFitRecovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := RegNet{Depth: rapid.IntRange(1, 40).Draw(t, "depth"), W0: rapid.Float64Range(8, 256).Draw(t, "w0"), WA: rapid.Float64Range(0, 256).Draw(t, "wa"), WM: rapid.Float64Range(1.5, 3).Draw(t, "wm"),
			GroupWidth: rapid.SampledFrom([]int{1, 2, 4, 8, 16, 24, 32, 48, 64, 120}).Draw(t, "g"), Bottleneck: rapid.SampledFrom([]float64{1, 2, 4}).Draw(t, "b"),
			Common: Common{Stem: Stem{SimpleStem, 32}, Activation: graph.ReLU}}
		n, err := r.AnyNet()
		if err != nil {
			t.Skip()
		}
		fit := n.Fit()
		if fit.Error != 0 {
			t.Fatalf("%+v\nwidths %v\nfitted %+v", r, n.Widths(), fit)
		}
		r.W0, r.WA, r.WM, r.GroupWidth, r.Bottleneck = fit.W0, fit.WA, fit.WM, fit.GroupWidth, fit.Bottleneck
		again, err := r.AnyNet()
		if err != nil {
			t.Fatal(err)
		}
		for j, w := range again.Widths() {
			if n.Widths()[j] != w {
				t.Fatalf("block %d is %d wide, the fit builds %d", j, n.Widths()[j], w)
			}
		}
	})
}

// TestFitIsGood: of networks that are no RegNets, random parameters are never
// much better than those found.
func TestFitIsGood(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for seed := range 12 {
		n := genAnyNet.Example(seed)
		n.Adjust()
		fit := n.Fit()
		f := newFitter(n, fit.GroupWidth, fit.Bottleneck)
		for range 20_000 {
			w0, wa, wm := 1+120*rng.Float64(), 40*rng.Float64()*rng.Float64(), 1.1+5*rng.Float64()*rng.Float64()
			if e := f.error(w0, wa, wm); e < fit.Error-0.01 {
				t.Fatalf("widths %v: e_fit %g with %+v, but %g with %g, %g, %g", n.Widths(), fit.Error, fit, e, w0, wa, wm)
			}
		}
		if math.IsNaN(fit.Error) || len(fit.Widths) != n.Depth() {
			t.Fatalf("%+v", fit)
		}
	}
}

func BenchmarkFit(b *testing.B) {
	for _, name := range []string{"RegNetX-3.2GF", "ResNet-50"} {
		m, _ := Published(name)
		n, _ := m.Spec.AnyNet()
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				n.Fit()
			}
		})
	}
}
