package train

import (
	"fmt"
	"math"

	"netspace/engine"
	"netspace/graph"
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
	rng := stream(seed, "init/"+p.Name)
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
		if zeroGamma && p.Last {
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

// Initialize sets the parameters of a program to their initial values (see
// InitParam), running means to 0 and running variances to 1.
func Initialize(p engine.Program, g *graph.Graph, seed uint64, zeroGamma bool) error {
	var buf []float32
	for _, param := range g.Params {
		buf = resize(buf, param.Size())
		InitParam(g, param, seed, zeroGamma, buf)
		if err := p.Set(engine.Params, param.Name, buf); err != nil {
			return fmt.Errorf("initialise: %w", err)
		}
	}
	for i := range g.Nodes {
		for k, b := range g.Nodes[i].Buffers { // the running mean, then the running variance
			buf = resize(buf, g.Buffers[b].Size())
			fill(buf, float32(k))
			if err := p.Set(engine.Buffers, g.Buffers[b].Name, buf); err != nil {
				return fmt.Errorf("initialise: %w", err)
			}
		}
	}
	return nil
}

func fill(dst []float32, v float32) {
	for i := range dst {
		dst[i] = v
	}
}

// resize returns buf with n elements, allocating only to grow.
func resize(buf []float32, n int) []float32 {
	if cap(buf) < n {
		return make([]float32, n)
	}
	return buf[:n]
}
