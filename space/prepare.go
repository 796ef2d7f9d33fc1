package space

import (
	"fmt"
	"slices"
	"strings"

	"netspace/internal/portable"
	"netspace/strict"
)

// group is a parameter of the space, with the rules that its draws obey.
type group struct {
	parameter string
	values    int // of its prior, the most of any stage; 0: continuous
	folded    []foldedRule
}

// foldedRule is a rule that draws obey by construction.
type foldedRule struct {
	rule  Rule
	share float64 // of the prior that is left by it and the rules before it, of what the rules before leave
}

// active says whether a parameter has an effect on the networks: R and V
// blocks have no bottleneck and no groups.
func (p *Sampler) active(d definition) bool { return d.effective(p.net.block.Has()) }

// prepare makes the draws of every parameter and folds into them the rules that
// they can obey by construction; it returns the rules that are left.
func (p *Sampler) prepare(faults *strict.Faults) []Rule {
	rest := p.usable(faults)
	recipe := 0
	for _, q := range p.space.Parameters {
		d, err := define(q.Name, p.space.Family)
		if err != nil || !p.active(d) {
			continue
		}
		if len(q.Priors) > 1 && len(q.Priors) != p.layout.stages {
			faults.Add(strict.Fault{Path: "parameters." + q.Name, Rule: fmt.Sprintf("has %d priors for %d stages", len(q.Priors), p.layout.stages)})
			continue
		}
		if q.Name == "resolution" {
			p.resolution = true
		}
		g := group{parameter: q.Name}
		switch {
		case isRecipe(q.Name):
			slot := p.layout.recipe(recipe)
			recipe++
			rest = p.addShared(&g, q, []int{slot}, rest, faults)
			p.asked = append(p.asked, askedSlot{q.Name, slot})
		case d.stage < 0 || q.Shared:
			slots := p.sharedSlots(d)
			rest = p.addShared(&g, q, slots, rest, faults)
			p.asked = append(p.asked, askedSlot{q.Name, slots[0]})
		default:
			rest = p.addStages(&g, q, d, rest, faults)
			for i := range p.layout.stages {
				p.asked = append(p.asked, askedSlot{fmt.Sprintf("stages[%d].%s", i, q.Name), p.layout.asked(i, d.stage)})
			}
		}
		p.groups = append(p.groups, g)
	}
	return rest
}

// usable gives the rules that have an effect, and reports those about
// parameters that the space does not have.
func (p *Sampler) usable(faults *strict.Faults) []Rule {
	var rules []Rule
	for _, r := range p.space.Rules {
		if r.Kind == Expression {
			rules = append(rules, r)
			continue
		}
		d, err := define(r.Parameter, p.space.Family)
		i := slices.IndexFunc(p.space.Parameters, func(q Parameter) bool { return q.Name == r.Parameter })
		_, ordered := r.Kind.order()
		switch {
		case err != nil:
			faults.Add(r.fault("%v", err))
		case !p.active(d):
		case i < 0:
			faults.Add(r.fault("the space has no parameter %s", r.Parameter))
		case (ordered || r.Kind == Equal || len(r.Except) > 0) && d.stage < 0:
			faults.Add(r.fault("%s belongs to the network: its stages have none of their own to compare", r.Parameter))
		case p.space.Parameters[i].Shared && (ordered || r.Kind == Equal):
			if o, _ := r.Kind.order(); o.strict {
				faults.Add(r.fault("%s is shared by all stages", r.Parameter))
			}
		default:
			rules = append(rules, r)
		}
	}
	return rules
}

func isRecipe(name string) bool {
	return strings.HasPrefix(name, recipePrefix)
}

// sharedSlots are all places of a parameter that has one value.
func (p *Sampler) sharedSlots(d definition) []int {
	slots := []int{d.slot}
	if d.slot == slotNone {
		slots = nil
	}
	if d.stage >= 0 {
		for i := range p.layout.stages {
			slots = append(slots, p.layout.asked(i, d.stage))
		}
	}
	return slots
}

// table is that of a prior, or with equal chances.
func (p *Sampler) table(prior Prior) table {
	t := prior.table()
	if p.flat {
		return t.flat()
	}
	return t
}

// addShared makes the draw of a parameter that has one value, and returns the
// rules that are left.
func (p *Sampler) addShared(g *group, q Parameter, slots []int, rules []Rule, faults *strict.Faults) []Rule {
	prior := q.Priors[0]
	if prior.continuous() {
		impossible(q, rules, faults)
		p.draws = append(p.draws, interval(prior, slots))
		return rules
	}
	c := class{table: p.table(prior)}
	g.values = len(c.table.values)
	rules = about(q, rules, Rule.restricts, func(r Rule) bool {
		c.table = c.table.filter(r.accepts)
		g.fold(r, c.table.sum(), faults)
		return true
	})
	if len(c.table.values) > 0 {
		d, _ := single(c)
		d.to = slots
		p.draws = append(p.draws, d)
	}
	return rules
}

// interval makes the draw of a continuous prior.
func interval(prior Prior, slots []int) draw {
	d := draw{to: slots, lo: prior.Min, hi: prior.Max, log: prior.Kind == LogUniform}
	if d.log {
		d.lo, d.hi = portable.Log(d.lo), portable.Log(d.hi)
	}
	return d
}

