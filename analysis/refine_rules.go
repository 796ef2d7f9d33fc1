package analysis

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"netspace/arch"
	"netspace/metric"
	"netspace/space"
	"netspace/study"
)

// proposal is a rule before it is judged.
type proposal struct {
	rule   space.Rule
	family string
	label  string
	slug   string
	space  *space.Space // the one with the rule
	chosen bool         // by the best of one half of the networks
	// distance says how far a network is from satisfying the rule, 0 if it does; nil
	// for rules that only hold or do not.
	distance func(asked space.Asked, t study.Trial) float64
	about    string  // what the distance is
	within   float64 // with a family: the distance up to which a network counts as being of it
}

// widthRatios are the growths of width between stages that are tried as bounds:
// networks of the paper about double. They are stated, not chosen by the errors.
var widthRatios = [...]int{2, 4}

// fitTolerance is the e_fit (arch.Fit) up to which the widths of a network count
// as quantised linear: 5 % off on average.
const fitTolerance = 0.05

// proposals are all rules that the space does not have and could, then the
// user's. None but the ranges depends on the errors.
func (f *refiner) proposals() ([]proposal, error) {
	d := f.sampler.Describe()
	stages, lined := d.Network.Stages, false
	var all []proposal
	propose := func(p proposal) {
		if p.space == nil {
			s, err := f.derive(p, p.rule)
			if err != nil { // the space has no such parameter, or nothing would be left of it
				return
			}
			p.space = s
		}
		all = append(all, p)
	}
	for _, q := range d.Parameters {
		if q.Per != "stage" || q.Values == 1 || stages < 2 || f.has(space.Equal, q.Name, nil) {
			continue
		}
		switch q.Name {
		case "bottleneck", "group_width":
			propose(equalStages(q.Name, stages))
		case "depth", "width":
			if !f.ordered(q.Name, nil) {
				propose(ascending(q.Name, stages, nil))
			}
			if except := []int{space.Last}; q.Name == "depth" && stages > 2 && !f.ordered(q.Name, except) {
				propose(ascending(q.Name, stages, except))
			}
			if q.Name == "width" {
				lined = true
				for _, k := range widthRatios {
					propose(growth(stages, k))
				}
			}
		}
	}
	ranges, err := f.ranges(stages)
	if err != nil {
		return nil, err
	}
	for _, p := range ranges {
		propose(p)
	}
	if lined {
		if p, err := f.quantised(); err == nil { // else no regnet has these networks' stages, as with strides that differ
			propose(p)
		}
	}
	for i, text := range f.Options.Rules {
		p := proposal{rule: space.Where(text), label: text, slug: fmt.Sprintf("rule-%d", i+1)}
		if p.space, err = f.derive(p, p.rule); err != nil {
			return nil, fmt.Errorf("rule %q: %w", text, err)
		}
		propose(p)
	}
	return all, nil
}

// derive makes the space with a change.
func (f *refiner) derive(p proposal, change space.Change) (*space.Space, error) {
	s, err := f.Space.With(f.Network, change, space.Named(f.Space.Name+"-"+p.slug))
	if err != nil {
		return nil, err
	}
	s.About = fmt.Sprintf("%s with %s", f.Space.Name, p.label)
	return s, nil
}

// has says whether the space has a rule of a kind about a parameter.
func (f *refiner) has(kind space.RuleKind, parameter string, except []int) bool {
	return slices.ContainsFunc(f.Space.Rules, func(r space.Rule) bool {
		return r.Kind == kind && r.Parameter == parameter && (r.Except == nil || slices.Equal(r.Except, except))
	})
}

// ordered says whether the space has a rule that implies the ascending order.
func (f *refiner) ordered(parameter string, except []int) bool {
	return f.has(space.NonDecreasing, parameter, except) || f.has(space.Increasing, parameter, except)
}

