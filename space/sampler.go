package space

import (
	"fmt"
	"math"
	"slices"

	"netspace/arch"
	"netspace/graph"
	"netspace/internal/portable"
	"netspace/internal/strict"
)

// Config says for what a space is sampled.
type Config struct {
	Input   arch.Input // images and classes; zeros: ImageNet's. A space with a parameter resolution draws the size of the images
	Network Template   // what takes the place of the space's template
	Regime  Regime     // what takes the place of the space's bounds; its rules are added
	Seed    uint64
	Workers int   // goroutines; 0: one per processor. No result depends on it
	Effort  int64 // candidates after which to give up; 0: DefaultEffort
	// Progress, if not nil, is called now and then with the networks found and
	// the candidates judged so far, by the goroutine that called Sample.
	Progress func(networks int, candidates int64)
}

// Sampler is a space made ready to be sampled for one Config. It is safe for
// concurrent use.
type Sampler struct {
	space  *Space
	config Config
	flat   bool // every setting equally likely, to count settings

	net        resolved
	grouped    bool // whether the block has bottleneck ratio and groups
	layout     layout
	resolution bool // whether the resolution is drawn
	recipe     []recipeField
	asked      []askedSlot // what is drawn, in the order of the space

	key    uint64    // seed of candidate 0
	start  []float64 // environment before anything is drawn
	groups []group
	draws  []draw
	checks []check // by phase
}

// group is a parameter of the space: its draws and how much of its prior is left.
type group struct {
	parameter string
	from, to  int // its draws
	values    int // of its priors all together, for the description
	folded    []foldedRule
}

// foldedRule is a rule that draws obey by construction.
type foldedRule struct {
	rule  Rule
	share float64 // of the prior that is left by it and the rules before it, of what the rules before leave
}

type recipeField struct {
	name string
	slot int
}

// askedSlot is the slot of a drawn number, with its name.
type askedSlot struct {
	name  string // "w0", "stages[1].width"
	slot  int
	whole bool
}

// check rejects candidates.
type check struct {
	name  string
	phase phase
	holds func(env []float64) bool
}

// Sampler makes the space ready. The error is a *strict.Error with all faults.
func (s *Space) Sampler(cfg Config) (*Sampler, error) { return s.sampler(cfg, false) }

// sampler makes the space ready; flat replaces every prior by equal chances.
func (s *Space) sampler(cfg Config, flat bool) (*Sampler, error) {
	p := &Sampler{space: s, config: cfg, flat: flat}
	template := cfg.Network.over(s.Network)
	net, err := template.resolve(s.Family)
	if err != nil {
		return nil, err
	}
	p.net, p.layout, p.grouped = net, layout{len(net.strides)}, net.block.HasGroups()
	p.config.Input = fillInput(cfg.Input)
	p.config.Regime = cfg.Regime.over(s.Regime)
	if p.config.Effort == 0 {
		p.config.Effort = DefaultEffort
	}
	if p.config.Workers < 0 || p.config.Effort < 0 {
		return nil, fmt.Errorf("space %s: %d workers and an effort of %d: must not be negative", s.Name, cfg.Workers, cfg.Effort)
	}
	var faults strict.Faults
	p.fillStart()
	rest := p.prepare(&faults)
	p.addChecks(rest, &faults)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	for i := range p.draws {
		p.draws[i].makeGuide()
	}
	p.key = mix(cfg.Seed ^ mix(hash(s.Name)))
	return p, nil
}

func fillInput(in arch.Input) arch.Input {
	def := arch.ImageNet
	for _, x := range []struct{ to, from *int }{{&def.Channels, &in.Channels}, {&def.Height, &in.Height}, {&def.Width, &in.Width}, {&def.Classes, &in.Classes}} {
		if *x.from != 0 {
			*x.to = *x.from
		}
	}
	return def
}

