package arch

import "netspace/graph"

// This file is the pre-activation bottleneck (He et al., Identity Mappings in
// Deep Residual Networks, 2016), the worked example of docs/adding-a-block.md.
//
// Deviation from that paper: every stem ends with BN and activation, and the
// first block normalises and activates once more, as all blocks do.

// preact is X with BN and activation in front of each convolution: the sum of
// shortcut and branch is left as it is, so that the identity runs through a
// whole stage. f.a_bn is the BN in front of f.a, and so on. Where shapes
// differ, the shortcut is a 1×1 of the activated value, without a BN of its own.
//
// No BN ends the branch, so a zero-gamma initialisation changes nothing.
func (b blockParams) preact(sink graph.Sink, p at, x graph.Value) graph.Value {
	first, second := b.strides()
	before := func(part string, x graph.Value) graph.Value {
		return sink.Activation(sink.BatchNorm(p.name(part), x, graph.BatchNorm{}), b.act)
	}
	y := before("f.a_bn", x)
	shortcut := x
	if x.C != b.width || b.stride != 1 {
		shortcut = sink.Conv(p.name("proj"), y, graph.Conv{Out: b.width, Kernel: 1, Stride: b.stride, Groups: 1})
	}
	y = sink.Conv(p.name("f.a"), y, graph.Conv{Out: b.mid, Kernel: 1, Stride: first, Groups: 1})
	y = sink.Conv(p.name("f.b"), before("f.b_bn", y), graph.Conv{Out: b.mid, Kernel: 3, Stride: second, Groups: b.groups})
	y = before("f.c_bn", y)
	if w := seWidth(x.C, b.se); w > 0 {
		y = buildSE(sink, y, p.name("f.se.f_ex.0"), p.name("f.se.f_ex.2"), w, b.act)
	}
	y = sink.Conv(p.name("f.c"), y, graph.Conv{Out: b.width, Kernel: 1, Stride: 1, Groups: 1})
	return sink.Add(shortcut, sink.DropPath(y, b.dropPath))
}

// preactEnd is what the last block leaves to do: BN and activation of the sum.
func preactEnd(sink graph.Sink, x graph.Value, act graph.Activation) graph.Value {
	return sink.Activation(sink.BatchNorm(named("body.bn"), x, graph.BatchNorm{}), act)
}
