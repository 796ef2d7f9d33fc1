package arch

import (
	"math"

	"netspace/graph"
)

// This file holds the one definition of every block, stem and head. Tensor
// names are those of the paper authors' tool, so that weights travel.
//
// Deviations from that tool:
//   - The BN that a zero-gamma initialisation may set to zero is marked only
//     where the block has a shortcut: without one it would cut the network.
//   - DropPath grows linearly with depth; the tool has one rate for all blocks.

// at is the place of a block in the body: stage and block, both from 1.
type at struct{ stage, block int }

func (p at) name(part string) graph.Name {
	return graph.Name{Stage: p.stage, Block: p.block, Part: part}
}

func named(part string) graph.Name { return graph.Name{Part: part} }

// build writes the stem. All stems are conv, BN, activation, the deep one three times; it and the ResNet one pool after that.
func (s Stem) build(sink graph.Sink, x graph.Value, act graph.Activation) graph.Value {
	conv := graph.Conv{Out: s.Width, Kernel: 3, Stride: 2, Groups: 1}
	switch s.Type {
	case CIFARStem:
		conv.Stride = 1
	case ResNetStem:
		conv.Kernel = 7
	case DeepStem:
		return s.deep(sink, x, act)
	}
	x = sink.Conv(named("stem.conv"), x, conv)
	x = sink.BatchNorm(named("stem.bn"), x, graph.BatchNorm{})
	x = sink.Activation(x, act)
	if s.Type == ResNetStem {
		x = sink.MaxPool(x, 3, 2)
	}
	return x
}

// deep writes the stem of three 3×3 convolutions (He et al., Bag of Tricks, 2019, ResNet-C).
func (s Stem) deep(sink graph.Sink, x graph.Value, act graph.Activation) graph.Value {
	for i, part := range []string{"a", "b", "c"} {
		conv := graph.Conv{Out: (s.Width + 1) / 2, Kernel: 3, Stride: 1, Groups: 1}
		switch i {
		case 0:
			conv.Stride = 2
		case 2:
			conv.Out = s.Width
		}
		x = sink.Conv(named("stem."+part), x, conv)
		x = sink.BatchNorm(named("stem."+part+"_bn"), x, graph.BatchNorm{})
		x = sink.Activation(x, act)
	}
	return sink.MaxPool(x, 3, 2)
}

// buildHead writes the optional 1×1 convolution, the pooling and the
// classifier. bn is the name of the convolution's BN, which differs between families.
func (c Common) buildHead(sink graph.Sink, x graph.Value, bn string, classes int) graph.Value {
	if c.HeadWidth > 0 {
		x = sink.Conv(named("head.conv"), x, graph.Conv{Out: c.HeadWidth, Kernel: 1, Stride: 1, Groups: 1})
		x = sink.BatchNorm(named(bn), x, graph.BatchNorm{})
		x = sink.Activation(x, c.Activation)
	}
	x = sink.GlobalPool(x)
	x = sink.Dropout(x, c.Dropout)
	return sink.Linear(named("head.fc"), x, classes)
}

// seWidth is the squeezed width of an SE module of a bottleneck block: it
// derives from the block's input width, not from the width it gates (docs/method.md §2).
func seWidth(wIn int, ratio float64) int { return int(math.RoundToEven(ratio * float64(wIn))) }

// buildSE writes squeeze-and-excitation: pool, 1×1 to squeeze channels,
// activation, 1×1 back, sigmoid, scale. first and second name the convolutions.
func buildSE(sink graph.Sink, x graph.Value, first, second graph.Name, squeeze int, act graph.Activation) graph.Value {
	g := sink.GlobalPool(x)
	g = sink.Conv(first, g, graph.Conv{Out: squeeze, Kernel: 1, Stride: 1, Groups: 1, Bias: true})
	g = sink.Activation(g, act)
	g = sink.Conv(second, g, graph.Conv{Out: x.C, Kernel: 1, Stride: 1, Groups: 1, Bias: true})
	g = sink.Activation(g, graph.Sigmoid)
	return sink.Scale(x, g)
}