// fillStart writes what is not drawn into the environment.
func (p *Sampler) fillStart() {
	recipe := 0
	for _, q := range p.space.Parameters {
		if isRecipe(q.Name) {
			p.recipe = append(p.recipe, recipeField{q.Name[len(recipePrefix):], p.layout.recipe(recipe)})
			recipe++
		}
	}
	p.start = make([]float64, p.layout.size(recipe))
	p.start[slotResolution] = float64(p.config.Input.Height)
	p.start[slotSE] = p.net.se
	p.start[slotStemWidth] = float64(p.net.stem.Width)
	p.start[slotHeadWidth] = float64(p.net.headWidth)
	p.start[slotDropPath] = p.net.dropPath
	p.start[slotDropout] = p.net.dropout
	p.start[slotStride] = float64(p.net.strides[0])
	for i, s := range p.net.strides {
		p.start[p.layout.asked(i, fieldStride)] = float64(s)
	}
}

// active says whether a parameter has an effect on the networks: R and V
// blocks have no bottleneck and no groups.
func (p *Sampler) active(d definition) bool { return p.grouped || !d.grouped }

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
		path := "parameters." + q.Name
		if len(q.Priors) > 1 && len(q.Priors) != p.layout.stages {
			faults.Add(strict.Fault{Path: path, Rule: fmt.Sprintf("has %d priors for %d stages", len(q.Priors), p.layout.stages)})
			continue
		}
		if q.Name == "resolution" {
			p.resolution = true
		}
		g := group{parameter: q.Name, from: len(p.draws)}
		switch {
		case isRecipe(q.Name):
			slot := p.layout.recipe(recipe)
			recipe++
			rest = p.addShared(&g, q, []int{slot}, rest, faults)
			p.asked = append(p.asked, askedSlot{q.Name, slot, false})
		case d.stage < 0 || q.Shared:
			slots := p.sharedSlots(d)
			rest = p.addShared(&g, q, slots, rest, faults)
			p.asked = append(p.asked, askedSlot{q.Name, slots[0], d.whole})
		default:
			rest = p.addStages(&g, q, d, rest, faults)
			for i := range p.layout.stages {
				p.asked = append(p.asked, askedSlot{fmt.Sprintf("stages[%d].%s", i, q.Name), p.layout.asked(i, d.stage), d.whole})
			}
		}
		g.to = len(p.draws)
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
	return len(name) > len(recipePrefix) && name[:len(recipePrefix)] == recipePrefix
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

func (p *Sampler) table(prior Prior) table {
	t := prior.table()
	if p.flat {
		return t.flat()
	}
	return t
}

