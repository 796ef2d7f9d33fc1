package space

import (
	"fmt"
	"slices"

	"netspace/graph"
	"netspace/metric"
)

// Holds makes a function that tells of networks whether a rule holds for them, by
// what was drawn for them and, where the rule is about complexity, by that. The
// networks are of the space or of another that has its parameters: a number may
// stand once for all stages, or for each stage, whatever the space does.
//
// The error is a *strict.Error if the rule does not fit the space; that of the
// function says which number is missing. The function is not safe for concurrent use.
func (p *Sampler) Holds(r Rule) (func(asked Asked, c graph.Complexity) (bool, error), error) {
	s := *p.space
	s.Rules = append(slices.Clone(s.Rules), r)
	q, err := s.sampler(p.config, false) // which finds all that is wrong with the rule
	if err != nil {
		return nil, err
	}
	test := q.test(r)
	if r.Kind == Expression {
		c, err := q.vocabulary().compile(r.Expression)
		if err != nil {
			return nil, err
		}
		test = check{r.String(), c.phase, c.holds}
	}
	c := newCandidate(q)
	return func(asked Asked, counted graph.Complexity) (bool, error) {
		if err := q.recall(asked, c.env); err != nil {
			return false, err
		}
		if s.Family == familyRegNet {
			net := q.regnet(c.env, q.net.stem)
			c.env[slotLevels] = float64(net.Levels())
		}
		if test.phase >= built {
			c.build()
		}
		v := metric.Count(counted)
		copy(c.env[slotMetric:], v[:])
		return test.holds(c.env), nil
	}, nil
}

// NotDrawnError says that a network does not have a number that its space draws: it is not of this space.
type NotDrawnError struct{ Parameter string }

func (e *NotDrawnError) Error() string {
	return fmt.Sprintf("it is not known which %s was drawn", e.Parameter)
}

// recall writes numbers that were drawn into an environment.
func (p *Sampler) recall(asked Asked, env []float64) error {
	recipe := 0
	for _, q := range p.space.Parameters {
		d, err := define(q.Name, p.space.Family)
		if err != nil || !p.active(d) {
			continue
		}
		v, found := asked.Value(q.Name)
		switch {
		case isRecipe(q.Name):
			env[p.layout.recipe(recipe)] = v
			recipe++
		case d.stage < 0:
			env[d.slot] = v
		case found:
			for _, slot := range p.sharedSlots(d) {
				env[slot] = v
			}
		default:
			if v, found = p.recallStages(q.Name, d, asked, env); found && d.slot != slotNone {
				env[d.slot] = v
			}
		}
		if !found {
			return &NotDrawnError{q.Name}
		}
	}
	return nil
}

// recallStages writes the numbers of stages, and gives the largest: the one that
// was drawn where one is shared and narrow stages cut it.
func (p *Sampler) recallStages(name string, d definition, asked Asked, env []float64) (largest float64, found bool) {
	for i := range p.layout.stages {
		v, ok := asked.Value(fmt.Sprintf("stages[%d].%s", i, name))
		if !ok {
			return 0, false
		}
		env[p.layout.asked(i, d.stage)] = v
		largest = max(largest, v)
	}
	return largest, p.layout.stages > 0
}