// stageValues are the numbers of all stages but the last except of them.
func stageValues(asked space.Asked, field string, stages int) []float64 {
	values := make([]float64, 0, stages)
	for i := range stages {
		v, ok := asked.Value(fmt.Sprintf("stages[%d].%s", i, field))
		if !ok {
			v, _ = asked.Value(field)
		}
		values = append(values, v)
	}
	return values
}

func equalStages(field string, stages int) proposal {
	return proposal{
		rule:  space.Rule{Kind: space.Equal, Parameter: field},
		label: fmt.Sprintf("one %s for all stages", words(field)), slug: "equal-" + slug(field),
		about: fmt.Sprintf("standard deviation of log2 %s over the stages", words(field)),
		distance: func(a space.Asked, _ study.Trial) float64 {
			sum, square := 0.0, 0.0
			for _, v := range stageValues(a, field, stages) {
				l := math.Log2(v)
				sum, square = sum+l, square+l*l
			}
			n := float64(stages)
			return math.Sqrt(math.Max(0, square/n-(sum/n)*(sum/n)))
		},
	}
}

func ascending(field string, stages int, except []int) proposal {
	p := proposal{
		rule:  space.Rule{Kind: space.NonDecreasing, Parameter: field, Except: except},
		label: words(field) + " never decreases", slug: "ascending-" + slug(field),
		about: fmt.Sprintf("log2 of how far %s falls, over the stages", words(field)),
	}
	compared := stages
	if except != nil {
		compared--
		p.label += ", but in the last stage"
		p.slug += "-but-last"
	}
	p.distance = func(a space.Asked, _ study.Trial) float64 {
		fall := 0.0
		values := stageValues(a, field, stages)[:compared]
		for i := range values[1:] {
			fall += math.Max(0, math.Log2(values[i]/values[i+1]))
		}
		return fall
	}
	return p
}

// growth bounds the ratio of the widths of successive stages.
func growth(stages, most int) proposal {
	text := fmt.Sprintf("stages[1].width <= %d * stages[0].width", most)
	if stages > 2 {
		text = fmt.Sprintf("all(1..%d, stages[#].width <= %d * stages[# - 1].width)", stages-1, most)
	}
	return proposal{
		rule:  space.Where(text),
		label: fmt.Sprintf("width grows by %d at most from stage to stage", most), slug: fmt.Sprintf("width-growth-%d", most),
		about: fmt.Sprintf("log2 of how far width grows beyond %d times, over the stages", most),
		distance: func(a space.Asked, _ study.Trial) float64 {
			excess := 0.0
			values := stageValues(a, "width", stages)
			for i := range values[1:] {
				excess += math.Max(0, math.Log2(values[i+1]/values[i]/float64(most)))
			}
			return excess
		},
	}
}

// quantised is the space of regnets in the place of one of anynets.
func (f *refiner) quantised() (proposal, error) {
	p := proposal{
		family: "regnet", slug: "quantised-linear", within: fitTolerance,
		label:    "quantised linear widths",
		about:    "e_fit of the block widths, or a bound of it where they fall",
		distance: func(_ space.Asked, t study.Trial) float64 { return fitError(t.Spec) },
	}
	line, err := space.Load("regnetx")
	if err != nil {
		return p, err
	}
	changes := []space.Change{f.Space.Network, f.Space.Regime, f.Network, space.Named(f.Space.Name + "-" + p.slug)}
	for _, q := range f.Space.Parameters {
		switch {
		case q.Name == "depth" || q.Name == "width": // the line's
			continue
		case q.Name == "stride" && !q.Shared: // of which a regnet has one
			continue
		case len(q.Priors) > 1: // stages had their own: the line's default, or the first
			q.Priors = q.Priors[:1]
		}
		q.Shared = true
		changes = append(changes, q)
	}
	for _, r := range f.Space.Rules {
		if (r.Kind == space.InRange || r.Kind == space.In) && r.Except == nil && r.Parameter != "depth" && r.Parameter != "width" {
			changes = append(changes, r)
		}
	}
	if p.space, err = line.With(changes...); err != nil {
		return p, err
	}
	p.space.Bases = append([]string{f.Space.Name}, f.Space.Bases...)
	p.space.About = fmt.Sprintf("%s with %s: a regnet (DDS §3.3)", f.Space.Name, p.label)
	return p, nil
}

