package analysis

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"netspace/arch"
	"netspace/metric"
	"netspace/study"
)

// Findings are all that is said of a comparison. Lists "by space" are in the order of
// Comparison.Spaces; a network is named by its place in Space.Finished.
type Findings struct {
	Comparison
	Reading Reading `json:"reading"`
	// Different is set if the sources were made under different conditions.
	Different *DifferentError `json:"different,omitempty"`
	Networks  [][]study.Trial `json:"networks"` // by space: Space.Finished
	Shown     Span            `json:"shown"`    // the errors worth seeing: all but outliers, percent

	Distributions []Distribution `json:"distributions"` // by space
	// At equal params; nil where the populations do not allow it.
	Normalised *Normalised    `json:"normalised,omitempty"`
	Search     []Search       `json:"search"`     // by space
	Relations  []Relation     `json:"relations"`  // one for each of Measures
	Parameters [][]Parameter  `json:"parameters"` // by space: those that vary
	Curves     [][]Curve      `json:"curves"`     // by space, the best network first; only networks that were evaluated at least twice
	Best       [][]Outline    `json:"best"`       // by space: the best MostOutlined, the best first
	Ranking    []NetworkPlace `json:"ranking"`    // of all that were done, the best first
	Failures   []NetworkPlace `json:"failures"`
}

// NetworkPlace is a network of one of the spaces.
type NetworkPlace struct {
	Space   int `json:"space"`   // place in Comparison.Spaces
	Network int `json:"network"` // place in Space.Finished
}

// Curve is the validation error of a network as it was trained.
type Curve struct {
	Network int       `json:"network"`
	Epochs  []int     `json:"epochs"` // from 1; those after which it was evaluated
	Errors  []float64 `json:"errors"` // percent
	// Of the networks of its space that were done: 0 for the best, Of-1 for the worst.
	Rank int `json:"rank"`
	Of   int `json:"of"`
}

// Outline is a network with what a drawing of it shows.
type Outline struct {
	Network    int             `json:"network"`
	Silhouette arch.Silhouette `json:"silhouette"`
}

// MostOutlined bounds the networks of a space that have an Outline.
const MostOutlined = 4

// Findings gives all that there is to say of the comparison.
func (c Comparison) Findings() (Findings, error) {
	f := Findings{Comparison: c, Reading: c.Reading(), Shown: c.shown()}
	if err := Comparable(c.Sources); err != nil && !errors.As(err, &f.Different) {
		return Findings{}, err
	}
	for i, s := range c.Spaces {
		if err := f.add(i, s); err != nil {
			return Findings{}, fmt.Errorf("%s: %w", s.Label, err)
		}
	}
	for _, m := range metric.Counted() {
		f.Relations = append(f.Relations, c.relation(m))
	}
	var err error
	if f.Normalised, err = c.normalised(metric.Params.Metric()); err != nil {
		return Findings{}, err
	}
	slices.SortStableFunc(f.Ranking, func(a, b NetworkPlace) int {
		return cmp.Compare(c.Network(a).Error, c.Network(b).Error)
	})
	return f, nil
}

// Network is the network at a place.
func (c Comparison) Network(p NetworkPlace) study.Trial { return c.Spaces[p.Space].Finished[p.Network] }

// add says what there is to say of the space at place i alone.
func (f *Findings) add(i int, s Space) error {
	d, err := s.distribution()
	if err != nil {
		return err
	}
	search, err := s.search()
	if err != nil {
		return err
	}
	var params []Parameter
	if s.N > 1 {
		if params, err = parameters(s); err != nil {
			return err
		}
	}
	ranked := s.ranked()
	var best []Outline
	for _, n := range ranked[:min(MostOutlined, len(ranked))] {
		if s.Finished[n].Spec.Network == nil { // imported without a description
			continue
		}
		outline, err := s.Finished[n].Spec.Silhouette()
		if err != nil {
			return fmt.Errorf("network %d: %w", s.Finished[n].Index, err)
		}
		best = append(best, Outline{n, outline})
	}
	var curves []Curve
	for rank, n := range ranked {
		curve := Curve{Network: n, Rank: rank, Of: len(ranked)}
		for _, e := range s.Finished[n].Epochs {
			if e.Evaluated {
				curve.Epochs, curve.Errors = append(curve.Epochs, e.Epoch), append(curve.Errors, e.ValError)
			}
		}
		if len(curve.Epochs) > 1 {
			curves = append(curves, curve)
		}
		f.Ranking = append(f.Ranking, NetworkPlace{i, n})
	}
	for n, t := range s.Finished {
		if t.State == study.Failed {
			f.Failures = append(f.Failures, NetworkPlace{i, n})
		}
	}
	f.Networks = append(f.Networks, s.Finished)
	f.Distributions = append(f.Distributions, d)
	f.Search = append(f.Search, search)
	f.Parameters = append(f.Parameters, params)
	f.Curves = append(f.Curves, curves)
	f.Best = append(f.Best, best)
	return nil
}

// ranked are the places in Finished of the networks that were done, the best
// first; equal errors stand in sample order.
func (s Space) ranked() []int {
	var done []int
	for i, t := range s.Finished {
		if t.State == study.Done {
			done = append(done, i)
		}
	}
	slices.SortStableFunc(done, func(a, b int) int { return cmp.Compare(s.Finished[a].Error, s.Finished[b].Error) })
	return done
}
