package arch

import "netspace/graph"

// This file is the split-attention block of ResNeSt (Zhang et al., ResNeSt:
// Split-Attention Networks, 2020, §3). Cardinal groups are the groups of the
// other blocks: of b.mid channels and b.groups groups the paper's k is b.groups.
//
// Deviation from the authors' tool: the squeezed width, which has to be a
// multiple of the groups, is rounded up where it is none; the tool fails there.

// The number of splits of a split-attention block.
const (
	DefaultRadix = 2 // of the published networks
	MaxRadix     = 32
)

// The squeezed width of a split attention: a share of the channels of all splits, and its least.
const (
	attentionReduction = 4
	attentionLeast     = 32
)

// splitAttention is a bottleneck whose 3×3 has radix splits, which attention
// weighs against each other channel by channel. A stride is that of an average
// pooling behind it, and of one in front of the shortcut's 1×1.
func (b blockParams) splitAttention(sink graph.Sink, p at, x graph.Value) graph.Value {
	shortcut := x
	if b.stride != 1 {
		shortcut = sink.AvgPool(shortcut, b.stride, b.stride, 0)
	}
	if x.C != b.width || b.stride != 1 {
		shortcut = sink.Conv(p.name("proj"), shortcut, graph.Conv{Out: b.width, Kernel: 1, Stride: 1, Groups: 1})
		shortcut = sink.BatchNorm(p.name("bn"), shortcut, graph.BatchNorm{})
	}
	y := sink.Conv(p.name("f.a"), x, graph.Conv{Out: b.mid, Kernel: 1, Stride: 1, Groups: 1})
	y = sink.BatchNorm(p.name("f.a_bn"), y, graph.BatchNorm{})
	y = sink.Activation(y, b.act)
	y = sink.Conv(p.name("f.b"), y, graph.Conv{Out: b.mid * b.radix, Kernel: 3, Stride: 1, Groups: b.groups * b.radix})
	y = sink.BatchNorm(p.name("f.b_bn"), y, graph.BatchNorm{})
	y = sink.Activation(y, b.act)
	y = sink.Fold(sink.Scale(y, b.attention(sink, p, y)), b.radix)
	if b.stride != 1 {
		y = sink.AvgPool(y, 3, b.stride, 1)
	}
	y = sink.Conv(p.name("f.c"), y, graph.Conv{Out: b.width, Kernel: 1, Stride: 1, Groups: 1})
	y = sink.BatchNorm(p.name("f.c_bn"), y, graph.BatchNorm{EndsBranch: true})
	return b.join(sink, shortcut, y)
}

// attention writes the weights of the splits: of each channel they add up to 1;
// a single split has a gate between 0 and 1.
func (b blockParams) attention(sink graph.Sink, p at, x graph.Value) graph.Value {
	squeeze := max(b.mid*b.radix/attentionReduction, attentionLeast)
	squeeze = (squeeze + b.groups - 1) / b.groups * b.groups
	g := sink.Fold(sink.GlobalPool(x), b.radix)
	g = sink.Conv(p.name("f.sa.a"), g, graph.Conv{Out: squeeze, Kernel: 1, Stride: 1, Groups: b.groups, Bias: true})
	g = sink.BatchNorm(p.name("f.sa.a_bn"), g, graph.BatchNorm{})
	g = sink.Activation(g, b.act)
	g = sink.Conv(p.name("f.sa.b"), g, graph.Conv{Out: x.C, Kernel: 1, Stride: 1, Groups: b.groups, Bias: true})
	if b.radix == 1 {
		return sink.Activation(g, graph.Sigmoid)
	}
	return sink.Softmax(g, b.radix, b.groups)
}