// blockParams is what one block is built from.
type blockParams struct {
	width     int // output channels
	stride    int
	stride1x1 bool // the block strides in its first 1×1
	mid       int  // channels of the 3×3: w_b where there is a bottleneck ratio
	groups    int  // of the 3×3
	radix     int  // of a split attention
	se        float64
	act       graph.Activation
	dropPath  float64

	expand float64 // of an MBConv: ratio of the depthwise convolution's channels to the block's input
	kernel int     // of an MBConv's depthwise convolution
}

// strides are those of a bottleneck's first 1×1 and of its 3×3.
func (b blockParams) strides() (first, second int) {
	if b.stride1x1 {
		return b.stride, 1
	}
	return 1, b.stride
}

// shortcut is the identity where shapes agree, else a strided 1×1 with BN.
func (b blockParams) shortcut(sink graph.Sink, p at, x graph.Value) graph.Value {
	if x.C == b.width && b.stride == 1 {
		return x
	}
	y := sink.Conv(p.name("proj"), x, graph.Conv{Out: b.width, Kernel: 1, Stride: b.stride, Groups: 1})
	return sink.BatchNorm(p.name("bn"), y, graph.BatchNorm{})
}

// join adds a branch to its shortcut and activates the sum.
func (b blockParams) join(sink graph.Sink, shortcut, branch graph.Value) graph.Value {
	return sink.Activation(sink.Add(shortcut, sink.DropPath(branch, b.dropPath)), b.act)
}

// x is X, and Y with SE.
func (b blockParams) x(sink graph.Sink, p at, x graph.Value) graph.Value {
	shortcut := b.shortcut(sink, p, x)
	return b.join(sink, shortcut, b.bottleneck(sink, p, x, true))
}

// linear is the linear X block of MobileNetV2: no activation after the
// addition, and a shortcut only where shapes agree.
func (b blockParams) linear(sink graph.Sink, p at, x graph.Value) graph.Value {
	if x.C != b.width || b.stride != 1 {
		return b.bottleneck(sink, p, x, false)
	}
	y := b.bottleneck(sink, p, x, true)
	return sink.Add(x, sink.DropPath(y, b.dropPath))
}

// bottleneck is the branch of X: 1×1 to w_b, 3×3 with groups and (unless the
// 1×1 has it) stride, SE if any, 1×1 to the output width; no activation at the end.
func (b blockParams) bottleneck(sink graph.Sink, p at, x graph.Value, shortcut bool) graph.Value {
	first, second := b.strides()
	y := sink.Conv(p.name("f.a"), x, graph.Conv{Out: b.mid, Kernel: 1, Stride: first, Groups: 1})
	y = sink.BatchNorm(p.name("f.a_bn"), y, graph.BatchNorm{})
	y = sink.Activation(y, b.act)
	y = sink.Conv(p.name("f.b"), y, graph.Conv{Out: b.mid, Kernel: 3, Stride: second, Groups: b.groups})
	y = sink.BatchNorm(p.name("f.b_bn"), y, graph.BatchNorm{})
	y = sink.Activation(y, b.act)
	if w := seWidth(x.C, b.se); w > 0 {
		y = buildSE(sink, y, p.name("f.se.f_ex.0"), p.name("f.se.f_ex.2"), w, b.act)
	}
	y = sink.Conv(p.name("f.c"), y, graph.Conv{Out: b.width, Kernel: 1, Stride: 1, Groups: 1})
	return sink.BatchNorm(p.name("f.c_bn"), y, graph.BatchNorm{EndsBranch: shortcut})
}

// basic is R: a branch of two 3×3, no activation at its end.
func (b blockParams) basic(sink graph.Sink, p at, x graph.Value) graph.Value {
	shortcut := b.shortcut(sink, p, x)
	y := sink.Conv(p.name("f.a"), x, graph.Conv{Out: b.width, Kernel: 3, Stride: b.stride, Groups: 1})
	y = sink.BatchNorm(p.name("f.a_bn"), y, graph.BatchNorm{})
	y = sink.Activation(y, b.act)
	y = sink.Conv(p.name("f.b"), y, graph.Conv{Out: b.width, Kernel: 3, Stride: 1, Groups: 1})
	y = sink.BatchNorm(p.name("f.b_bn"), y, graph.BatchNorm{EndsBranch: true})
	return b.join(sink, shortcut, y)
}