// addShared makes the draw of a parameter that has one value.
func (p *Sampler) addShared(g *group, q Parameter, slots []int, rest []Rule, faults *strict.Faults) []Rule {
	prior := q.Priors[0]
	if prior.continuous() {
		for _, r := range rest {
			if r.Parameter == q.Name && r.Kind == In {
				faults.Add(r.fault("holds with probability 0: %s is continuous", q.Name))
			}
		}
		d := draw{to: slots, lo: prior.Min, hi: prior.Max, log: prior.Kind == LogUniform}
		if d.log {
			d.lo, d.hi = portable.Log(d.lo), portable.Log(d.hi)
		}
		p.draws = append(p.draws, d)
		return rest
	}
	c := class{table: p.table(prior)}
	g.values = len(c.table.values)
	var left []Rule
	for _, r := range rest {
		if r.Parameter != q.Name || !r.restricts() {
			left = append(left, r)
			continue
		}
		c.table = c.table.filter(r.accepts)
		g.fold(r, c.table.sum(), faults)
	}
	if len(c.table.values) > 0 {
		d, _ := single(c)
		d.to = slots
		p.draws = append(p.draws, d)
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

// addStages makes the draws of a parameter that every stage has for itself:
// ranges cut the tables, equal merges stages into classes, and the first rule
// of order links the classes to a chain. What does not fit stays a rule that
// rejects candidates.
func (p *Sampler) addStages(g *group, q Parameter, d definition, rest []Rule, faults *strict.Faults) []Rule {
	n := p.layout.stages
	slots := func(stages []int) []int {
		out := make([]int, len(stages))
		for i, s := range stages {
			out[i] = p.layout.asked(s, d.stage)
		}
		return out
	}
	classes := make([]class, n)
	for i := range classes {
		prior := q.Priors[min(i, len(q.Priors)-1)]
		if prior.continuous() {
			// No rule by name makes sense where equal values have probability 0.
			dr := draw{to: slots([]int{i}), lo: prior.Min, hi: prior.Max, log: prior.Kind == LogUniform}
			if dr.log {
				dr.lo, dr.hi = portable.Log(dr.lo), portable.Log(dr.hi)
			}
			p.draws = append(p.draws, dr)
			classes[i].stages = nil
			continue
		}
		classes[i] = class{stages: []int{i}, table: p.table(prior)}
		g.values = max(g.values, len(classes[i].table.values))
	}
	if slices.ContainsFunc(classes, func(c class) bool { return c.stages == nil }) {
		if slices.ContainsFunc(classes, func(c class) bool { return c.stages != nil }) {
			faults.Add(strict.Fault{Path: "parameters." + q.Name, Rule: "must be continuous in all stages or in none: give every stage a multiple"})
		}
		for _, r := range rest {
			if r.Parameter == q.Name && (r.Kind == Equal || r.Kind == In) {
				faults.Add(r.fault("holds with probability 0: %s is continuous", q.Name))
			}
		}
		return rest
	}
	weight := func() float64 {
		w := 1.0
		for _, c := range classes {
			w *= c.table.sum()
		}
		return w
	}
	var left []Rule
	mine := func(r Rule, fits bool) bool {
		if r.Parameter == q.Name && fits {
			return true
		}
		left = append(left, r)
		return false
	}
	for _, r := range rest {
		if !mine(r, r.restricts()) {
			continue
		}
		for i := range classes {
			if !r.excepts(i, n) {
				classes[i].table = classes[i].table.filter(r.accepts)
			}
		}
		g.fold(r, weight(), faults)
	}
	rest, left = left, nil
	for _, r := range rest {
		if mine(r, r.Kind == Equal) {
			classes = merge(classes, r, n)
			g.fold(r, weight(), faults)
		}
	}
	rest, left = left, nil
	chained := false
	for _, r := range rest {
		o, ordered := r.Kind.order()
		if !mine(r, ordered && !chained) {
			continue
		}
		sequence, ok := sequenceOf(classes, r, n)
		if !ok || len(sequence) < 2 {
			left = append(left, r)
			continue
		}
		chained = true
		before := weight()
		var ordered2 []class
		for _, k := range sequence {
			ordered2 = append(ordered2, classes[k])
		}
		chain, w := link(ordered2, o)
		for i, k := range sequence {
			chain[i].to = slots(classes[k].stages)
			before /= classes[k].table.sum()
		}
		p.draws = append(p.draws, chain...)
		var others []class
		for k, c := range classes {
			if !slices.Contains(sequence, k) {
				others = append(others, c)
			}
		}
		classes = others
		g.fold(r, w*before, faults)
	}
	for _, c := range classes {
		if len(c.table.values) == 0 {
			continue // reported
		}
		dr, _ := single(c)
		dr.to = slots(c.stages)
		p.draws = append(p.draws, dr)
	}
	return left
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

// sequenceOf lists the classes of the stages that a rule of order compares;
// false where a class would come twice with another between.
func sequenceOf(classes []class, r Rule, n int) ([]int, bool) {
	o, _ := r.Kind.order()
	var out []int
	for i := range n {
		if r.excepts(i, n) {
			continue
		}
		k := slices.IndexFunc(classes, func(c class) bool { return slices.Contains(c.stages, i) })
		if len(out) > 0 && out[len(out)-1] == k && !o.strict {
			continue
		}
		if slices.Contains(out, k) {
			return nil, false
		}
		out = append(out, k)
	}
	return out, true
}

// addChecks compiles what remains to be tested on each candidate, in the order
// in which it can be decided.
func (p *Sampler) addChecks(rest []Rule, faults *strict.Faults) {
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
	for _, r := range rest {
		if r.Kind != Expression {
			p.checks = append(p.checks, p.order(r))
			continue
		}
		c, err := v.compile(r.Expression)
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
	for _, b := range []struct {
		name string
		slot int
		r    Range
	}{{"flops", slotFlops, g.Flops}, {"params", slotParams, g.Params}, {"acts", slotActs, g.Acts}} {
		if !b.r.IsZero() {
			p.checks = append(p.checks, check{b.name + " " + b.r.String(), counted, func(env []float64) bool { return b.r.Contains(env[b.slot]) }})
		}
	}
	for _, text := range g.Rules {
		c, err := v.compile(text)
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

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// order tests a rule by name that could not be folded into the draws.
func (p *Sampler) order(r Rule) check {
	slots := p.slotsOf(r)
	o, ordered := r.Kind.order()
	return check{r.String(), drawn, func(env []float64) bool {
		for i, s := range slots {
			v := env[s]
			if r.restricts() && !r.accepts(v) {
				return false
			}
			if i == 0 {
				continue
			}
			before := env[slots[i-1]]
			switch {
			case r.Kind == Equal && v != before,
				ordered && !o.descending && (v < before || o.strict && v == before),
				ordered && o.descending && (v > before || o.strict && v == before):
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

// spec makes the network of a candidate.
func (p *Sampler) spec(env []float64) arch.Spec {
	var s arch.Spec
	stem := arch.Stem{Type: p.net.stem.Type, Width: int(env[slotStemWidth])}
	if p.space.Family == familyRegNet {
		s = p.regnet(env, stem).Spec()
	} else {
		n := p.anynet(env, stem, nil)
		s = n.Spec()
	}
	s = s.Adjusted()
	if p.resolution {
		s.Resolution = int(env[slotResolution])
	}
	if len(p.recipe) > 0 {
		s.Recipe = map[string]any{}
		for _, f := range p.recipe {
			s.Recipe[f.name] = env[f.slot]
			if v := env[f.slot]; v == math.Trunc(v) && math.Abs(v) < 1<<53 {
				s.Recipe[f.name] = int(v)
			}
		}
	}
	return s
}

func (p *Sampler) regnet(env []float64, stem arch.Stem) arch.RegNet {
	r := arch.RegNet{
		Depth: int(env[slotDepth]), W0: env[slotW0], WA: env[slotWA], WM: env[slotWM], Stride: int(env[slotStride]),
		Block: p.net.block, Stem: stem, SE: env[slotSE], Activation: p.net.activation,
		HeadWidth: int(env[slotHeadWidth]), DropPath: env[slotDropPath], Dropout: env[slotDropout],
	}
	if p.grouped {
		r.Bottleneck, r.GroupWidth = env[slotBottleneck], int(env[slotGroupWidth])
	}
	return r
}

// anynet makes the network that was asked for, its stages appended to dst.
func (p *Sampler) anynet(env []float64, stem arch.Stem, dst []arch.Stage) arch.AnyNet {
	n := arch.AnyNet{
		Block: p.net.block, Stem: stem, SE: env[slotSE], Activation: p.net.activation,
		HeadWidth: int(env[slotHeadWidth]), DropPath: env[slotDropPath], Dropout: env[slotDropout],
	}
	for i := range p.layout.stages {
		f := env[p.layout.asked(i, 0):]
		st := arch.Stage{Depth: int(f[fieldDepth]), Width: int(f[fieldWidth]), Stride: int(f[fieldStride])}
		if p.grouped {
			st.Bottleneck, st.GroupWidth = f[fieldBottleneck], int(f[fieldGroupWidth])
		}
		dst = append(dst, st)
	}
	n.Stages = dst
	return n
}

// complexityOf a network into env.
func complexityOf(k *graph.Counter, n *arch.AnyNet, in arch.Input, env []float64) {
	k.Complexity = graph.Complexity{}
	n.Build(k, in)
	env[slotFlops], env[slotParams], env[slotActs] = float64(k.Flops), float64(k.Params), float64(k.Acts)
}

// mix is a bijection that spreads every bit over all (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
