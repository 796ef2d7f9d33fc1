package analysis

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"netspace/stats"
)

// What a regression needs, lest it fit what is chance.
const (
	perCoefficient = 10 // networks for each coefficient
	fewestModelled = 10 // networks that differ in how far they are from the rule (stats.Slope.Effective)
)

// column is a covariate of regressions, by network.
type column struct {
	field  string
	values []float64
}

// logarithms are the covariates that regressions may hold: log2 of every parameter
// that varies, or the number itself where it may be 0.
func (f *refiner) logarithms() []column {
	var out []column
	for _, p := range collect(f.asked, false) {
		if len(p.Networks) < f.N || len(p.Distinct) < 2 {
			continue
		}
		field, _, _ := p.Stage()
		values := slices.Clone(p.Values)
		if p.Distinct[0] > 0 {
			for i, v := range values {
				values[i] = math.Log2(v)
			}
		}
		out = append(out, column{field, values})
	}
	return out
}

// covariates are as many of the logarithms as so many networks bear: all, or for
// each field the mean over the stages, or none.
func (f *refiner) covariates(networks int) [][]float64 {
	var all, means [][]float64
	for i, c := range f.logs {
		all = append(all, c.values)
		if i > 0 && f.logs[i-1].field == c.field {
			last := means[len(means)-1]
			for k, v := range c.values {
				last[k] += v // their scale does not matter
			}
			continue
		}
		means = append(means, slices.Clone(c.values))
	}
	for _, columns := range [][][]float64{all, means} {
		if networks >= perCoefficient*(len(columns)+2) {
			return columns
		}
	}
	return nil
}

// regress models errors by the distance from a rule; nil if the networks that
// are there do not tell it.
func (f *refiner) regress(p proposal, split stats.Split, distance []float64) (*Model, error) {
	if f.N < fewestModelled {
		return nil, nil
	}
	s, _, err := f.slope(split, distance, f.networks.Errors)
	if s.Influence == nil {
		return nil, err
	}
	m := &Model{Regressor: p.about, Slope: s.Value, Covariates: s.Covariates, R2: s.R2, Distance: meanDistance(split, distance)}
	for _, g := range split {
		if g != stats.Outside {
			m.N++
		}
	}
	if p.distance == nil {
		m.Regressor = "whether the rule is broken"
	}
	return m, nil
}

// effectOf is the effect that a model gives: that of the mean distance of the
// networks without the rule, taken away.
func (f *refiner) effectOf(m *Model, split stats.Split, distance []float64) (stats.Effect, error) {
	below := make([]float64, f.N) // its mean is the area
	for i, e := range f.networks.Errors {
		below[i] = math.Max(0, f.EMax-e)
	}
	var e stats.Effect
	for _, x := range []struct {
		y  []float64
		to **stats.Linear
	}{{f.networks.Errors, &e.Mean}, {below, &e.Area}} {
		s, places, err := f.slope(split, distance, x.y)
		if err != nil {
			return e, err
		}
		l := &stats.Linear{Value: -m.Distance * s.Value, Influence: make([]float64, f.N)}
		for k, i := range places {
			l.Influence[i] = -m.Distance * s.Influence[k]
		}
		*x.to = l
	}
	return e, nil
}

// slope regresses y on the distance over the networks that a split has, which it
// gives the places of. The slope has no influences where they do not tell it.
func (f *refiner) slope(split stats.Split, distance, y []float64) (stats.Slope, []int, error) {
	var places []int
	for i, g := range split {
		if g != stats.Outside {
			places = append(places, i)
		}
	}
	if len(places) < fewestModelled {
		return stats.Slope{}, nil, nil
	}
	pick := func(v []float64) []float64 {
		out := make([]float64, len(places))
		for k, i := range places {
			out[k] = v[i]
		}
		return out
	}
	var held [][]float64
	for _, c := range f.covariates(len(places)) {
		held = append(held, pick(c))
	}
	s, err := stats.PartialSlope(pick(y), pick(distance), held...)
	if errors.Is(err, stats.ErrCollinear) || err == nil && s.Effective < fewestModelled {
		return stats.Slope{}, nil, nil
	}
	if err != nil {
		return s, nil, fmt.Errorf("regression: %w", err)
	}
	return s, places, nil
}

// meanDistance is that of the networks without the rule.
func meanDistance(split stats.Split, distance []float64) float64 {
	sum, n := 0.0, 0.0
	for i, g := range split {
		if g == stats.InRest {
			sum, n = sum+distance[i], n+1
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}
