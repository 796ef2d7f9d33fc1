package arch

import "netspace/graph"

// EffStage is a run of MBConv blocks.
type EffStage struct {
	Depth  int     // blocks, at least 1
	Width  int     // output channels of each block
	Stride int     // of the first block
	Expand float64 // ratio of the depthwise convolution's channels to the block's input, at least 1
	Kernel int     // of the depthwise convolution, odd
}

// EffNet is a network of MBConv blocks (Tan and Le, EfficientNet, 2019). Its
// squeezed widths are truncated, and the published models have SiLU.
type EffNet struct {
	Stages []EffStage
	Common
}

// Depth is the number of blocks.
func (n EffNet) Depth() int {
	d := 0
	for _, s := range n.Stages {
		d += s.Depth
	}
	return d
}

// Build writes the network into a sink and returns the logits. n must be valid.
func (n EffNet) Build(sink graph.Sink, in Input) graph.Value {
	x := n.Stem.build(sink, sink.Input(in.Channels, in.Height, in.Width), n.Activation)
	row, first, total := &mbConvBlock, 0, n.Depth()
	for i, s := range n.Stages {
		b := blockParams{width: s.Width, stride: s.Stride, expand: s.Expand, kernel: s.Kernel}
		x = n.buildStage(sink, x, row, b, i+1, s.Depth, first, total)
		first += s.Depth
	}
	return n.buildHead(sink, row.end(sink, x, n.Activation), "head.conv_bn", in.Classes)
}

// Complexity counts the network for one image. n must be valid.
func (n EffNet) Complexity(in Input) graph.Complexity {
	var k graph.Counter
	n.Build(&k, in)
	return k.Complexity
}
