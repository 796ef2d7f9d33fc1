package space

import (
	"fmt"
	"slices"

	"netspace/metric"
	"netspace/strict"
)

// check rejects candidates.
type check struct {
	name  string
	phase phase
	holds func(env []float64) bool
}

// addChecks compiles what remains to be tested on each candidate, in the order
// in which it can be decided.
func (p *Sampler) addChecks(rest []Rule, faults *strict.Faults) {
	v := p.vocabulary()
	cost := 0
	compile := func(text string) (condition, error) {
		c, err := v.compile(text)
		if cost += c.cost; err == nil && cost > maxCost {
			err = fmt.Errorf("takes %d steps to decide for one network, with the expressions before it: at most %d are allowed", cost, maxCost)
		}
		return c, err
	}
	if n := len(rest) + len(p.config.Regime.Rules); n > maxRules {
		faults.Add(strict.Fault{Path: "rules", Rule: fmt.Sprintf("are %d: at most %d are allowed", n, maxRules)})
		return
	}
	for _, r := range rest {
		if r.Kind != Expression {
			p.checks = append(p.checks, p.test(r))
			continue
		}
		c, err := compile(r.Expression)
		if err != nil {
			faults.Add(r.fault("%v", err))
			continue
		}
		p.checks = append(p.checks, check{r.String(), c.phase, c.holds})
	}
	if p.space.Family == familyRegNet {
		n := p.layout.stages
		p.checks = append(p.checks, check{fmt.Sprintf("%d stages", n), built, nil})
	}
	g := p.config.Regime
	for _, m := range metric.Counted() {
		if r := g.Bounds[m.ID]; !r.IsZero() {
			p.checks = append(p.checks, check{m.Name + " " + r.String(), counted, func(env []float64) bool { return r.Contains(env[slotMetric+m.ID]) }})
		}
	}
	for _, text := range g.Rules {
		c, err := compile(text)
		if err != nil {
			faults.Add(strict.Fault{Path: "regime.rules", Value: text, Rule: err.Error()})
			continue
		}
		p.checks = append(p.checks, check{text, c.phase, c.holds})
	}
	slices.SortStableFunc(p.checks, func(a, b check) int {
		if a.phase != b.phase {
			return int(a.phase) - int(b.phase)
		}
		if a.holds == nil || b.holds == nil { // the number of stages before what counts on it
			return boolInt(a.holds != nil) - boolInt(b.holds != nil)
		}
		return 0
	})
}

// vocabulary is what expressions of the space may name.
func (p *Sampler) vocabulary() vocabulary {
	v := vocabulary{layout: p.layout, family: p.space.Family, shared: map[string]int{}, recipe: map[string]int{}}
	v.shared["resolution"] = slotResolution
	for _, q := range p.space.Parameters {
		d, err := define(q.Name, p.space.Family)
		if err == nil && p.active(d) && d.slot != slotNone && (q.Shared || d.stage < 0) {
			v.shared[q.Name] = d.slot
		}
	}
	for _, f := range p.recipe {
		v.recipe[recipePrefix+f.name] = f.slot
	}
	return v
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// test makes a check of a rule by name: of one that could not be folded into the
// draws, and of any on numbers that were not drawn by it.
func (p *Sampler) test(r Rule) check {
	slots := p.slotsOf(r)
	o, ordered := r.Kind.order()
	return check{r.String(), drawn, func(env []float64) bool {
		for i, s := range slots {
			if r.restricts() && !r.accepts(env[s]) || ordered && i > 0 && !o.holds(env[slots[i-1]], env[s]) || r.Kind == Equal && env[s] != env[slots[0]] {
				return false
			}
		}
		return true
	}}
}

// slotsOf lists where a rule finds its values: one of each stage, or the one
// that all share.
func (p *Sampler) slotsOf(r Rule) []int {
	for _, f := range p.recipe {
		if recipePrefix+f.name == r.Parameter {
			return []int{f.slot}
		}
	}
	d, err := define(r.Parameter, p.space.Family)
	if err != nil { // reported by usable
		return nil
	}
	if d.stage < 0 || p.space.shares(r.Parameter) {
		return p.sharedSlots(d)[:1]
	}
	var slots []int
	for i := range p.layout.stages {
		if !r.excepts(i, p.layout.stages) {
			slots = append(slots, p.layout.asked(i, d.stage))
		}
	}
	return slots
}

func (s *Space) shares(parameter string) bool {
	return slices.ContainsFunc(s.Parameters, func(q Parameter) bool { return q.Name == parameter && q.Shared })
}
