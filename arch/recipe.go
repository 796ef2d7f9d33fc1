package arch

import (
	"cmp"

	"netspace/graph"
)

// FromRecipe is what a training recipe states that is part of the network that
// is built. A 0 leaves what the spec states, or the default.
type FromRecipe struct {
	DropPath, Dropout float64 // see Common
	BNEpsilon         float64 // of all batch normalisations
}

// TrainingGraph records the network as a recipe trains it. See Build for in and the error.
func (s Spec) TrainingGraph(in Input, r FromRecipe) (*graph.Graph, error) {
	if s.Network != nil {
		c := s.Network.common()
		c.DropPath, c.Dropout = cmp.Or(r.DropPath, c.DropPath), cmp.Or(r.Dropout, c.Dropout)
		s.Network = s.Network.with(c)
	}
	rec := graph.Recorder{BNEpsilon: r.BNEpsilon}
	if err := s.Build(&rec, in); err != nil {
		return nil, err
	}
	return rec.Graph()
}
