//go:build cgo

package onednn

import (
	"fmt"
	"slices"
	"testing"

	"netspace/engine"
	"netspace/graph"
)

// Lanes hold each channel once, in whole blocks, and the rest is padding;
// groups keep to blocks of their own, or several of them to one.
func TestLanes(t *testing.T) {
	for _, block := range []int{8, 16} {
		for g := 1; g <= 40; g++ {
			for groups := 1; groups <= 9; groups++ {
				c := g * groups
				for _, l := range []lanes{naturalLanes(c, block), groupLanes(c, g, groupsPerBlock(g, g, block), block)} {
					at := l.index(c)
					seen := make([]int, 0, c)
					for lane, ch := range l {
						if ch < 0 {
							continue
						}
						seen = append(seen, ch)
						if at[ch] != lane {
							t.Fatalf("%d×%d, blocks of %d: channel %d is in lane %d, not in %d", groups, g, block, ch, lane, at[ch])
						}
					}
					slices.Sort(seen)
					if len(l)%block != 0 || len(seen) != c || len(slices.Compact(seen)) != c {
						t.Fatalf("%d×%d, blocks of %d: lanes %v", groups, g, block, l)
					}
				}
				at := groupLanes(c, g, groupsPerBlock(g, g, block), block).index(c)
				for ch, lane := range at {
					if first := at[ch/g*g]; lane-first != ch%g || lane/block != first/block && first%block != 0 {
						t.Fatalf("%d×%d, blocks of %d: channel %d is in lane %d, its group begins at %d", groups, g, block, ch, lane, first)
					}
				}
			}
		}
	}
}

// Every weight has a place of its own in the padded array, which is no larger
// than its lanes need.
func TestWeightMap(t *testing.T) {
	for _, block := range []int{8, 16} {
		for width := 1; width <= 33; width++ {
			for _, groups := range []int{1, 2, 3, 8} {
				for _, k := range []int{1, 3} {
					c := width * groups
					n := &graph.Node{Op: graph.OpConv, C: c, Kernel: k, Groups: groups}
					natural, grouped := naturalLanes(c, block), groupLanes(c, width, groupsPerBlock(width, width, block), block)
					check := func(name string, n *graph.Node, kind convKind, l lanes) {
						at, size, _ := weightMap(n, kind, l, l, c, block)
						want := c * (c / max(1, n.Groups)) * k * k
						sorted := slices.Sorted(slices.Values(at))
						if len(at) != want || len(slices.Compact(sorted)) != want || sorted[0] < 0 || slices.Max(at) >= size {
							t.Fatalf("%s, %d groups of %d, kernel %d, blocks of %d: %d weights, want %d, in an array of %d", name, n.Groups, width, k, block, len(at), want, size)
						}
					}
					check("dense", n, denseConv, natural)
					if groups > 1 {
						check("groups", n, groupConv, grouped)
					}
					depthwise := *n
					depthwise.Groups = c
					check("depthwise", &depthwise, depthwiseConv, natural)
				}
			}
		}
	}
}

// packed sets a weight and gets it back.
func (h *handmade) packed(t *testing.T, param graph.Param, what string) {
	t.Helper()
	want := make([]float32, param.Size())
	for i := range want {
		want[i] = float32(i + 1)
	}
	got := make([]float32, len(want))
	if err := h.Set(engine.Params, param.Name, want); err != nil {
		t.Fatal(err)
	}
	if err := h.Get(engine.Params, param.Name, got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: weights come back changed", what)
	}
	if n := nonzero(h.area(h.params)); n != len(want) {
		t.Errorf("%s: %d weights are %d in the engine", what, len(want), n)
	}
	if err := h.touched(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// Weights of groups of every width come back as they went in, and what pads them is zero.
func TestPackedWeights(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		for width := 1; width <= 40; width++ {
			for _, groups := range []int{1, 2, 3} {
				k := 1 + width%2*2
				var rec graph.Recorder
				before := rec.Conv(graph.Name{Part: "before"}, rec.Input(3, 4, 4), graph.Conv{Out: width * groups, Kernel: 1, Stride: 1, Groups: 1})
				rec.Conv(graph.Name{Part: "conv"}, before, graph.Conv{Out: width * groups, Kernel: k, Stride: 1, Groups: groups})
				g, err := rec.Graph()
				if err != nil {
					t.Fatal(err)
				}
				h := byHand(e, g, block, 1)
				h.convs[2] = &conv{node: 2, kind: h.kinds[2], root: &root{node: 1, chunk: 1}}
				if err := h.makeWeights(h.lowering); err != nil {
					t.Fatal(err)
				}
				if err := h.emit(h.scheduler); err != nil {
					t.Fatal(err)
				}
				h.packed(t, g.Params[1], fmt.Sprintf("%d groups of %d, kernel %d", groups, width, k))
				h.Close()
			}
		}
	})
}

// What is chosen for convolutions, in the order of a network.
func TestLayouts(t *testing.T) {
	type step struct {
		out, kernel, groups int
		kind                convKind
		lanes               int // of the output, in blocks of 8
	}
	for name, steps := range map[string][]step{
		"dense":                           {{20, 3, 1, denseConv, 24}},
		"groups behind dense":             {{24, 1, 1, denseConv, 32}, {24, 3, 2, groupConv, 32}, {20, 1, 1, denseConv, 24}},
		"narrow groups share a block":     {{12, 1, 1, denseConv, 16}, {12, 3, 4, groupConv, 16}},
		"images have their lanes already": {{12, 3, 4, denseConv, 16}}, // 4 groups of 3, of 12 channels in order
		"the later of two that disagree":  {{24, 1, 1, denseConv, 32}, {24, 3, 2, groupConv, 32}, {24, 3, 8, denseConv, 24}},
		"two that agree":                  {{24, 1, 1, denseConv, 32}, {24, 3, 2, groupConv, 32}, {24, 3, 2, groupConv, 32}},
		"groups that widen":               {{16, 1, 1, denseConv, 16}, {32, 3, 2, groupConv, 32}},
		"narrow groups that widen":        {{16, 1, 1, denseConv, 32}, {32, 3, 4, groupConv, 32}}, // padded as the wider side is
		"groups that share and widen":     {{8, 1, 1, denseConv, 16}, {16, 3, 4, groupConv, 16}},
		"depthwise keeps lanes":           {{24, 1, 1, denseConv, 32}, {24, 3, 2, groupConv, 32}, {24, 5, 24, depthwiseConv, 32}},
	} {
		var rec graph.Recorder
		x := rec.Input(12, 6, 6)
		for i, s := range steps {
			x = rec.Conv(graph.Name{Part: fmt.Sprint(i)}, x, graph.Conv{Out: s.out, Kernel: s.kernel, Stride: 1, Groups: s.groups})
		}
		rec.Linear(graph.Name{Part: "head"}, rec.GlobalPool(x), 10)
		g, err := rec.Graph()
		if err != nil {
			t.Fatal(err)
		}
		l, kinds := layouts(g, 8)
		for i, s := range steps {
			if kinds[i+1] != s.kind || len(l[i+1]) != s.lanes {
				t.Errorf("%s, convolution %d: kind %d on %d lanes, want %d on %d", name, i, kinds[i+1], len(l[i+1]), s.kind, s.lanes)
			}
		}
		if last := len(g.Nodes) - 1; kinds[last] != gemmConv || len(l[last]) != 16 {
			t.Errorf("%s: the head is of kind %d on %d lanes", name, kinds[last], len(l[last]))
		}
	}
}
