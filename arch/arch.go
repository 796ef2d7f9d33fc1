// Package arch defines blocks, stems, heads and the families of networks that
// are made of them, each once, as builders that write into a graph.Sink; the
// zoo of published models; and spec files.
//
// A network is mostly met as a Spec, read from the zoo or a file:
//
//	spec, err := arch.Lookup("RegNetX-400MF")    // or LoadSpec, ParseSpec
//	k, err := spec.Complexity(arch.ImageNet)     // flops, params, acts
//	g, err := spec.Graph(arch.ImageNet)          // ops and named tensors, for engines
package arch

import "netspace/graph"

// Input is what a network is built for.
type Input struct {
	Channels int `json:"channels"` // of the images: 1 or 3
	Height   int `json:"height"`   // pixels
	Width    int `json:"width"`    // pixels
	Classes  int `json:"classes"`  // outputs of the head
}

// ImageNet is the input of published complexities: 3×224×224, 1000 classes.
var ImageNet = Input{Channels: 3, Height: 224, Width: 224, Classes: 1000}

// StemType is the kind of a stem (DDS §3.2).
type StemType uint8

// The stems.
const (
	SimpleStem StemType = iota // 3×3 convolution, stride 2, BN, activation
	CIFARStem                  // 3×3 convolution, stride 1, BN, activation
	ResNetStem                 // 7×7 convolution, stride 2, BN, activation, 3×3 max-pool, stride 2
	DeepStem                   // three 3×3 convolutions, the first of stride 2, the first two of half the width, each with BN and activation; 3×3 max-pool, stride 2
)

// Stem is the beginning of a network.
type Stem struct {
	Type  StemType
	Width int // output channels
}

// Stage is a run of identical blocks. Spaces store what was asked for, networks
// the adjusted numbers: see Adjust.
type Stage struct {
	Depth      int     `json:"depth"`                 // blocks, at least 1
	Width      int     `json:"width"`                 // output channels of each block
	Stride     int     `json:"stride"`                // of the first block
	Bottleneck float64 `json:"bottleneck,omitempty"`  // b = Width / width of the 3×3 (the paper's b); 0.25 is a four-fold inverted bottleneck. Ignored by blocks that have none
	GroupWidth int     `json:"group_width,omitempty"` // g, channels of one group of the 3×3. Ignored by blocks that have none
}

// Common is what the networks of all families have.
type Common struct {
	Stem       Stem
	SE         float64          // squeeze ratio to the block's input width; 0: none
	Radix      int              // splits of a split-attention block; 0 means 2. Ignored by blocks that have none
	Activation graph.Activation // ReLU or SiLU
	HeadWidth  int              // channels of the 1×1 convolution before the pooling; 0: none
	DropPath   float64          // rate of the last block, growing linearly from 0 with depth; 0: none
	Dropout    float64          // rate before the classifier; 0: none
}

// AnyNet is a network of stages (DDS §3.2). It is a plain value: copying it
// shares the Stages slice.
type AnyNet struct {
	Block     BlockType
	Stages    []Stage
	Stride1x1 bool // blocks stride in their first 1×1, as the first ResNets did, not in the 3×3
	Common
}

// RegNet is a network whose widths follow a quantised line (DDS §3.3, eq. 2–4).
type RegNet struct {
	Depth      int
	W0, WA, WM float64
	GroupWidth int
	Bottleneck float64 // b, as in Stage
	Stride     int     // of every stage's first block; 0 means 2
	Block      BlockType
	Common
}
