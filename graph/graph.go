// Package graph describes a network as a list of ops with shapes and named
// parameters, and counts its complexity.
//
// A network is *written into a sink*: the builders of package arch call the
// methods of Sink once per op. A Counter adds up flops, params and acts and
// allocates nothing; a Recorder keeps the ops as a Graph that engines compile.
// So there is one description of a block and no second formula beside it.
//
// Everything here is per image; a batch is the engines' business. Tensors are
// [N,C,H,W], convolution weights [out, in/groups, k, k] (OIHW), linear weights
// [out, in].
package graph

import "strconv"

// Op is the kind of a node.
type Op uint8

// The ops a network consists of.
const (
	OpInput      Op = iota // the images, [C,H,W]
	OpConv                 // 2-D convolution, padding (k-1)/2, optional bias
	OpLinear               // fully connected layer with bias on a [C,1,1] value
	OpBatchNorm            // batch normalisation over N, H, W
	OpActivation           // element-wise activation
	OpMaxPool              // max pooling, padding (k-1)/2
	OpGlobalPool           // global average pooling, [C,H,W] -> [C,1,1]
	OpAdd                  // element-wise sum of two values of one shape
	OpScale                // x[c,h,w] * gate[c]: squeeze-and-excitation
	OpAvgPool              // average pooling; zeros of the padding count
	OpFold                 // sum of Parts equal runs of channels: y[c] = sum over j of x[j*C+c]
	OpSoftmax              // softmax over the parts of each group of channels: see Sink
	OpDropPath             // per image: zero with probability Rate, else x/(1-Rate); training only
	OpDropout              // per element: zero with probability Rate, else x/(1-Rate); training only
)

var opNames = [...]string{"input", "conv", "linear", "batch-norm", "activation", "max-pool", "global-pool", "add", "scale", "avg-pool", "fold", "softmax", "drop-path", "dropout"}

func (o Op) String() string { return opNames[o] }

// Activation is an element-wise function.
type Activation uint8

// The activations.
const (
	Identity Activation = iota
	ReLU                // max(0, x)
	SiLU                // x * sigmoid(x), also called swish
	Sigmoid             // 1 / (1 + exp(-x))
)

var activationNames = [...]string{"identity", "relu", "silu", "sigmoid"}

func (a Activation) String() string { return activationNames[a] }

// Name says where in a network an op is. It is a value, so that a Counter
// pays nothing for names. Stage and Block count from 1; both are 0 for ops
// outside the body, whose Part is then the whole name.
type Name struct {
	Stage, Block int
	Part         string // "f.a", "f.a_bn", "proj", "f.se.f_ex.0"; or "stem.conv", "head.fc"
}

// String gives the name the paper authors' tool uses: "s1.b2.f.a".
func (n Name) String() string {
	if n.Stage == 0 {
		return n.Part
	}
	return "s" + strconv.Itoa(n.Stage) + ".b" + strconv.Itoa(n.Block) + "." + n.Part
}

// Value is the output of an op on its way to the next: its shape, and in a
// recording the number of the node that made it.
type Value struct {
	C, H, W int
	Node    int
}

// Conv holds the attributes of a convolution. Padding is (Kernel-1)/2 on every side.
type Conv struct {
	Out    int  // output channels, a multiple of Groups
	Kernel int  // odd
	Stride int  // at least 1
	Groups int  // divides the input and the output channels
	Bias   bool // add a learned bias per output channel
}

// BNEpsilon is the epsilon of batch normalisations that state none.
const BNEpsilon = 1e-5

// BatchNorm holds the attributes of a batch normalisation.
type BatchNorm struct {
	Epsilon    float64 // added to the variance; 0 means the sink's default: see Recorder
	EndsBranch bool    // the last of a residual branch, whose gamma a zero-gamma initialisation sets to zero
}

// Sink receives a network op by op, in topological order.
type Sink interface {
	// Input starts a network with images of c×h×w.
	Input(c, h, w int) Value
	Conv(n Name, x Value, c Conv) Value
	BatchNorm(n Name, x Value, b BatchNorm) Value
	Activation(x Value, a Activation) Value
	MaxPool(x Value, kernel, stride int) Value
	GlobalPool(x Value) Value
	// Linear maps a [C,1,1] value to out values, with bias.
	Linear(n Name, x Value, out int) Value
	Add(a, b Value) Value
	// Scale multiplies x[c,h,w] by gate[c,0,0].
	Scale(x, gate Value) Value
	// AvgPool averages windows of kernel×kernel into a map of ⌈size/stride⌉: tiles, of stride
	// kernel and without padding, or windows about an element, of odd kernel with padding (kernel-1)/2. See Window.
	AvgPool(x Value, kernel, stride, pad int) Value
	// Fold adds up x's channels in parts runs of as many: y[c] is the sum over j of x[j*C+c], C = x.C/parts.
	Fold(x Value, parts int) Value
	// Softmax reads channels as [groups][parts][C], takes the softmax over the parts at each place,
	// and orders them as [parts][groups][C]: what scales the parts of a value that Fold then adds up.
	Softmax(x Value, parts, groups int) Value
	DropPath(x Value, rate float64) Value
	Dropout(x Value, rate float64) Value
}

// ConvSize is the output size of a convolution or pooling with padding
// (kernel-1)/2 on an input of the given size.
func ConvSize(size, kernel, stride int) int {
	return (size+2*((kernel-1)/2)-kernel)/stride + 1
}

// AvgSize is the output size of an average pooling.
func AvgSize(size, stride int) int { return (size + stride - 1) / stride }

// Window is what output i of an average pooling covers along one side of an image of the
// given size: the elements from lo up to hi, and the number that their sum is divided by. Padding, pad
// elements on each side, counts as zeros; what lies beyond it, as of the last tile, does not count.
func Window(i, size, kernel, stride, pad int) (lo, hi, count int) {
	lo = i*stride - pad
	hi = min(lo+kernel, size+pad)
	return max(lo, 0), min(hi, size), hi - lo
}
