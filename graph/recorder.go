package graph

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Node is one op of a recorded network.
type Node struct {
	Op   Op
	Name string // of ops that have parameters, else ""
	In   []int  // the nodes it reads: one, or two for OpAdd (a, b) and OpScale (x, gate); none for OpInput
	C    int    // output channels
	H, W int    // output size

	Kernel, Stride, Groups int        // OpConv, OpMaxPool, OpAvgPool (Groups: OpConv, OpSoftmax)
	Pad                    int        // OpAvgPool; of the others it is (Kernel-1)/2
	Parts                  int        // OpFold, OpSoftmax
	Bias                   bool       // OpConv
	Act                    Activation // OpActivation
	Rate                   float64    // OpDropPath, OpDropout
	Epsilon                float64    // OpBatchNorm: added to the variance
	Params                 []int      // indices into Graph.Params: weight, then bias; or gamma, beta
	Buffers                []int      // indices into Graph.Buffers: running mean, running variance
}

// Role says what a parameter is for, which decides its initialisation and its weight decay.
type Role uint8

// The roles of parameters.
const (
	ConvWeight   Role = iota // [out, in/groups, k, k]
	LinearWeight             // [out, in]
	Bias                     // [out]
	Gamma                    // BN scale, [c]
	Beta                     // BN shift, [c]
)

// Param is a trainable tensor.
type Param struct {
	Name  string // as in the paper authors' tool: "s1.b1.f.a.weight"
	Shape []int
	Role  Role
	Node  int

	EndsBranch bool // Gamma of the last BN of a residual branch
}

// Size is the number of elements.
func (p Param) Size() int { return size(p.Shape) }

// Buffer is a tensor that training updates without a gradient: a BN's running
// mean or variance, [c].
type Buffer struct {
	Name  string // "s1.b1.f.a_bn.running_mean"
	Shape []int
	Node  int
}

// Size is the number of elements.
func (b Buffer) Size() int { return size(b.Shape) }

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Graph is a recorded network: nodes in topological order, node 0 the input,
// the last node the logits [classes,1,1].
type Graph struct {
	Nodes   []Node
	Params  []Param
	Buffers []Buffer
}

// Input is the node of the images.
func (g *Graph) Input() *Node { return &g.Nodes[0] }

// Output is the node of the logits.
func (g *Graph) Output() *Node { return &g.Nodes[len(g.Nodes)-1] }

// Replay writes the recorded network into another sink.
func (g *Graph) Replay(s Sink) {
	vals := make([]Value, len(g.Nodes))
	for i := range g.Nodes {
		n := &g.Nodes[i]
		name := Name{Part: n.Name}
		var x, y Value
		if len(n.In) > 0 {
			x = vals[n.In[0]]
		}
		if len(n.In) > 1 {
			y = vals[n.In[1]]
		}
		switch n.Op {
		case OpInput:
			vals[i] = s.Input(n.C, n.H, n.W)
		case OpConv:
			vals[i] = s.Conv(name, x, Conv{Out: n.C, Kernel: n.Kernel, Stride: n.Stride, Groups: n.Groups, Bias: n.Bias})
		case OpLinear:
			vals[i] = s.Linear(name, x, n.C)
		case OpBatchNorm:
			vals[i] = s.BatchNorm(name, x, BatchNorm{Epsilon: n.Epsilon, EndsBranch: g.Params[n.Params[0]].EndsBranch})
		case OpActivation:
			vals[i] = s.Activation(x, n.Act)
		case OpMaxPool:
			vals[i] = s.MaxPool(x, n.Kernel, n.Stride)
		case OpGlobalPool:
			vals[i] = s.GlobalPool(x)
		case OpAdd:
			vals[i] = s.Add(x, y)
		case OpScale:
			vals[i] = s.Scale(x, y)
		case OpAvgPool:
			vals[i] = s.AvgPool(x, n.Kernel, n.Stride, n.Pad)
		case OpFold:
			vals[i] = s.Fold(x, n.Parts)
		case OpSoftmax:
			vals[i] = s.Softmax(x, n.Parts, n.Groups)
		case OpDropPath:
			vals[i] = s.DropPath(x, n.Rate)
		case OpDropout:
			vals[i] = s.Dropout(x, n.Rate)
		}
	}
}

// Complexity counts the recorded network.
func (g *Graph) Complexity() Complexity {
	var k Counter
	g.Replay(&k)
	return k.Complexity
}