// impossible reports rules that a continuous parameter obeys with probability 0.
func impossible(q Parameter, rules []Rule, faults *strict.Faults) {
	for _, r := range rules {
		if r.Parameter == q.Name && (r.Kind == Equal || r.Kind == In) {
			faults.Add(r.fault("holds with probability 0: %s is continuous", q.Name))
		}
	}
}

// about applies the rules about a parameter that fit, and returns the others
// and those that apply refuses.
func about(q Parameter, rules []Rule, fits, apply func(Rule) bool) (left []Rule) {
	for _, r := range rules {
		if r.Parameter != q.Name || !fits(r) || !apply(r) {
			left = append(left, r)
		}
	}
	return left
}

// restricts says whether the rule is about each value on its own.
func (r Rule) restricts() bool { return r.Kind == InRange || r.Kind == In }

// accepts is the test of range and in.
func (r Rule) accepts(v float64) bool {
	if r.Kind == In {
		return slices.Contains(r.Values, v)
	}
	return r.Range.Min <= v && v <= r.Range.Max
}

// fold notes that a rule is obeyed by construction, and what it leaves of the prior.
func (g *group) fold(r Rule, left float64, faults *strict.Faults) {
	before := 1.0
	for _, f := range g.folded {
		before *= f.share
	}
	if left <= 0 {
		faults.Add(r.fault("leaves no value for %s", g.parameter))
		left = before
	}
	g.folded = append(g.folded, foldedRule{r, left / before})
}

// addStages makes the draws of a parameter that every stage has for itself, and
// returns the rules that are left. Ranges cut the tables, equal merges stages
// into classes, and the first rule of order links classes to a chain; what does
// not fit stays a rule that rejects candidates.
func (p *Sampler) addStages(g *group, q Parameter, d definition, rules []Rule, faults *strict.Faults) []Rule {
	n := p.layout.stages
	slots := func(stages []int) []int {
		out := make([]int, len(stages))
		for i, s := range stages {
			out[i] = p.layout.asked(s, d.stage)
		}
		return out
	}
	var classes []class
	for i := range n {
		prior := q.Priors[min(i, len(q.Priors)-1)]
		if prior.continuous() {
			p.draws = append(p.draws, interval(prior, slots([]int{i})))
			continue
		}
		classes = append(classes, class{[]int{i}, p.table(prior)})
		g.values = max(g.values, len(classes[len(classes)-1].table.values))
	}
	switch len(classes) {
	case 0:
		impossible(q, rules, faults)
		return rules
	case n:
	default:
		faults.Add(strict.Fault{Path: "parameters." + q.Name, Rule: "must be continuous in all stages or in none: give every stage a multiple"})
		return rules
	}

	rules = about(q, rules, Rule.restricts, func(r Rule) bool {
		for i := range classes {
			if !r.excepts(i, n) {
				classes[i].table = classes[i].table.filter(r.accepts)
			}
		}
		g.fold(r, weight(classes), faults)
		return true
	})
	rules = about(q, rules, func(r Rule) bool { return r.Kind == Equal }, func(r Rule) bool {
		classes = merge(classes, r, n)
		g.fold(r, weight(classes), faults)
		return true
	})
	var chain []draw
	rules = about(q, rules, func(r Rule) bool { _, ok := r.Kind.order(); return ok }, func(r Rule) bool {
		compared, others, ok := compared(classes, r, n)
		if chain != nil || !ok {
			return false
		}
		o, _ := r.Kind.order()
		var w float64
		chain, w = link(compared, o)
		for i, c := range compared {
			chain[i].to = slots(c.stages)
		}
		classes = others
		g.fold(r, w*weight(others), faults)
		return true
	})
	p.draws = append(p.draws, chain...)
	for _, c := range classes {
		if len(c.table.values) > 0 { // else it is reported
			dr, _ := single(c)
			dr.to = slots(c.stages)
			p.draws = append(p.draws, dr)
		}
	}
	return rules
}

// weight is what is left of the prior.
func weight(classes []class) float64 {
	w := 1.0
	for _, c := range classes {
		w *= c.table.sum()
	}
	return w
}

// merge puts the stages of an equal rule into one class.
func merge(classes []class, r Rule, n int) []class {
	var one class
	var out []class
	for _, c := range classes {
		if !slices.ContainsFunc(c.stages, func(i int) bool { return !r.excepts(i, n) }) {
			out = append(out, c)
			continue
		}
		if one.stages == nil {
			one = c
			out = append(out, c)
			continue
		}
		one.table = one.table.product(c.table)
		one.stages = append(slices.Clone(one.stages), c.stages...)
	}
	for i := range out {
		if len(one.stages) > 0 && out[i].stages[0] == one.stages[0] {
			out[i] = one
		}
	}
	return out
}

// compared splits classes into those of the stages that a rule of order
// compares, in the order of the stages, and the others; false if there are no
// two, or if a class would come twice with another between.
func compared(classes []class, r Rule, n int) (in, others []class, ok bool) {
	o, _ := r.Kind.order()
	var sequence []int
	for i := range n {
		if r.excepts(i, n) {
			continue
		}
		k := slices.IndexFunc(classes, func(c class) bool { return slices.Contains(c.stages, i) })
		if len(sequence) > 0 && sequence[len(sequence)-1] == k && !o.strict {
			continue
		}
		if k < 0 || slices.Contains(sequence, k) {
			return nil, nil, false
		}
		sequence = append(sequence, k)
		in = append(in, classes[k])
	}
	for k, c := range classes {
		if !slices.Contains(sequence, k) {
			others = append(others, c)
		}
	}
	return in, others, len(in) > 1
}
