// Package onnx writes networks with their weights as ONNX models, which ONNX Runtime
// and other inference engines run.
//
// A model is written op by op from the recorded graph, as engines compile it; what
// acts in training alone (drop-path, dropout) is left out. Batch, height and width
// of the images are symbolic: every network here ends with a global pooling, and so
// takes images of any size that leaves something to pool.
package onnx

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"netspace/graph"
	"netspace/weights/safetensors"
)

// Opset is the version of ONNX's set of operators that models ask for.
const Opset = 17

// The names of a model's input and outputs.
const (
	Images        = "images"        // [N,C,H,W]
	Logits        = "logits"        // [N,classes]
	Probabilities = "probabilities" // [N,classes], in place of the logits: see Options.Softmax
)

// maxBytes is what a protobuf message may have at most.
const maxBytes = math.MaxInt32

// Options say how a network is written. The zero value folds BN into convolutions,
// gives logits, and takes images that are normalised already.
type Options struct {
	Name      string            // of the network
	KeepBN    bool              // write batch normalisations as such, also where they follow a convolution
	Softmax   bool              // give probabilities, not logits
	Mean, Std []float32         // normalise inside: the model takes x in [0,1] and computes (x-Mean)/Std, per channel; nil: it does not
	Metadata  map[string]string // stated in the model's metadata_props
}

