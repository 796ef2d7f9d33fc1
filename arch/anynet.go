package arch

import (
	"math"
	"slices"

	"netspace/graph"
)

// mid is the number of channels of an adjusted stage's 3×3 convolutions: w_b
// where there is a bottleneck ratio.
func (s Stage) mid() int {
	if s.Bottleneck == 0 {
		return s.Width
	}
	if s.Bottleneck < 1 {
		return s.Width * int(math.Round(1/s.Bottleneck))
	}
	return s.Width / int(math.Round(s.Bottleneck))
}

// Adjusted makes width, bottleneck ratio and group width compatible (docs/method.md
// §2): g is at most w_b, w_b becomes the nearest multiple of g (half to even)
// and at least g, and the width follows from w_b. For an inverted bottleneck
// of multiplier m = 1/b > 1, w_b becomes a multiple of lcm(g, m).
//
// A Bottleneck of 0 means 1, a GroupWidth of 0 one group. Bottleneck, or its
// inverse, must be a whole number and the rest positive: see AnyNet.Validate.
// Adjusting is idempotent.
func (s Stage) Adjusted() Stage { return s.adjusted(1) }

// adjusted makes the group width a multiple of so many first.
func (s Stage) adjusted(of int) Stage {
	if s.Bottleneck == 0 {
		s.Bottleneck = 1
	}
	div, mul := 1, 1 // w_b = width / div * mul
	if s.Bottleneck < 1 {
		mul = int(math.Round(1 / s.Bottleneck))
		s.Bottleneck = 1 / float64(mul)
	} else {
		div = int(math.Round(s.Bottleneck))
		s.Bottleneck = float64(div)
	}
	mid := max(1, s.Width*mul/div)
	if s.GroupWidth < 1 || s.GroupWidth > mid {
		s.GroupWidth = mid
	}
	s.GroupWidth = max(of, roundTo(s.GroupWidth, of))
	unit := lcm(s.GroupWidth, mul)
	mid = max(unit, roundTo(mid, unit))
	s.Width = mid * div / mul
	return s
}

// roundTo is the multiple of unit nearest to n > 0, half to even multiples.
func roundTo(n, unit int) int {
	q, r := n/unit, n%unit
	if 2*r > unit || 2*r == unit && q%2 == 1 {
		q++
	}
	return q * unit
}

func lcm(a, b int) int {
	g := a
	for r := b; r != 0; {
		g, r = r, g%r
	}
	return a / g * b
}

// Adjust adjusts every stage in place (see Stage.Adjusted) and brings what has
// no effect on the network to one form, so that equal networks are equal
// values: what its blocks do not have is zero, and of two kinds of blocks that
// are the same the network has one.
func (n *AnyNet) Adjust() {
	n.Block = n.Block.row().same
	n.Common = n.Block.commonOf(n.Common)
	has := n.Block.Has()
	n.Stride1x1 = n.Stride1x1 && has.Stride1x1
	for i := range n.Stages {
		n.Stages[i] = has.adjusted(n.Stages[i], n.Radix)
	}
}

// adjusted is Adjust on a copy.
func (n AnyNet) adjusted() AnyNet {
	n.Stages = slices.Clone(n.Stages)
	n.Adjust()
	return n
}

// Depth is the number of blocks.
func (n AnyNet) Depth() int {
	d := 0
	for _, s := range n.Stages {
		d += s.Depth
	}
	return d
}

// Widths lists the output channels of every block.
func (n AnyNet) Widths() []int {
	w := make([]int, 0, n.Depth())
	for _, s := range n.Stages {
		for range s.Depth {
			w = append(w, s.Width)
		}
	}
	return w
}

// Build writes the network into a sink and returns the logits. n must be
// adjusted and valid.
func (n AnyNet) Build(sink graph.Sink, in Input) graph.Value {
	x := n.Stem.build(sink, sink.Input(in.Channels, in.Height, in.Width), n.Activation)
	row, first, total := n.Block.row(), 0, n.Depth()
	for i, s := range n.Stages {
		b := blockParams{width: s.Width, stride: s.Stride, stride1x1: n.Stride1x1, mid: s.mid(), groups: 1, radix: n.Radix}
		if s.GroupWidth > 0 {
			b.groups = b.mid / s.GroupWidth
		}
		x = n.buildStage(sink, x, row, b, i+1, s.Depth, first, total)
		first += s.Depth
	}
	return n.buildHead(sink, row.end(sink, x, n.Activation), "head.bn", in.Classes)
}

// Complexity counts the network for one image, in time and memory that do not
// depend on its depth. n must be adjusted and valid.
func (n AnyNet) Complexity(in Input) graph.Complexity {
	var k graph.Counter
	n.Build(&k, in)
	return k.Complexity
}