// mostFitted bounds the networks whose widths are fitted, at tens of milliseconds each.
const mostFitted = 500

// fitError is e_fit of a network, or, where its widths fall so far that no line
// comes within the tolerance, how much is left at least: where a stage is wider
// than a later one, each block of the smaller of the two and one of the other lie
// at least that factor away, together, from any widths that do not fall.
func fitError(s arch.Spec) float64 {
	n, ok := s.AnyNet()
	if !ok {
		return math.Inf(1)
	}
	bound := 0.0
	for i, a := range n.Stages {
		for _, b := range n.Stages[i+1:] {
			bound = math.Max(bound, float64(min(a.Depth, b.Depth))*math.Log(float64(a.Width)/float64(b.Width)))
		}
	}
	if bound /= float64(n.Depth()); bound > fitTolerance {
		return bound
	}
	return n.Fit().Error
}

// ranges are those of the best of a random half of the networks (stats.BestRange)
// where they leave something out. The other half tests them: a range tested on
// the networks that chose it would always look good.
func (f *refiner) ranges(stages int) ([]proposal, error) {
	if f.N < 4 {
		return nil, nil
	}
	f.choosing = half(f.N, f.Options.Seed)
	chosen := Space{}
	for i, t := range f.networks.Finished {
		if f.choosing[i] {
			chosen.Finished, chosen.Errors = append(chosen.Finished, t), append(chosen.Errors, f.networks.Errors[i])
		}
	}
	f.Chosen = len(chosen.Finished)
	best, err := parameters(chosen)
	if err != nil {
		return nil, err
	}
	asked, staged := numbersOf(f.networks.Finished)
	all := collect(asked, staged)
	var out []proposal
	for _, p := range best {
		i := slices.IndexFunc(all, func(q Parameter) bool { return q.Name == p.Name && q.Shared == p.Shared })
		if i < 0 || len(p.Networks) < f.Chosen {
			continue
		}
		has := all[i].Distinct
		r := metric.Range{Min: outward(p.Best.Lo, -1), Max: outward(p.Best.Hi, 1)}
		if r.Min <= has[0] && r.Max >= has[len(has)-1] {
			continue
		}
		out = append(out, inRange(p, r, has, stages))
	}
	return out, nil
}

// outward rounds the end of a range to four digits, so that the range holds it;
// whole numbers stay.
func outward(v, direction float64) float64 {
	if v <= 0 || v == math.Trunc(v) {
		return v
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-3)
	steps := math.Round(v / unit)
	if (steps*unit-v)*direction < 0 {
		steps += direction
	}
	text := strconv.FormatFloat(steps*unit, 'g', 4, 64)
	rounded, err := strconv.ParseFloat(text, 64)
	if err != nil || (rounded-v)*direction < 0 {
		return v
	}
	return rounded
}

