package engine

import (
	"math"

	"netspace/graph"
)

// Kept says of every node of g whether Options.Activations is about its output: a training step keeps that for its
// backward pass, and with BF16 rounds it, for everything that reads it. These are
// the outputs of convolutions without a bias; sums, behind the activation that alone reads one; and activations that a sum
// takes up. Only maps of more than one position are among them: what has one takes no memory to speak of.
func Kept(g *graph.Graph) []bool {
	readers := make([][]int, len(g.Nodes))
	live := make([]bool, len(g.Nodes)) // leads to the output
	live[len(live)-1] = true
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		for _, in := range g.Nodes[i].In {
			readers[in] = append(readers[in], i)
			live[in] = live[in] || live[i]
		}
	}
	activation := func(i int) bool { return g.Nodes[i].Op == graph.OpActivation && g.Nodes[i].Act != graph.Identity }
	kept := make([]bool, len(g.Nodes))
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if n.H*n.W == 1 || !live[i] {
			continue
		}
		switch {
		case n.Op == graph.OpConv:
			kept[i] = !n.Bias
		case n.Op == graph.OpAdd:
			if len(readers[i]) == 1 && activation(readers[i][0]) {
				kept[readers[i][0]] = true
			} else {
				kept[i] = true
			}
		case activation(i):
			for _, r := range readers[i] {
				kept[i] = kept[i] || live[r] && g.Nodes[r].Op == graph.OpAdd
			}
		}
	}
	return kept
}

// Round gives the number of the precision that is nearest to x, of two as near the one whose last bit is 0. A NaN stays
// one, and what is too large becomes infinite.
func (p Precision) Round(x float64) float64 {
	switch p {
	case FP32:
		return float64(float32(x))
	case BF16:
		const digits = 8
		if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
			return x
		}
		_, e := math.Frexp(x)                      // |x| in [2^(e-1), 2^e)
		unit := math.Ldexp(1, max(e-digits, -133)) // of the last digit; below 2^-126 digits are lost
		if x = math.RoundToEven(x/unit) * unit; math.Abs(x) >= math.Ldexp(1, 128) {
			return math.Inf(int(math.Copysign(1, x)))
		}
	}
	return x
}
