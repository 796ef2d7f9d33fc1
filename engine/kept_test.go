package engine_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"netspace/engine"
	"netspace/graph"
)

// Rounded by the bits: to the nearest upper half, ties to even.
func bf16(x float32) float32 {
	b := math.Float32bits(x)
	if x != x {
		return x
	}
	return math.Float32frombits((b + 0x7fff + b>>16&1) &^ 0xffff)
}

func TestRound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	special := []uint32{0, 1, 0x7fff, 0x8000, 0x8001, 0x18000, 0x3f808000, 0x3f818000, 0x3f808001, 0x7f7fffff, 0x7f7f7fff, 0x7f800000, 0x807fffff, 0xff800000, 0x80000000}
	for i := range 200_000 {
		b := r.Uint32()
		if i < len(special) {
			b = special[i]
		} else if i%3 == 0 {
			b = b&^0xffff | 0x8000 // in the middle
		}
		x := math.Float32frombits(b)
		if got, want := engine.BF16.Round(float64(x)), float64(bf16(x)); got != want && !(got != got && x != x) {
			t.Fatalf("%x: %g rounded to %g, want %g", b, x, got, want)
		}
	}
	if got := engine.BF16.Round(math.NaN()); got == got {
		t.Errorf("a NaN rounded to %g", got)
	}
	if got := engine.FP32.Round(1 + 1e-9); got != 1 {
		t.Errorf("float32 of 1+1e-9 is %g", got)
	}
	if x := 1 + 1e-9; engine.FP64.Round(x) != x {
		t.Error("float64 is rounded")
	}
}

// A residual block behind a stem: what is kept, and what is not.
func TestKept(t *testing.T) {
	var r graph.Recorder
	name := func(s string) graph.Name { return graph.Name{Part: s} }
	conv := func(s string, x graph.Value, bias bool) graph.Value {
		return r.Conv(name(s), x, graph.Conv{Out: 8, Kernel: 3, Stride: 1, Groups: 1, Bias: bias})
	}
	x := r.Input(3, 8, 8)
	stem := conv("stem", x, false)
	taken := r.Activation(r.BatchNorm(name("bn"), stem, graph.BatchNorm{}), graph.ReLU) // by the sum
	a := conv("a", taken, false)
	inner := r.Activation(r.BatchNorm(name("bn_a"), a, graph.BatchNorm{}), graph.ReLU)
	b := conv("b", inner, true)
	sum := r.Add(b, taken)
	out := r.Activation(sum, graph.ReLU)
	c := conv("c", out, false)
	next := r.Add(c, out) // read by two
	conv("dead", next, false)
	r.Linear(name("head"), r.GlobalPool(r.MaxPool(next, 3, 2)), 5)
	g, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for i, k := range engine.Kept(g) {
		if k {
			got = append(got, i)
		}
	}
	want := []int{stem.Node, taken.Node, a.Node, out.Node, c.Node, next.Node}
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("kept are the nodes %v, want %v", got, want)
	}
}
