//go:build cgo

package onednn

import (
	"slices"
	"testing"

	"netspace/graph"
)

// Lanes hold each channel once, in whole blocks, and the rest is padding;
// groups keep to blocks of their own, or several of them to one.
func TestLanes(t *testing.T) {
	for _, block := range []int{8, 16} {
		for g := 1; g <= 40; g++ {
			for groups := 1; groups <= 9; groups++ {
				c := g * groups
				for _, l := range []lanes{naturalLanes(c, block), groupLanes(c, g, block)} {
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
				at := groupLanes(c, g, block).index(c)
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
					natural, grouped := naturalLanes(c, block), groupLanes(c, width, block)
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
