package train

import (
	"fmt"
	"math/rand/v2"

	"netspace/graph"
	"netspace/internal/stream"
)

// drawer draws what a step takes at random, without allocating.
type drawer struct {
	seed uint64
	pcg  rand.PCG
	rng  *rand.Rand
}

func (d *drawer) init(seed uint64) {
	d.seed = seed
	d.rng = rand.New(&d.pcg)
}

// at returns the generator for one purpose in one step.
func (d *drawer) at(purpose string, step int) *rand.Rand {
	stream.Seed(&d.pcg, d.seed, purpose, uint64(step))
	return d.rng
}

// maskSize is the number of factors that a node takes for a batch (see engine.Batch.Masks).
func maskSize(n *graph.Node, batch int) int {
	if n.Op == graph.OpDropPath {
		return batch
	}
	return batch * n.C * n.H * n.W
}

// masks draws the factors of drop-path and dropout nodes for a step: 0 with the
// node's rate as probability, else 1/(1-rate), so that the mean is 1.
func (d *drawer) masks(g *graph.Graph, nodes []int, masks [][]float32, step int) {
	if len(nodes) == 0 {
		return
	}
	rng := d.at("drop", step)
	for k, i := range nodes {
		rate := g.Nodes[i].Rate
		keep := float32(1 / (1 - rate))
		for e := range masks[k] {
			if rng.Float64() < rate {
				masks[k][e] = 0
			} else {
				masks[k][e] = keep
			}
		}
	}
}

// checkBuilt refuses a graph that was built without what the recipe states of
// it: whoever builds the network must have passed it on. (Of drop-path nothing
// can be said: a network may have no residual branch.)
func (j *Job) checkBuilt() error {
	norms, epsilon, dropout := false, false, j.Recipe.Dropout == 0
	for i := range j.Graph.Nodes {
		switch n := &j.Graph.Nodes[i]; n.Op {
		case graph.OpDropout:
			dropout = true
		case graph.OpBatchNorm:
			norms, epsilon = true, epsilon || n.Epsilon == j.Recipe.BNEpsilon
		}
	}
	switch {
	case !dropout:
		return &JobError{Reason: fmt.Sprintf("recipe.dropout is %g, but the network was built without dropout before its classifier", j.Recipe.Dropout)}
	case norms && !epsilon:
		return &JobError{Reason: fmt.Sprintf("recipe.bn_epsilon is %g, but no batch normalisation of the network was built with it", j.Recipe.BNEpsilon)}
	}
	return nil
}
