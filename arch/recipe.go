package arch

import (
	"cmp"

	"netspace/graph"
)

// FromRecipe is what a training recipe states that is part of the network that
// is built. A 0 leaves what the spec states, or the default.
type FromRecipe struct {
	DropPath, Dropout float64 // see AnyNet
	BNEpsilon         float64 // of all batch normalisations
}

// TrainingGraph records the network as a recipe trains it. See Build for in and the error.
func (s Spec) TrainingGraph(in Input, r FromRecipe) (*graph.Graph, error) {
	switch n := s.Network.(type) {
	case AnyNet:
		n.DropPath, n.Dropout = cmp.Or(r.DropPath, n.DropPath), cmp.Or(r.Dropout, n.Dropout)
		s.Network = n
	case RegNet:
		n.DropPath, n.Dropout = cmp.Or(r.DropPath, n.DropPath), cmp.Or(r.Dropout, n.Dropout)
		s.Network = n
	case EffNet:
		n.DropPath, n.Dropout = cmp.Or(r.DropPath, n.DropPath), cmp.Or(r.Dropout, n.Dropout)
		s.Network = n
	}
	rec := graph.Recorder{BNEpsilon: r.BNEpsilon}
	if err := s.Build(&rec, in); err != nil {
		return nil, err
	}
	return rec.Graph()
}
