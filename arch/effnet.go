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

// EffNet is a network of MBConv blocks (Tan and Le, EfficientNet, 2019).
type EffNet struct {
	Stem       Stem
	Stages     []EffStage
	SE         float64          // squeeze ratio to the block's input width, truncated; 0: none
	Activation graph.Activation // SiLU in the published models
	HeadWidth  int              // channels of the 1×1 convolution before the pooling; 0: none
	DropPath   float64          // rate of the last block, growing linearly from 0 with depth; 0: none
	Dropout    float64          // rate before the classifier; 0: none
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
	x := sink.Input(in.Channels, in.Height, in.Width)
	x = n.Stem.build(sink, x, n.Activation)
	first, total := 0, n.Depth()
	for i := range n.Stages {
		x = n.buildStage(sink, i, first, total, x)
		first += n.Stages[i].Depth
	}
	return buildHead(sink, x, n.HeadWidth, "head.conv_bn", n.Activation, n.Dropout, in.Classes)
}

// buildStage writes stage i, whose first block is block number first of total.
func (n EffNet) buildStage(sink graph.Sink, i, first, total int, x graph.Value) graph.Value {
	st := n.Stages[i]
	b := mbConv{width: st.Width, stride: st.Stride, expand: st.Expand, kernel: st.Kernel, se: n.SE, act: n.Activation}
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

// Complexity counts the network for one image. n must be valid.
func (n EffNet) Complexity(in Input) graph.Complexity {
	var k graph.Counter
	n.Build(&k, in)
	return k.Complexity
}