// inRange is the rule that a parameter lies in a range; an end that leaves out
// nothing that occurs is open.
func inRange(p Parameter, r metric.Range, has []float64, stages int) proposal {
	field, stage, staged := p.Stage()
	lo, hi := r.Min, r.Max
	if lo <= has[0] {
		r.Min = 0
	}
	if hi >= has[len(has)-1] {
		r.Max = math.Inf(1)
	}
	out := proposal{
		chosen: true,
		rule:   space.Rule{Kind: space.InRange, Parameter: field, Range: r},
		label:  fmt.Sprintf("%s in %s", words(field), r),
		slug:   fmt.Sprintf("%s-%s", slug(field), slug(r.String())),
		about:  fmt.Sprintf("log2 of how far %s lies outside %s", words(field), r),
	}
	if staged {
		for i := range stages {
			if i != stage {
				out.rule.Except = append(out.rule.Except, i+1)
			}
		}
		of := fmt.Sprintf("%s of stage %d", words(field), stage+1)
		out.label = fmt.Sprintf("%s in %s", of, r)
		out.slug = fmt.Sprintf("%s-%d-%s", slug(field), stage+1, slug(r.String()))
		out.about = fmt.Sprintf("log2 of how far the %s lies outside %s", of, r)
	}
	if p.Name == Blocks {
		var ends []string
		if r.Min > 0 {
			ends = append(ends, fmt.Sprintf("blocks >= %v", r.Min))
		}
		if !math.IsInf(r.Max, 1) {
			ends = append(ends, fmt.Sprintf("blocks <= %v", r.Max))
		}
		out.rule = space.Where(strings.Join(ends, " and "))
	}
	out.distance = func(a space.Asked, t study.Trial) float64 {
		v, ok := append(blocksOf(t.Spec), a...).Value(p.Name)
		if !ok {
			v = slices.Max(stageValues(a, field, stages))
		}
		switch {
		case v < lo && v > 0:
			return math.Log2(lo / v)
		case v > hi && hi > 0:
			return math.Log2(v / hi)
		case v < lo || v > hi: // of numbers that may be 0
			return math.Max(lo-v, v-hi)
		}
		return 0
	}
	return out
}

// words is how texts call a parameter.
func words(field string) string { return strings.ReplaceAll(field, "_", " ") }

// slug is a text as part of a name.
func slug(text string) string {
	var b strings.Builder
	for _, r := range strings.ReplaceAll(text, "..", "-to-") {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.':
			b.WriteRune(r)
		default:
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-")
}

// templateOf is what networks of one number of stages and one kind of block
// share, told from themselves.
func templateOf(trials []study.Trial) (t space.Template) {
	for i, tr := range trials {
		n, _ := tr.Spec.AnyNet()
		if one := templateOfNet(n); i == 0 {
			t = one
		} else {
			t = sharedTemplate(t, one)
		}
	}
	return t
}

// alike keeps the networks of a population that one space can have: those of the
// most common number of stages and kind of block. No error decides it.
func alike(p study.Population) (study.Population, error) {
	type kind struct {
		stages int
		block  arch.BlockType
	}
	var most kind
	found := map[kind][]study.Trial{}
	for _, t := range p.Trials {
		n, ok := t.Spec.AnyNet()
		if !ok {
			continue
		}
		k := kind{len(n.Stages), n.Block}
		if found[k] = append(found[k], t); len(found[k]) > len(found[most]) {
			most = k
		}
	}
	if len(found) == 0 {
		return p, &study.RequestError{Err: fmt.Errorf("no network of %s is described as stages of blocks: rules are about these", p.Space)}
	}
	p.Trials = found[most]
	return p, nil
}

func templateOfNet(n arch.AnyNet) space.Template {
	t := space.Template{Block: n.Block.String(), Stem: space.Stem{Type: n.Stem.Type.String(), Width: n.Stem.Width}, Stages: len(n.Stages), Activation: n.Activation.String()}
	for _, s := range n.Stages {
		t.Strides = append(t.Strides, s.Stride)
	}
	if n.SE != 0 {
		t.SE = &n.SE
	}
	if n.Radix != 0 {
		t.Radix = &n.Radix
	}
	if n.HeadWidth != 0 {
		t.HeadWidth = &n.HeadWidth
	}
	return t
}

// sharedTemplate keeps of a what b has, too.
func sharedTemplate(a, b space.Template) space.Template {
	if a.Stem != b.Stem {
		a.Stem = space.Stem{}
	}
	if !slices.Equal(a.Strides, b.Strides) {
		a.Strides = nil
	}
	if a.Activation != b.Activation {
		a.Activation = ""
	}
	if a.SE == nil || b.SE == nil || *a.SE != *b.SE {
		a.SE = nil
	}
	if a.Radix == nil || b.Radix == nil || *a.Radix != *b.Radix {
		a.Radix = nil
	}
	if a.HeadWidth == nil || b.HeadWidth == nil || *a.HeadWidth != *b.HeadWidth {
		a.HeadWidth = nil
	}
	return a
}
