//go:build cgo

package onednn

import (
	"slices"

	"netspace/graph"
)

// blockOf is the number of channels that sit side by side in memory. It is 8,
// one AVX2 vector: widths of the method are multiples of 8, so nothing is wasted
// on padding. Where the processor has wide vectors and every convolution is made
// of whole blocks of 16, or of groups that fill them, it is 16: kernels
// are up to a tenth faster then.
func blockOf(g *graph.Graph, wide bool) int {
	if !wide {
		return 8
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if n.Op != graph.OpConv || n.H*n.W == 1 && n.Kernel == 1 {
			continue
		}
		in := g.Nodes[n.In[0]].C
		depthwise := n.Groups == n.C && n.Groups == in
		grouped := n.Groups > 1 && !depthwise
		whole := n.C/n.Groups%16 == 0 && in/n.Groups%16 == 0
		if n.C%16 != 0 || grouped && !whole && ownWidth(n, in) == 0 {
			return 8
		}
	}
	return 16
}

// ownWidth is the group width of a convolution whose lanes have inputs of their own in tile.h: groups of 2 and 4, which share
// a block, where there are tiles for that, and depthwise. Else it is 0.
func ownWidth(n *graph.Node, in int) int {
	width := n.C / max(1, n.Groups)
	switch {
	case in != n.C:
		return 0
	case n.Groups > 1 && width == 1:
		return 1
	case n.Kernel == 3 && n.Stride <= 2 && (width == 2 || width == 4):
		return width
	}
	return 0
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func ceil(n, to int) int { return (n + to - 1) / to * to }

// lanes says which channel sits in which lane of a tensor; -1 is padding.
type lanes []int

// naturalLanes are the channels in order, padded at the end.
func naturalLanes(c, block int) lanes {
	l := make(lanes, ceil(c, block))
	for i := range l {
		l[i] = i
		if i >= c {
			l[i] = -1
		}
	}
	return l
}

// groupsPerBlock is how many groups of a convolution share a block: as many as
// fit of the wider side's.
func groupsPerBlock(in, out, block int) int { return max(1, block/max(in, out)) }

// groupLanes places groups of g channels so that a group convolution runs on
// groups of whole blocks: perBlock narrow ones share a block (their convolution is then
// block-diagonal, and its weight gradient masked), or each is padded to a multiple of a block.
func groupLanes(c, g, perBlock, block int) lanes {
	var l lanes
	for first := 0; first < c; first += g * perBlock {
		for i := first; i < min(c, first+g*perBlock); i++ {
			l = append(l, i)
		}
		for len(l)%block != 0 {
			l = append(l, -1)
		}
	}
	return l
}

// index is the inverse: the lane of each channel.
func (l lanes) index(c int) []int {
	at := make([]int, c)
	for lane, ch := range l {
		if ch >= 0 {
			at[ch] = lane
		}
	}
	return at
}

// convKind is how a convolution is run.
type convKind uint8

const (
	denseConv convKind = iota // one group of lanes; of a group convolution whose lanes do not line up: masked
	groupConv                 // groups of whole blocks
	depthwiseConv
	gemmConv     // dense 1×1 on 1×1 maps
	identityConv // nothing, in front of a batch-norm that follows no convolution
)

// repeat gives the lanes of so many values of these lanes, one behind the other.
func (l lanes) repeat(channels, times int) lanes {
	out := make(lanes, 0, len(l)*times)
	for j := range times {
		for _, c := range l {
			if c >= 0 {
				c += j * channels
			}
			out = append(out, c)
		}
	}
	return out
}

// layouts finds the lanes of every node's output and the kind of every
// convolution. Element-wise ops, pooling and depthwise convolutions keep their
// input's lanes; a group convolution wants its own on both sides, and where
// two disagree the later one runs as a masked dense convolution. The parts of a
// fold all have the lanes of its output, so that parts are added block by block:
// lanes are those of units, of which all values that belong together consist.
func layouts(g *graph.Graph, block int) ([]lanes, []convKind) {
	parent := make([]int, len(g.Nodes))
	for i := range parent {
		parent[i] = i
	}
	var find func(int) int
	find = func(i int) int {
		if parent[i] != i {
			parent[i] = find(parent[i])
		}
		return parent[i]
	}
	channelsIn := func(n *graph.Node) int { return g.Nodes[n.In[0]].C }
	depthwise := func(n *graph.Node) bool { return n.Groups > 1 && n.Groups == n.C && n.C == channelsIn(n) }
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if (n.Op == graph.OpConv || n.Op == graph.OpLinear) && !depthwise(n) || n.Op == graph.OpSoftmax {
			continue
		}
		for _, in := range n.In {
			parent[find(i)] = find(in)
		}
	}
	unit := map[int]int{} // channels
	for i := range g.Nodes {
		unit[find(i)] = gcd(g.Nodes[i].C, unit[find(i)])
	}
	want := map[int]lanes{find(0): naturalLanes(unit[find(0)], block)} // of a unit
	kinds := make([]convKind, len(g.Nodes))
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if n.Op == graph.OpLinear || n.Op == graph.OpConv && n.Groups == 1 {
			if n.H == 1 && n.W == 1 && g.Nodes[n.In[0]].H == 1 && g.Nodes[n.In[0]].W == 1 && n.Kernel <= 1 {
				kinds[i] = gemmConv
			}
			continue
		}
		if n.Op != graph.OpConv {
			continue
		}
		in, out := find(n.In[0]), find(i)
		if depthwise(n) {
			kinds[i] = depthwiseConv
			continue
		}
		widthIn, width := channelsIn(n)/n.Groups, n.C/n.Groups
		shared := groupsPerBlock(widthIn, width, block)
		if unit[in]%(widthIn*shared) != 0 && unit[in] != channelsIn(n) || unit[out]%(width*shared) != 0 && unit[out] != n.C {
			continue // groups, or the blocks that they share, do not fit into units: dense and masked
		}
		lIn, lOut := groupLanes(unit[in], widthIn, shared, block), groupLanes(unit[out], width, shared, block)
		if (want[in] == nil || slices.Equal(want[in], lIn)) && (want[out] == nil || slices.Equal(want[out], lOut)) && (in != out || slices.Equal(lIn, lOut)) {
			want[in], want[out] = lIn, lOut
			kinds[i] = groupConv
		}
	}
	out := make([]lanes, len(g.Nodes))
	for i := range g.Nodes {
		at := find(i)
		if want[at] == nil {
			want[at] = naturalLanes(unit[at], block)
		}
		out[i] = want[at].repeat(unit[at], g.Nodes[i].C/unit[at])
	}
	return out, kinds
}

// weightMap gives for every element of a weight [out, in/groups, k, k] its
// index in the padded plain array that the engine keeps, and that array's
// length. masked says that the padded array has elements that would learn
// something though the network has no such weights.
func weightMap(n *graph.Node, kind convKind, in, out lanes, channelsIn, block int) (at []int, size int, masked bool) {
	k, groups := max(1, n.Kernel), max(1, n.Groups)
	gi, gout := channelsIn/groups, n.C/groups
	inAt, outAt := in.index(channelsIn), out.index(n.C)
	physical := len(in)
	switch kind {
	case depthwiseConv:
		physical = 1
	case groupConv:
		physical = ceil(gi, block)
		masked = groupsPerBlock(gi, gout, block) > 1
	case denseConv:
		masked = groups > 1
	}
	at = make([]int, 0, n.C*gi*k*k)
	for o := range n.C {
		for i := range gi {
			pi := inAt[o/gout*gi+i]
			switch kind {
			case depthwiseConv:
				pi = 0
			case groupConv:
				pi %= physical
			}
			for p := range k * k {
				at = append(at, (outAt[o]*physical+pi)*k*k+p)
			}
		}
	}
	return at, len(out) * physical * k * k, masked
}
