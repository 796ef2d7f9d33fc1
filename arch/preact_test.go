package arch

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/graph"
)

// TestPreactOps: the ops of a network of two blocks, the first of which
// changes shape, with what each reads.
func TestPreactOps(t *testing.T) {
	n := AnyNet{
		Block: BottleneckPreact, Common: Common{Stem: Stem{CIFARStem, 8}, Activation: graph.ReLU, SE: 0.25, DropPath: 0.2},
		Stages: []Stage{{Depth: 2, Width: 16, Stride: 2, Bottleneck: 2, GroupWidth: 4}},
	}
	g, err := n.Spec().Graph(Input{Channels: 1, Height: 8, Width: 8, Classes: 3})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, n := range g.Nodes {
		what := n.Name
		if what == "" {
			what = n.Op.String()
		}
		got = append(got, fmt.Sprintf("%d %s %s %d×%d", i, what, strings.Trim(fmt.Sprint(n.In), "[]"), n.C, n.H))
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(`
0 input  1×8
1 stem.conv 0 8×8
2 stem.bn 1 8×8
3 activation 2 8×8
4 s1.b1.f.a_bn 3 8×8
5 activation 4 8×8
6 s1.b1.proj 5 16×4
7 s1.b1.f.a 5 8×8
8 s1.b1.f.b_bn 7 8×8
9 activation 8 8×8
10 s1.b1.f.b 9 8×4
11 s1.b1.f.c_bn 10 8×4
12 activation 11 8×4
13 global-pool 12 8×1
14 s1.b1.f.se.f_ex.0 13 2×1
15 activation 14 2×1
16 s1.b1.f.se.f_ex.2 15 8×1
17 activation 16 8×1
18 scale 12 17 8×4
19 s1.b1.f.c 18 16×4
20 add 6 19 16×4
21 s1.b2.f.a_bn 20 16×4
22 activation 21 16×4
23 s1.b2.f.a 22 8×4
24 s1.b2.f.b_bn 23 8×4
25 activation 24 8×4
26 s1.b2.f.b 25 8×4
27 s1.b2.f.c_bn 26 8×4
28 activation 27 8×4
29 global-pool 28 8×1
30 s1.b2.f.se.f_ex.0 29 4×1
31 activation 30 4×1
32 s1.b2.f.se.f_ex.2 31 8×1
33 activation 32 8×1
34 scale 28 33 8×4
35 s1.b2.f.c 34 16×4
36 drop-path 35 16×4
37 add 20 36 16×4
38 body.bn 37 16×4
39 activation 38 16×4
40 global-pool 39 16×1
41 head.fc 40 3×1`), "\n"), got); diff != "" {
		t.Errorf("ops, -want +got:\n%s", diff)
	}
	for _, p := range g.Params {
		if p.EndsBranch {
			t.Errorf("%s ends a branch: no BN does", p.Name)
		}
	}
}

// TestPreactComplexity counts by the formulas, not by the builder: a regnet of
// two stages, of which the fast path multiplies the blocks from the second on.
func TestPreactComplexity(t *testing.T) {
	r := RegNet{Depth: 12, W0: 24, WA: 8, WM: 2.2, GroupWidth: 8, Bottleneck: 1, Block: BottleneckPreact, Common: Common{Stem: Stem{CIFARStem, 16}, Activation: graph.ReLU}}
	in := Input{Channels: 3, Height: 32, Width: 32, Classes: 10}
	a, err := r.AnyNet()
	if err != nil {
		t.Fatal(err)
	}
	area := int64(32 * 32)
	want := graph.Complexity{Flops: 27 * 16 * area, Params: 27*16 + 2*16, Acts: 16 * area}
	conv := func(in, out, kernel, groups, area int64) {
		weights := in / groups * out * kernel * kernel
		want.Flops += weights * area
		want.Params += weights
		want.Acts += out * area
	}
	wIn := int64(16)
	for _, s := range a.Stages {
		w := int64(s.Width)
		for j := range s.Depth {
			out := area
			if j == 0 {
				out /= 4
				conv(wIn, w, 1, 1, out)
			}
			conv(wIn, w, 1, 1, area)
			conv(w, w, 3, w/8, out)
			conv(w, w, 1, 1, out)
			want.Params += 2 * (wIn + w + w)
			wIn, area = w, out
		}
	}
	want.Params += 2 * wIn // what the body ends with
	want.Params += 10*wIn + 10
	want.Flops += 10*wIn + 10
	want.Acts += 10
	got, err := r.Spec().Complexity(in)
	if err != nil || got != want {
		t.Errorf("counted %+v (%v), want %+v", got, err, want)
	}
	e, err := r.Spec().Explain(in)
	if err != nil {
		t.Fatal(err)
	}
	if s := e.Sections[len(e.Sections)-2]; e.Block != "bottleneck-preact" || s.Name != "body" || s.Complexity != (graph.Complexity{Params: 2 * wIn}) {
		t.Errorf("blocks %s; the section before the head is %+v", e.Block, s)
	}
}