// Recorder is the Sink that keeps a network as a Graph. The first op whose
// shapes do not fit is remembered and returned by Graph.
type Recorder struct {
	BNEpsilon float64 // of batch normalisations that state none; 0 means the constant BNEpsilon

	g   Graph
	err error
}

var _ Sink = (*Recorder)(nil)

// Graph returns what was recorded, or the first shape error.
func (r *Recorder) Graph() (*Graph, error) {
	if r.err != nil {
		return nil, r.err
	}
	return &r.g, nil
}

func (r *Recorder) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("graph: "+format, args...)
	}
}

func (r *Recorder) add(n Node, in ...Value) Value {
	for _, v := range in {
		n.In = append(n.In, v.Node)
	}
	if n.C < 1 || n.H < 1 || n.W < 1 {
		r.fail("%s %s: output %d×%d×%d is empty", n.Op, n.Name, n.C, n.H, n.W)
	}
	r.g.Nodes = append(r.g.Nodes, n)
	return Value{C: n.C, H: n.H, W: n.W, Node: len(r.g.Nodes) - 1}
}

func (r *Recorder) param(n *Node, part string, role Role, shape ...int) {
	n.Params = append(n.Params, len(r.g.Params))
	r.g.Params = append(r.g.Params, Param{Name: n.Name + "." + part, Shape: shape, Role: role, Node: len(r.g.Nodes)})
}

func (r *Recorder) buffer(n *Node, part string, shape ...int) {
	n.Buffers = append(n.Buffers, len(r.g.Buffers))
	r.g.Buffers = append(r.g.Buffers, Buffer{Name: n.Name + "." + part, Shape: shape, Node: len(r.g.Nodes)})
}

// Input starts a network.
func (r *Recorder) Input(c, h, w int) Value {
	if len(r.g.Nodes) > 0 {
		r.fail("a second input")
	}
	return r.add(Node{Op: OpInput, C: c, H: h, W: w})
}

// Conv records a convolution and its weight and bias.
func (r *Recorder) Conv(name Name, x Value, c Conv) Value {
	n := Node{Op: OpConv, Name: name.String(), C: c.Out, Kernel: c.Kernel, Stride: c.Stride, Groups: c.Groups, Bias: c.Bias}
	if c.Kernel < 1 || c.Kernel%2 == 0 || c.Stride < 1 || c.Groups < 1 || x.C%c.Groups != 0 || c.Out%c.Groups != 0 {
		r.fail("conv %s: kernel %d, stride %d, %d groups do not fit %d -> %d channels", n.Name, c.Kernel, c.Stride, c.Groups, x.C, c.Out)
		return x
	}
	n.H, n.W = ConvSize(x.H, c.Kernel, c.Stride), ConvSize(x.W, c.Kernel, c.Stride)
	r.param(&n, "weight", ConvWeight, c.Out, x.C/c.Groups, c.Kernel, c.Kernel)
	if c.Bias {
		r.param(&n, "bias", Bias, c.Out)
	}
	return r.add(n, x)
}

// BatchNorm records a batch normalisation, its gamma ("weight"), beta
// ("bias") and running statistics.
func (r *Recorder) BatchNorm(name Name, x Value, b BatchNorm) Value {
	n := Node{Op: OpBatchNorm, Name: name.String(), C: x.C, H: x.H, W: x.W, Epsilon: cmp.Or(b.Epsilon, r.BNEpsilon, BNEpsilon)}
	if !(n.Epsilon >= 0) || math.IsInf(n.Epsilon, 1) {
		r.fail("batch-norm %s: epsilon %g is no number of at least 0", n.Name, n.Epsilon)
	}
	r.param(&n, "weight", Gamma, x.C)
	r.g.Params[len(r.g.Params)-1].EndsBranch = b.EndsBranch
	r.param(&n, "bias", Beta, x.C)
	r.buffer(&n, "running_mean", x.C)
	r.buffer(&n, "running_var", x.C)
	return r.add(n, x)
}

// Activation records an element-wise function.
func (r *Recorder) Activation(x Value, a Activation) Value {
	return r.add(Node{Op: OpActivation, C: x.C, H: x.H, W: x.W, Act: a}, x)
}

// MaxPool records a max pooling.
func (r *Recorder) MaxPool(x Value, kernel, stride int) Value {
	return r.add(Node{Op: OpMaxPool, C: x.C, H: ConvSize(x.H, kernel, stride), W: ConvSize(x.W, kernel, stride), Kernel: kernel, Stride: stride}, x)
}

