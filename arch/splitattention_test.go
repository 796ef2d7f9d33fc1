package arch

import (
	"math"
	"testing"

	"netspace/graph"
)

// TestResNeStIsThePublishedOne compares with the parameters of the authors' networks and
// with the flops of the paper, whose count has one more for every normalised element.
func TestResNeStIsThePublishedOne(t *testing.T) {
	for _, c := range []struct {
		model  string
		params int64
		flops  float64 // G, at 224 pixels; 0: the paper has none
	}{
		{"resnest50", 27_483_240, 5.39},
		{"resnest101", 48_275_016, 10.2},
		{"resnest200", 70_201_544, 0},
		{"resnest269", 110_929_480, 0},
	} {
		spec, err := Lookup(c.model)
		if err != nil {
			t.Fatal(err)
		}
		g, err := spec.Graph(Input{Height: 224, Width: 224})
		if err != nil {
			t.Fatal(err)
		}
		k := g.Complexity()
		flops := k.Flops
		for _, n := range g.Nodes {
			if n.Op == graph.OpBatchNorm {
				flops += int64(n.C * n.H * n.W)
			}
		}
		if k.Params != c.params {
			t.Errorf("%s: %d params, published %d", c.model, k.Params, c.params)
		}
		digits := 100.0
		if c.flops == 10.2 {
			digits = 10
		}
		if got := math.Round(float64(flops)/1e9*digits) / digits; c.flops != 0 && got != c.flops {
			t.Errorf("%s: %v G flops with those of the norms, published %v", c.model, got, c.flops)
		}
	}
}

// TestSplitAttention counts the parameters of a block by formulas, for splits and
// cardinal groups of several numbers, and looks at how it wires the attention.
func TestSplitAttention(t *testing.T) {
	for _, c := range []struct{ width, bottleneck, group, radix, mid, groups, squeeze int }{
		{64, 1, 64, 2, 64, 1, 32},
		{128, 2, 32, 2, 64, 2, 32},
		{256, 2, 32, 4, 128, 4, 128},
		{64, 1, 64, 1, 64, 1, 32},
		{60, 1, 7, 3, 60, 10, 50}, // g becomes 6, a multiple of the radix; 45 squeezed channels a multiple of 10
		{96, 1, 16, 2, 96, 6, 48},
	} {
		n := AnyNet{Block: SplitAttention, Common: Common{Stem: Stem{CIFARStem, 16}, Radix: c.radix, Activation: graph.ReLU},
			Stages: []Stage{{Depth: 1, Width: c.width, Stride: 2, Bottleneck: float64(c.bottleneck), GroupWidth: c.group}}}
		g, err := n.Spec().Graph(Input{Channels: 3, Height: 9, Width: 9, Classes: 10})
		if err != nil {
			t.Fatal(err)
		}
		mid, r := c.mid, c.radix
		want := 27*16 + 2*16 + c.width*10 + 10 // stem and head
		want += 16*c.width + 2*c.width         // shortcut
		want += 16*mid + 2*mid
		want += mid*r*mid/(c.groups*r)*9 + 2*mid*r
		want += mid*c.squeeze/c.groups + c.squeeze + 2*c.squeeze
		want += c.squeeze*mid*r/c.groups + mid*r
		want += mid*c.width + 2*c.width
		if k := g.Complexity(); k.Params != int64(want) {
			t.Errorf("%+v: %d params, want %d", c, k.Params, want)
		}
		count := map[graph.Op]int{}
		for _, n := range g.Nodes {
			count[n.Op]++
			if n.Op == graph.OpAvgPool && (n.H != 5 || n.W != 5) {
				t.Errorf("%+v: a pooling of 9×9 gives %d×%d", c, n.H, n.W)
			}
			if n.Op == graph.OpSoftmax && (n.Parts != r || n.Groups != c.groups) {
				t.Errorf("%+v: softmax over %d parts of %d groups", c, n.Parts, n.Groups)
			}
		}
		folds, softmax := 2, 1
		if r == 1 {
			folds, softmax = 0, 0
		}
		if count[graph.OpFold] != folds || count[graph.OpScale] != 1 || count[graph.OpAvgPool] != 2 || count[graph.OpSoftmax] != softmax {
			t.Errorf("%+v: %v", c, count)
		}
	}
}

// TestRadix: the field is that of blocks that have it, its default is that of the
// published networks, and networks are told apart by it.
func TestRadix(t *testing.T) {
	const text = "family: regnet\ndepth: 4\nw0: 16\nwa: 8\nwm: 2\ngroup_width: 8\n"
	parse := func(more string) (Spec, error) { return ParseSpec([]byte(text+more), "net.yaml") }
	plain, err := parse("block: split-attention\n")
	if err != nil {
		t.Fatal(err)
	}
	two, err := parse("block: split-attention\nradix: 2\n")
	if err != nil {
		t.Fatal(err)
	}
	four, err := parse("block: split-attention\nradix: 4\n")
	if err != nil {
		t.Fatal(err)
	}
	if plain.Key() != two.Key() || two.Key() == four.Key() {
		t.Errorf("keys %q, %q, %q", plain.Key(), two.Key(), four.Key())
	}
	for _, bad := range []string{"radix: 2\n", "block: split-attention\nradix: 0\n", "block: split-attention\nradix: 33\n"} {
		if s, err := parse(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, s)
		}
	}
}
