package arch

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/graph"
)

// TestTensorNames: the names of the paper authors' tool, so that weights travel.
func TestTensorNames(t *testing.T) {
	stem := Stem{Type: SimpleStem, Width: 8}
	one := func(block BlockType, se float64, head int) Network {
		s := block.Has().only(Stage{Depth: 1, Width: 16, Stride: 2, Bottleneck: 1, GroupWidth: 8})
		return AnyNet{Block: block, Common: Common{Stem: stem, SE: se, Activation: graph.ReLU, HeadWidth: head}, Stages: []Stage{s}}
	}
	ends := func(names ...string) []string {
		return append(append([]string{"stem.conv", "stem.bn"}, names...), "head.fc")
	}
	proj := []string{"s1.b1.proj", "s1.b1.bn"}
	x := append(proj, "s1.b1.f.a", "s1.b1.f.a_bn", "s1.b1.f.b", "s1.b1.f.b_bn")
	for name, c := range map[string]struct {
		net  Network
		want []string
	}{
		"X":        {one(Bottleneck, 0, 0), ends(append(x[:6:6], "s1.b1.f.c", "s1.b1.f.c_bn")...)},
		"Y":        {one(Bottleneck, 0.25, 0), ends(append(x[:6:6], "s1.b1.f.se.f_ex.0", "s1.b1.f.se.f_ex.2", "s1.b1.f.c", "s1.b1.f.c_bn")...)},
		"R":        {one(Basic, 0, 0), ends(x...)},
		"VR":       {one(VanillaResidual, 0, 0), ends(x...)},
		"V":        {one(Vanilla, 0, 0), ends("s1.b1.a", "s1.b1.a_bn", "s1.b1.b", "s1.b1.b_bn")},
		"linear X": {one(BottleneckLinear, 0, 0), ends(append(x[2:6:6], "s1.b1.f.c", "s1.b1.f.c_bn")...)},
		"head":     {one(Vanilla, 0, 32), ends("s1.b1.a", "s1.b1.a_bn", "s1.b1.b", "s1.b1.b_bn", "head.conv", "head.bn")},
		"MBConv": {EffNet{Common: Common{Stem: stem, SE: 0.25, Activation: graph.SiLU, HeadWidth: 32}, Stages: []EffStage{{1, 8, 1, 6, 3}, {1, 8, 1, 1, 3}}},
			ends("s1.b1.exp", "s1.b1.exp_bn", "s1.b1.dwise", "s1.b1.dwise_bn", "s1.b1.se.f_ex.0", "s1.b1.se.f_ex.2", "s1.b1.lin_proj", "s1.b1.lin_proj_bn",
				"s2.b1.dwise", "s2.b1.dwise_bn", "s2.b1.se.f_ex.0", "s2.b1.se.f_ex.2", "s2.b1.lin_proj", "s2.b1.lin_proj_bn", "head.conv", "head.conv_bn")},
	} {
		g, err := Spec{Network: c.net}.Graph(Input{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, n := range g.Nodes {
			if n.Name != "" {
				got = append(got, n.Name)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s, -want +got:\n%s", name, diff)
		}
	}
}

// TestResidualOps: where activations, drop-path and the mark of the last BN are.
func TestResidualOps(t *testing.T) {
	n := AnyNet{Common: Common{Stem: Stem{CIFARStem, 8}, Activation: graph.SiLU, DropPath: 0.3, Dropout: 0.2}, Stages: []Stage{{Depth: 4, Width: 8, Stride: 1, Bottleneck: 1, GroupWidth: 8}}}
	g, err := n.Spec().Graph(Input{Channels: 1, Height: 8, Width: 8, Classes: 2})
	if err != nil {
		t.Fatal(err)
	}
	var rates []float64
	for _, i := range g.Stochastic() {
		rates = append(rates, g.Nodes[i].Rate)
	}
	if diff := cmp.Diff([]float64{0.1, 0.2, 0.3, 0.2}, rates, cmp.Comparer(func(a, b float64) bool { return a-b < 1e-12 && b-a < 1e-12 })); diff != "" {
		t.Errorf("rates of drop-path, growing from 0, and dropout; -want +got:\n%s", diff)
	}
	last := 0
	for _, p := range g.Params {
		if p.EndsBranch {
			last++
		}
	}
	if last != 4 {
		t.Errorf("%d BNs end a branch, want one per block", last)
	}
	acts := map[graph.Activation]int{}
	for _, n := range g.Nodes {
		if n.Op == graph.OpActivation {
			acts[n.Act]++
		}
	}
	if acts[graph.SiLU] != 1+4*3 || len(acts) != 1 {
		t.Errorf("activations %v, want SiLU in the stem and three times in each block", acts)
	}

	n.Block = BottleneckLinear
	n.Stages[0].Width = 16 // the first block has no shortcut
	g, err = n.Spec().Graph(Input{Channels: 1, Height: 8, Width: 8, Classes: 2})
	if err != nil {
		t.Fatal(err)
	}
	adds, last := 0, 0
	for _, n := range g.Nodes {
		if n.Op == graph.OpAdd {
			adds++
		}
	}
	for _, p := range g.Params {
		if p.EndsBranch {
			last++
		}
	}
	if adds != 3 || last != 3 {
		t.Errorf("linear blocks: %d additions and %d BNs that zero-gamma may silence, want 3 of 4 blocks", adds, last)
	}
}