// vanilla is V: two 3×3, each with BN and activation, and no shortcut.
func (b blockParams) vanilla(sink graph.Sink, p at, x graph.Value) graph.Value {
	y := sink.Conv(p.name("a"), x, graph.Conv{Out: b.width, Kernel: 3, Stride: b.stride, Groups: 1})
	y = sink.BatchNorm(p.name("a_bn"), y, graph.BatchNorm{})
	y = sink.Activation(y, b.act)
	y = sink.Conv(p.name("b"), y, graph.Conv{Out: b.width, Kernel: 3, Stride: 1, Groups: 1})
	y = sink.BatchNorm(p.name("b_bn"), y, graph.BatchNorm{})
	return sink.Activation(y, b.act)
}

// mbConv is the block of an EfficientNet: expansion, depthwise, SE, linear
// projection, and the identity shortcut where shapes agree. Without expansion
// (a ratio of 1) there is no first convolution.
func (b blockParams) mbConv(sink graph.Sink, p at, x graph.Value) graph.Value {
	y := x
	if w := int(float64(x.C) * b.expand); w != x.C {
		y = sink.Conv(p.name("exp"), y, graph.Conv{Out: w, Kernel: 1, Stride: 1, Groups: 1})
		y = sink.BatchNorm(p.name("exp_bn"), y, graph.BatchNorm{})
		y = sink.Activation(y, b.act)
	}
	y = sink.Conv(p.name("dwise"), y, graph.Conv{Out: y.C, Kernel: b.kernel, Stride: b.stride, Groups: y.C})
	y = sink.BatchNorm(p.name("dwise_bn"), y, graph.BatchNorm{})
	y = sink.Activation(y, b.act)
	if w := int(float64(x.C) * b.se); w > 0 {
		y = buildSE(sink, y, p.name("se.f_ex.0"), p.name("se.f_ex.2"), w, b.act)
	}
	shortcut := b.stride == 1 && x.C == b.width
	y = sink.Conv(p.name("lin_proj"), y, graph.Conv{Out: b.width, Kernel: 1, Stride: 1, Groups: 1})
	y = sink.BatchNorm(p.name("lin_proj_bn"), y, graph.BatchNorm{EndsBranch: shortcut})
	if !shortcut {
		return y
	}
	return sink.Add(x, sink.DropPath(y, b.dropPath))
}

// buildStage writes a stage of depth blocks, the first of which is b and block
// number first of the total; the others have stride 1.
func (c Common) buildStage(sink graph.Sink, x graph.Value, row *block, b blockParams, stage, depth, first, total int) graph.Value {
	b.se, b.act = c.SE, c.Activation
	for j := range depth {
		b.dropPath = dropRate(c.DropPath, first+j, total)
		before := counted(sink)
		x = row.build(b, sink, at{stage, j + 1}, x)
		if j == 1 && repeated(sink, before, depth) {
			break
		}
		b.stride = 1
	}
	return x
}

// repeated is called after the second block of a stage of the given depth. The blocks from the
// second on are alike, so a Counter takes the rest as a multiple of what it
// has added since before, and repeated says that they need not be written.
func repeated(sink graph.Sink, before graph.Complexity, depth int) bool {
	k, counting := sink.(*graph.Counter)
	if !counting {
		return false
	}
	times := int64(depth - 2)
	k.Flops += times * (k.Flops - before.Flops)
	k.Params += times * (k.Params - before.Params)
	k.Acts += times * (k.Acts - before.Acts)
	return true
}

// counted is what a Counter has added up; zero for other sinks.
func counted(sink graph.Sink) graph.Complexity {
	if k, ok := sink.(*graph.Counter); ok {
		return k.Complexity
	}
	return graph.Complexity{}
}

// dropRate is the drop-path rate of block j (from 0) of total: it grows
// linearly from 0 to the rate of the last block.
func dropRate(last float64, j, total int) float64 {
	if last == 0 || total < 2 {
		return last
	}
	return last * float64(j) / float64(total-1)
}
