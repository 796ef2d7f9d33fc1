package arch

import (
	"math"
	"slices"

	"netspace/graph"
)

// HasGroups says whether blocks of this type use the bottleneck ratio and the group width.
func (b BlockType) HasGroups() bool { return b == Bottleneck || b == BottleneckLinear }

// mid is w_b of an adjusted stage: the channels of its 3×3 convolutions.
func (s Stage) mid() int {
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
func (s Stage) Adjusted() Stage {
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
// values: basic and vanilla blocks have no bottleneck ratio, group width, SE or
// 1×1 to stride in; VR blocks are R blocks.
func (n *AnyNet) Adjust() {
	if n.Block == VanillaResidual {
		n.Block = Basic
	}
	if !n.Block.HasGroups() {
		n.SE, n.Stride1x1 = 0, false
	}
	if n.Block == Vanilla {
		n.DropPath = 0
	}
	for i := range n.Stages {
		if n.Block.HasGroups() {
			n.Stages[i] = n.Stages[i].Adjusted()
		} else {
			n.Stages[i].Bottleneck, n.Stages[i].GroupWidth = 0, 0
		}
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
	x := sink.Input(in.Channels, in.Height, in.Width)
	x = n.Stem.build(sink, x, n.Activation)
	x = n.buildBody(sink, x)
	return buildHead(sink, x, n.HeadWidth, "head.bn", n.Activation, n.Dropout, in.Classes)
}

func (n AnyNet) buildBody(sink graph.Sink, x graph.Value) graph.Value {
	first, total := 0, n.Depth()
	for i := range n.Stages {
		x = n.buildStage(sink, i, first, total, x)
		first += n.Stages[i].Depth
	}
	return x
}

// buildStage writes stage i, whose first block is block number first of total.
func (n AnyNet) buildStage(sink graph.Sink, i, first, total int, x graph.Value) graph.Value {
	st := n.Stages[i]
	b := blockParams{kind: n.Block, width: st.Width, stride: st.Stride, stride1x1: n.Stride1x1, se: n.SE, act: n.Activation}
	if b.kind == VanillaResidual {
		b.kind = Basic
	}
	if b.kind.HasGroups() {
		b.mid = st.mid()
		b.groups = b.mid / st.GroupWidth
	}
	for j := range st.Depth {
		b.dropPath = dropRate(n.DropPath, first+j, total)
		before := counted(sink)
		x = b.build(sink, at{i + 1, j + 1}, x)
		if j == 1 && repeated(sink, before, st.Depth) {
			break
		}
		b.stride = 1
	}
	return x
}

// Complexity counts the network for one image, in time and memory that do not
// depend on its depth. n must be adjusted and valid.
func (n AnyNet) Complexity(in Input) graph.Complexity {
	var k graph.Counter
	n.Build(&k, in)
	return k.Complexity
}