// GlobalPool records a global average pooling.
func (r *Recorder) GlobalPool(x Value) Value {
	return r.add(Node{Op: OpGlobalPool, C: x.C, H: 1, W: 1}, x)
}

// Linear records a fully connected layer with bias.
func (r *Recorder) Linear(name Name, x Value, out int) Value {
	n := Node{Op: OpLinear, Name: name.String(), C: out, H: 1, W: 1}
	if x.H != 1 || x.W != 1 {
		r.fail("linear %s: input is %d×%d×%d, not pooled", n.Name, x.C, x.H, x.W)
	}
	r.param(&n, "weight", LinearWeight, out, x.C)
	r.param(&n, "bias", Bias, out)
	return r.add(n, x)
}

// Add records a sum.
func (r *Recorder) Add(a, b Value) Value {
	if a.C != b.C || a.H != b.H || a.W != b.W {
		r.fail("add: %d×%d×%d and %d×%d×%d differ", a.C, a.H, a.W, b.C, b.H, b.W)
	}
	return r.add(Node{Op: OpAdd, C: a.C, H: a.H, W: a.W}, a, b)
}

// Scale records a multiplication of every channel by its gate.
func (r *Recorder) Scale(x, gate Value) Value {
	if x.C != gate.C || gate.H != 1 || gate.W != 1 {
		r.fail("scale: %d×%d×%d by %d×%d×%d", x.C, x.H, x.W, gate.C, gate.H, gate.W)
	}
	return r.add(Node{Op: OpScale, C: x.C, H: x.H, W: x.W}, x, gate)
}

// AvgPool records an average pooling, of tiles or of centred windows.
func (r *Recorder) AvgPool(x Value, kernel, stride, pad int) Value {
	n := Node{Op: OpAvgPool, C: x.C, Kernel: kernel, Stride: stride, Pad: pad}
	if tiles, centred := kernel == stride && pad == 0, kernel%2 == 1 && pad == (kernel-1)/2; stride < 1 || !tiles && !centred {
		r.fail("avg-pool: kernel %d, stride %d, padding %d are neither tiles nor centred windows", kernel, stride, pad)
		return x
	}
	n.H, n.W = AvgSize(x.H, stride), AvgSize(x.W, stride)
	return r.add(n, x)
}

// Fold records a sum of runs of channels; one part records nothing.
func (r *Recorder) Fold(x Value, parts int) Value {
	if parts < 1 || x.C%parts != 0 {
		r.fail("fold: %d channels in %d parts", x.C, parts)
		return x
	}
	if parts == 1 {
		return x
	}
	return r.add(Node{Op: OpFold, C: x.C / parts, H: x.H, W: x.W, Parts: parts}, x)
}

// Softmax records a softmax over runs of channels.
func (r *Recorder) Softmax(x Value, parts, groups int) Value {
	if parts < 1 || groups < 1 || x.C%(parts*groups) != 0 {
		r.fail("softmax: %d channels in %d groups of %d parts", x.C, groups, parts)
		return x
	}
	return r.add(Node{Op: OpSoftmax, C: x.C, H: x.H, W: x.W, Parts: parts, Groups: groups}, x)
}

// DropPath records a stochastic depth; a rate of 0 records nothing.
func (r *Recorder) DropPath(x Value, rate float64) Value {
	return r.drop(OpDropPath, x, rate)
}

// Dropout records a dropout; a rate of 0 records nothing.
func (r *Recorder) Dropout(x Value, rate float64) Value {
	return r.drop(OpDropout, x, rate)
}

func (r *Recorder) drop(op Op, x Value, rate float64) Value {
	if rate == 0 {
		return x
	}
	if rate < 0 || rate >= 1 {
		r.fail("%s: rate %g is not in [0, 1)", op, rate)
	}
	return r.add(Node{Op: op, C: x.C, H: x.H, W: x.W, Rate: rate}, x)
}

// Stochastic lists the drop-path and dropout nodes in order: the nodes for
// which a training step wants a mask.
func (g *Graph) Stochastic() []int {
	var out []int
	for i := range g.Nodes {
		if g.Nodes[i].Op == OpDropPath || g.Nodes[i].Op == OpDropout {
			out = append(out, i)
		}
	}
	return out
}

// Param finds a parameter by name.
func (g *Graph) Param(name string) (Param, bool) {
	i := slices.IndexFunc(g.Params, func(p Param) bool { return p.Name == name })
	if i < 0 {
		return Param{}, false
	}
	return g.Params[i], true
}
