package weights

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"netspace/engine"
	"netspace/graph"
	"netspace/internal/stream"
	"netspace/weights/safetensors"
)

// linearStd is the standard deviation of linear weights (docs/method.md §5; the paper authors' tool).
const linearStd = 0.01

// InitParam fills dst with the initial values of a parameter of g, as the
// paper authors' tool does (docs/method.md §5): convolution weights are normal with
// std √(2/(k²·c_out)) — He by fan-out with the groups left out of account —,
// linear weights normal with std 0.01, BN γ 1 and β 0, the bias of a linear
// layer 0, and the bias of a convolution (which only squeeze-and-excitation
// has) uniform in ±1/√fan_in, which is PyTorch's default that the tool leaves
// in place. With zeroGamma the γ of the last BN of each residual branch is 0.
//
// The numbers derive from the seed and the tensor's name alone: equal tensors
// of different networks start equal, and adding a layer changes no other.
func InitParam(g *graph.Graph, p graph.Param, seed uint64, zeroGamma bool, dst []float32) {
	var source rand.PCG
	stream.Seed(&source, seed, "init/"+p.Name)
	rng := rand.New(&source)
	switch p.Role {
	case graph.ConvWeight:
		normal(dst, math.Sqrt(2/float64(p.Shape[0]*p.Shape[2]*p.Shape[3])), rng.NormFloat64)
	case graph.LinearWeight:
		normal(dst, linearStd, rng.NormFloat64)
	case graph.Bias:
		n := &g.Nodes[p.Node]
		if n.Op == graph.OpLinear {
			clear(dst)
			return
		}
		weight := g.Params[n.Params[0]].Shape
		bound := 1 / math.Sqrt(float64(weight[1]*weight[2]*weight[3]))
		for i := range dst {
			dst[i] = float32(bound * (2*rng.Float64() - 1))
		}
	case graph.Gamma:
		if zeroGamma && p.EndsBranch {
			clear(dst)
		} else {
			fill(dst, 1)
		}
	case graph.Beta:
		clear(dst)
	}
}

func normal(dst []float32, std float64, draw func() float64) {
	for i := range dst {
		dst[i] = float32(std * draw())
	}
}

func fill(dst []float32, v float32) {
	for i := range dst {
		dst[i] = v
	}
}

// eachInitial calls set with every tensor of a fresh network: the parameters (see
// InitParam), then BN means 0 and variances 1. values is valid during the call.
func eachInitial(g *graph.Graph, seed uint64, zeroGamma bool, set func(s engine.Set, e Entry, values []float32) error) error {
	var buf []float32
	for _, p := range g.Params {
		buf = resize(buf, p.Size())
		InitParam(g, p, seed, zeroGamma, buf)
		if err := set(engine.Params, Entry{p.Name, p.Shape}, buf); err != nil {
			return err
		}
	}
	for i := range g.Nodes {
		for k, b := range g.Nodes[i].Buffers { // the running mean, then the running variance
			buf = resize(buf, g.Buffers[b].Size())
			fill(buf, float32(k))
			if err := set(engine.Buffers, Entry{g.Buffers[b].Name, g.Buffers[b].Shape}, buf); err != nil {
				return err
			}
		}
	}
	return nil
}

// Initial makes the file of weights that a training with this seed starts
// from: parameters (see InitParam) and BN statistics 0 and 1.
func Initial(g *graph.Graph, seed uint64, zeroGamma bool) *safetensors.File {
	f := &safetensors.File{Metadata: map[string]string{"format": PyTorch, "seed": fmt.Sprint(seed)}}
	_ = eachInitial(g, seed, zeroGamma, func(_ engine.Set, e Entry, values []float32) error { // which does not fail
		f.Tensors = append(f.Tensors, safetensors.Float32(e.Name, e.Shape, values))
		return nil
	})
	return f
}

// Initialize sets the parameters and BN statistics of a program of g to those of Initial.
func Initialize(p engine.Program, g *graph.Graph, seed uint64, zeroGamma bool) error {
	err := eachInitial(g, seed, zeroGamma, func(s engine.Set, e Entry, values []float32) error { return p.Set(s, e.Name, values) })
	if err != nil {
		return fmt.Errorf("initialise: %w", err)
	}
	return nil
}

// resize returns buf with n elements, allocating only to grow.
func resize(buf []float32, n int) []float32 { return slices.Grow(buf[:0], n)[:n] }