// Write writes g with the parameters and BN statistics of f, which has them under
// g's names (see weights.Translate). It is an error where a tensor is missing, or a model
// would have more than the 2 GiB of a protobuf message.
func Write(w io.Writer, g *graph.Graph, f *safetensors.File, o Options) error {
	if o.Mean != nil && (len(o.Mean) != g.Input().C || len(o.Std) != g.Input().C) {
		return fmt.Errorf("onnx: mean %v and standard deviation %v are not of %d channels", o.Mean, o.Std, g.Input().C)
	}
	t := &writer{g: g, tensors: map[string]safetensors.Tensor{}, values: make([]string, len(g.Nodes)), readers: make([]int, len(g.Nodes))}
	for _, x := range f.Tensors {
		t.tensors[x.Name] = x
	}
	for i := range g.Nodes {
		for _, in := range g.Nodes[i].In {
			t.readers[in]++
		}
	}
	if err := t.graph(o); err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	var m message
	m.int(modelIRVersion, irVersion)
	m.text(modelProducer, "netspace")
	m.message(modelOpset, func(m *message) { m.int(opsetVersion, Opset) })
	for _, key := range slices.Sorted(maps.Keys(o.Metadata)) {
		m.message(modelMetadata, func(m *message) {
			m.text(entryKey, key)
			m.text(entryValue, o.Metadata[key])
		})
	}
	m.begin(modelGraph, len(t.out))
	if len(m)+len(t.out) > maxBytes {
		return fmt.Errorf("onnx: the model has %d bytes; the format allows %d", len(m)+len(t.out), maxBytes)
	}
	for _, part := range []message{m, t.out} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// writer is a model under way.
type writer struct {
	g       *graph.Graph
	tensors map[string]safetensors.Tensor
	out     message  // the GraphProto
	values  []string // per node of g: the name of its output
	readers []int    // per node of g: how many read it
}

func (w *writer) graph(o Options) error {
	in, result := w.g.Input(), Logits
	if o.Softmax {
		result = Probabilities
	}
	w.out.text(graphName, cmp.Or(o.Name, "network"))
	w.out.value(graphInput, Images, "N", in.C, "H", "W")
	w.out.value(graphOutput, result, "N", w.g.Output().C)
	w.values[0] = Images
	if o.Mean != nil {
		shape := []int{1, in.C, 1, 1}
		w.initializer("mean", shape, o.Mean)
		w.initializer("std", shape, o.Std)
		w.op("Sub", []string{Images, "mean"}, "centred")
		w.op("Div", []string{"centred", "std"}, "normalised")
		w.values[0] = "normalised"
	}
	for i := 1; i < len(w.g.Nodes); i++ {
		if err := w.layer(i, o); err != nil {
			return err
		}
	}
	if o.Softmax {
		w.op("Softmax", []string{Logits}, Probabilities, number("axis", 1))
	}
	return nil
}

// layer writes one op of the network.
func (w *writer) layer(i int, o Options) error {
	n := &w.g.Nodes[i]
	in := make([]string, len(n.In))
	for k, from := range n.In {
		in[k] = w.values[from]
	}
	out := cmp.Or(n.Name, fmt.Sprintf("%s_%d", n.Op, i))
	last := i == len(w.g.Nodes)-1
	if last {
		out = Logits
	}
	if last != (n.Op == graph.OpLinear) {
		return fmt.Errorf("op %s %s: a linear layer stands at the end of a network, and nowhere else", n.Op, n.Name)
	}
	w.values[i] = out
	switch n.Op {
	case graph.OpConv:
		if !o.KeepBN && w.readers[i] == 1 && w.g.Nodes[w.reader(i)].Op == graph.OpBatchNorm {
			return nil // it is written with its BN
		}
		names, err := w.parameters(n)
		if err != nil {
			return err
		}
		w.op("Conv", append(in, names...), out, append(window(n), number("group", n.Groups))...)
	case graph.OpBatchNorm:
		if c := &w.g.Nodes[n.In[0]]; !o.KeepBN && c.Op == graph.OpConv && w.readers[n.In[0]] == 1 {
			weight, bias, err := w.folded(c, n)
			if err != nil {
				return err
			}
			names := []string{c.Name + ".weight", c.Name + ".bias"}
			w.initializer(names[0], w.g.Params[c.Params[0]].Shape, weight)
			w.initializer(names[1], []int{c.C}, bias)
			w.op("Conv", append([]string{w.values[c.In[0]]}, names...), out, append(window(c), number("group", c.Groups))...)
			return nil
		}
		names, err := w.parameters(n)
		if err != nil {
			return err
		}
		w.op("BatchNormalization", append(in, names...), out, float("epsilon", n.Epsilon))
	case graph.OpLinear:
		names, err := w.parameters(n)
		if err != nil {
			return err
		}
		w.op("Flatten", in, out+".input", number("axis", 1))
		w.op("Gemm", append([]string{out + ".input"}, names...), out, number("transB", 1))
	case graph.OpActivation:
		switch n.Act {
		case graph.Identity:
			w.values[i] = in[0]
		case graph.ReLU:
			w.op("Relu", in, out)
		case graph.Sigmoid:
			w.op("Sigmoid", in, out)
		case graph.SiLU:
			w.op("Sigmoid", in, out+"_gate")
			w.op("Mul", []string{in[0], out + "_gate"}, out)
		default:
			return fmt.Errorf("activation %s is not known", n.Act)
		}
	case graph.OpMaxPool:
		w.op("MaxPool", in, out, window(n)...)
	case graph.OpGlobalPool:
		w.op("GlobalAveragePool", in, out)
	case graph.OpAdd:
		w.op("Add", in, out)
	case graph.OpScale:
		w.op("Mul", in, out)
	case graph.OpAvgPool:
		beyond := number("count_include_pad", 1)
		if n.Pad == 0 {
			beyond = number("ceil_mode", 1) // the last tiles have what is left
		}
		w.op("AveragePool", in, out, append(window(n), beyond)...)
	case graph.OpFold:
		parts := make([]string, n.Parts)
		for j := range parts {
			parts[j] = fmt.Sprintf("%s.%d", out, j)
		}
		w.node("Split", in, parts, out+".parts", number("axis", 1))
		w.op("Sum", parts, out)
	case graph.OpSoftmax:
		w.integers(out+".parts", 0, n.Groups, n.Parts, -1)
		w.op("Reshape", []string{in[0], out + ".parts"}, out+".split")
		w.op("Softmax", []string{out + ".split"}, out+".softmax", number("axis", 2))
		w.op("Transpose", []string{out + ".softmax"}, out+".transposed", numbers("perm", 0, 2, 1, 3))
		w.op("Shape", in, out+".shape")
		w.op("Reshape", []string{out + ".transposed", out + ".shape"}, out)
	case graph.OpDropPath, graph.OpDropout:
		w.values[i] = in[0]
	default:
		return fmt.Errorf("op %s is not known", n.Op)
	}
	return nil
}

// reader is the first node that reads node i.
func (w *writer) reader(i int) int {
	return slices.IndexFunc(w.g.Nodes, func(n graph.Node) bool { return slices.Contains(n.In, i) })
}

// window is what the attributes of a convolution or pooling say of its window.
func window(n *graph.Node) []attribute {
	pad := (n.Kernel - 1) / 2
	if n.Op == graph.OpAvgPool {
		pad = n.Pad
	}
	return []attribute{numbers("kernel_shape", n.Kernel, n.Kernel), numbers("strides", n.Stride, n.Stride), numbers("pads", pad, pad, pad, pad)}
}

// folded is the weight and the bias of a convolution and its BN: of
// γ·(w·x + b - μ)/√(σ² + ε) + β.
func (w *writer) folded(c, bn *graph.Node) (weight, bias []float32, err error) {
	conv, err := w.values32(c)
	if err != nil {
		return nil, nil, err
	}
	norm, err := w.values32(bn)
	if err != nil {
		return nil, nil, err
	}
	weight, bias = conv[0], make([]float32, c.C)
	gamma, beta, mean, variance := norm[0], norm[1], norm[2], norm[3]
	per := len(weight) / c.C
	for k := range bias {
		by, own := float64(gamma[k])/math.Sqrt(float64(variance[k])+bn.Epsilon), 0.0
		if c.Bias {
			own = float64(conv[1][k])
		}
		for j := range per {
			weight[k*per+j] = float32(float64(weight[k*per+j]) * by)
		}
		bias[k] = float32(float64(beta[k]) + (own-float64(mean[k]))*by)
	}
	return weight, bias, nil
}

// parameters writes the tensors of a node as they are, and gives their names.
func (w *writer) parameters(n *graph.Node) ([]string, error) {
	values, err := w.values32(n)
	if err != nil {
		return nil, err
	}
	var names []string
	for k, t := range w.of(n) {
		w.initializer(t.Name, t.Shape, values[k])
		names = append(names, t.Name)
	}
	return names, nil
}

// of lists the tensors of a node: its parameters, then its statistics.
func (w *writer) of(n *graph.Node) []graph.Buffer {
	var list []graph.Buffer
	for _, p := range n.Params {
		list = append(list, graph.Buffer{Name: w.g.Params[p].Name, Shape: w.g.Params[p].Shape})
	}
	for _, b := range n.Buffers {
		list = append(list, w.g.Buffers[b])
	}
	return list
}

// values32 reads the tensors of a node.
func (w *writer) values32(n *graph.Node) ([][]float32, error) {
	var values [][]float32
	for _, t := range w.of(n) {
		x, found := w.tensors[t.Name]
		if !found || !slices.Equal(x.Shape, t.Shape) {
			return nil, fmt.Errorf("tensor %s %v is missing", t.Name, t.Shape)
		}
		v := make([]float32, t.Size())
		if err := x.CopyFloat32(v); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}
