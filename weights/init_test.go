package weights

import (
	"fmt"
	"math"
	"testing"

	"netspace/graph"
)

// wideNet has enough weights of every kind for their moments to be seen.
func wideNet(t *testing.T) *graph.Graph {
	t.Helper()
	var r graph.Recorder
	x := r.Input(3, 8, 8)
	x = r.BatchNorm(graph.Name{Part: "stem.bn"}, r.Conv(graph.Name{Part: "stem.conv"}, x, graph.Conv{Out: 128, Kernel: 3, Stride: 1, Groups: 1}), graph.BatchNorm{})
	y := r.Conv(graph.Name{Stage: 1, Block: 1, Part: "f.b"}, x, graph.Conv{Out: 128, Kernel: 3, Stride: 1, Groups: 4})
	y = r.BatchNorm(graph.Name{Stage: 1, Block: 1, Part: "f.b_bn"}, y, graph.BatchNorm{EndsBranch: true})
	x = r.Add(x, y)
	g := r.Conv(graph.Name{Stage: 1, Block: 1, Part: "f.se.f_ex.0"}, r.GlobalPool(x), graph.Conv{Out: 64, Kernel: 1, Stride: 1, Groups: 1, Bias: true})
	r.Linear(graph.Name{Part: "head.fc"}, g, 100)
	out, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func initial(t *testing.T, g *graph.Graph, name string, seed uint64, zeroGamma bool) []float32 {
	t.Helper()
	p, ok := g.Param(name)
	if !ok {
		t.Fatalf("no parameter %s", name)
	}
	buf := make([]float32, p.Size())
	for i := range buf {
		buf[i] = float32(math.NaN()) // every element must be written
	}
	InitParam(g, p, seed, zeroGamma, buf)
	return buf
}

// The means and spreads are those of docs/method.md §5: He by fan-out whatever the
// groups. The tolerance is four standard errors.
func TestInitialDistributions(t *testing.T) {
	g := wideNet(t)
	uniform := func(fanIn float64) float64 { return 1 / math.Sqrt(3*fanIn) }
	for name, std := range map[string]float64{
		"stem.conv.weight":         math.Sqrt(2.0 / (9 * 128)),
		"s1.b1.f.b.weight":         math.Sqrt(2.0 / (9 * 128)), // 4 groups
		"s1.b1.f.se.f_ex.0.bias":   uniform(128),
		"head.fc.weight":           0.01,
		"s1.b1.f.se.f_ex.0.weight": math.Sqrt(2.0 / 64),
	} {
		var sum, sq float64
		w := initial(t, g, name, 1, false)
		for _, v := range w {
			sum += float64(v)
			sq += float64(v) * float64(v)
		}
		n := float64(len(w))
		mean, got := sum/n, math.Sqrt(sq/n)
		if math.Abs(mean) > 4*std/math.Sqrt(n) || math.Abs(got/std-1) > 4/math.Sqrt(2*n) {
			t.Errorf("%s: mean %.3g and std %.5g over %v weights; want 0 and %.5g", name, mean, got, n, std)
		}
	}
	bound := float32(1 / math.Sqrt(128))
	for _, v := range initial(t, g, "s1.b1.f.se.f_ex.0.bias", 1, false) {
		if v < -bound || v > bound {
			t.Fatalf("bias %v is outside ±%v", v, bound)
		}
	}
	for name, want := range map[string]float32{"head.fc.bias": 0, "stem.bn.weight": 1, "stem.bn.bias": 0, "s1.b1.f.b_bn.weight": 1} {
		for _, v := range initial(t, g, name, 1, false) {
			if v != want || math.Signbit(float64(v)) {
				t.Fatalf("%s: %v; want %v", name, v, want)
			}
		}
	}
}

func TestZeroGamma(t *testing.T) {
	g := wideNet(t)
	for name, want := range map[string]float32{"stem.bn.weight": 1, "s1.b1.f.b_bn.weight": 0} {
		if got := initial(t, g, name, 1, true)[0]; got != want {
			t.Errorf("%s starts at %v; want %v", name, got, want)
		}
	}
}

// A tensor starts the same in every network that has it, and differently with
// another seed or name.
func TestInitialFollowsTheName(t *testing.T) {
	g := wideNet(t)
	var r graph.Recorder
	r.Linear(graph.Name{Part: "head.fc"}, r.GlobalPool(r.Conv(graph.Name{Part: "stem.conv"}, r.Input(1, 4, 4), graph.Conv{Out: 4, Kernel: 3, Stride: 1, Groups: 1})), 2)
	small, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	a := initial(t, g, "stem.conv.weight", 1, false)
	if b := initial(t, g, "stem.conv.weight", 1, false); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Error("a second time differs")
	}
	if b := initial(t, g, "stem.conv.weight", 2, false); fmt.Sprint(a) == fmt.Sprint(b) {
		t.Error("another seed gives the same weights")
	}
	std := float32(math.Sqrt(9*128) / math.Sqrt(9*4))
	b := initial(t, small, "stem.conv.weight", 1, false)
	if r := b[0] / a[0]; math.Abs(float64(r/std-1)) > 1e-5 {
		t.Errorf("stem.conv of another width starts at %v times this one; want the same draw at another scale, %v", r, std)
	}
}
