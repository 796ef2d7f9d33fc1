package analysis

import (
	"fmt"

	"netspace/metric"
	"netspace/space"
	"netspace/stats"
)

// Sample is how the numbers of networks drawn from a space are distributed,
// before any is trained.
type Sample struct {
	Space    string `json:"space"`
	Networks int    `json:"networks"`
	// Of each of Measures; without bars if there are no networks.
	Complexity []Numbers `json:"complexity"`
	Parameters []Numbers `json:"parameters"` // every drawn number, in the order of the method
}

// Numbers are how one number of networks is distributed.
type Numbers struct {
	Name   string `json:"name"`             // of a measure or of a Parameter
	Shared bool   `json:"shared,omitempty"` // as Parameter.Shared
	stats.Histogram
}

// Stage is that of Parameter.Stage.
func (n Numbers) Stage() (field string, stage int, ok bool) { return stageOf(n.Name) }

// NewSample describes networks that were drawn from the space of that name.
func NewSample(name string, networks []space.Network) (Sample, error) {
	s := Sample{Space: name, Networks: len(networks)}
	for _, m := range metric.Counted() {
		n := Numbers{Name: m.Name}
		values := make([]float64, len(networks))
		for i, network := range networks {
			values[i] = float64(m.Of(network.Complexity))
		}
		if len(values) > 0 {
			var err error
			if n.Histogram, err = stats.NewHistogram(values); err != nil {
				return Sample{}, fmt.Errorf("%s: %w", m.Name, err)
			}
		}
		s.Complexity = append(s.Complexity, n)
	}
	asked, staged := make([]space.Asked, len(networks)), false
	for i, n := range networks {
		asked[i] = n.Asked
		staged = staged || blocksOf(n.Spec) != nil
	}
	for _, p := range collect(asked, staged) {
		h, err := stats.NewHistogram(p.Values)
		if err != nil {
			return Sample{}, fmt.Errorf("%s: %w", p.Name, err)
		}
		s.Parameters = append(s.Parameters, Numbers{p.Name, p.Shared, h})
	}
	return s, nil
}
