package analysis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"netspace/arch"
	"netspace/space"
	"netspace/stats"
	"netspace/study"
)

// RefineOptions say how rules are proposed. The zero value is the default.
type RefineOptions struct {
	EMax      float64  // where areas under EDFs end, percent; 0: stats.DefaultEMax
	Delta     float64  // margin of what is not worse, and of decisions, percentage points; 0: DefaultDelta
	Alpha     float64  // of a decision with fresh networks; 0: 0.05
	Power     float64  // of a decision with fresh networks; 0: 0.8
	By        Measure  // that decides and ranks; "": ByArea
	Seed      uint64   // of the bootstrap, and of which half of the networks chooses ranges
	Resamples int      // 0: stats.DefaultResamples
	Rules     []string // further candidates, as expressions of the space language
	// Space that the population was drawn from; nil: the one that the source has
	// under its name, else the built-in one of that name.
	Space *space.Space
}

// Measure is a summary of a population by which candidates are judged.
type Measure string

// The measures.
const (
	ByArea   Measure = "area"   // under the EDF, which a few failures do not move
	ByMean   Measure = "mean"   // which they do
	ByMedian Measure = "median" // has no estimate where there is a regression only
)

// Measures lists the measures.
func Measures() []Measure { return []Measure{ByArea, ByMean, ByMedian} }

// MinSupport is how many networks must satisfy a rule, and how many must not, for
// the two to be compared: with fewer, simultaneous intervals do not hold what they
// promise.
const MinSupport = 10

// Standing is what a population says of a candidate. All but the last two rest on
// simultaneous intervals: the chance that any candidate that is truly no better is
// called better is at most 1 − Level.
type Standing string

// The standings, in the order in which candidates are ranked.
const (
	Better    Standing = "better"    // the interval of the gain lies above 0
	NotWorse  Standing = "not-worse" // it lies above −delta: a simpler space at little cost
	Unclear   Standing = "unclear"   // it allows both
	Worse     Standing = "worse"     // it lies below 0
	Estimated Standing = "estimated" // too few networks to compare: a regression
	TooFew    Standing = "too-few"   // and too few for that
)

// Refinement is what a population says of rules that its space could have.
type Refinement struct {
	Source  Source
	Space   *space.Space   // the one that the population was drawn from
	Network space.Template // what all its networks share, in the place of what the space says
	Options RefineOptions  // with the defaults filled in
	Population
	EMax   float64 // where areas end, percent
	Size   space.Size
	Chosen int // networks that chose the ranges; the others test them
	// MeanSeconds is the mean time of a training; 0: not known.
	MeanSeconds float64
	Candidates  []Candidate // the best first
}

// Population is the population of a Refinement in short.
type Population struct {
	Study   string `json:"study"`
	Space   string `json:"space"`
	N       int    `json:"n"`       // finished, failed ones included
	Failed  int    `json:"failed"`  // counted with the error of chance
	Pending int    `json:"pending"` // not finished, not counted
	// LeftOut are imported networks of another number of stages or kind of block than
	// most have: no one space has both.
	LeftOut int `json:"left_out,omitempty"`
}

// Candidate is a rule with what the population says of it.
type Candidate struct {
	Rule   space.Rule // the zero value where Family is set
	Family string     // "regnet": quantised linear widths, which no rule of an anynet states
	Label  string     // what the rule says, in words
	// Space is the one with the rule, ready to be sampled: its own name, complete in
	// itself, with what the networks of the population share as its template.
	Space *space.Space

	stats.Contrast // networks with the rule (Part) and without (Rest); with less without
	Supported      bool
	Standing       Standing
	Chosen         bool   // a range that the best of one half of the networks chose, tested on the other
	Model          *Model // of what is not supported; nil: there is none

	Log10 Shrink
	// Needed is how many fresh networks of each space a decision to within the
	// margin takes (stats.ModelsNeeded), if both are equally good; 0: not known.
	Needed int
	// Hours that these trainings take one after the other, for both spaces; 0: not known.
	Hours float64
}

// FileName is a name for the file of the derived space.
func (c Candidate) FileName() string { return slug(c.Space.Name) + ".yaml" }

// Model is the regression by which the effect of a rule is estimated that few
// networks satisfy: errors on how far a network is from satisfying it, with
// covariates. The effect is that of going from the mean distance to none.
type Model struct {
	Regressor  string  `json:"regressor"`
	Distance   float64 `json:"distance"`   // mean of the regressor over networks without the rule
	Slope      float64 `json:"slope"`      // points of error per unit of the regressor
	Covariates int     `json:"covariates"` // logarithms of parameters that are held
	N          int     `json:"n"`          // networks
	R2         float64 `json:"r2"`         // of the whole model, for the errors
}

// Shrink is how much smaller a space is than the one that it derives from.
type Shrink struct {
	Before space.Estimate // decimal logarithms of the numbers of settings
	After  space.Estimate
	Exact  bool
}

// Value is the decimal logarithm of how many times smaller the space is; +Inf
// where no setting was found that satisfies the rule.
func (s Shrink) Value() float64 { return s.Before.Value - s.After.Value }

// ErrUnknownSpace says that RefineOptions have to state a space.
var ErrUnknownSpace = errors.New("the space that its networks were drawn from is not known")

// NoPopulationError says that a source has no such population.
type NoPopulationError struct {
	Dir   string
	Space string
	Has   []string
}

func (e *NoPopulationError) Error() string {
	if e.Space == "" {
		return fmt.Sprintf("%s: which population? It has %v", e.Dir, e.Has)
	}
	return fmt.Sprintf("%s: no population of a space %q; it has %v", e.Dir, e.Space, e.Has)
}

// Refine proposes rules for the space of a population without training anything:
// it compares the networks that satisfy a rule by chance with the others. The
// candidates and what is estimated of them: docs/statistics.md. The same
// population and options give the same bits.
//
// spaceName is that of the population in the source; "" is the only one there is.
// Of an imported source with one population it may also name the space that this
// was drawn from. The error is a *NoPopulationError, ErrNothing, a
// *study.RequestError, or a *strict.Error for a rule that does not fit the space.
func Refine(ctx context.Context, source Source, spaceName string, o RefineOptions) (Refinement, error) {
	o.Delta, o.Alpha, o.Power = cmp.Or(o.Delta, DefaultDelta), cmp.Or(o.Alpha, 0.05), cmp.Or(o.Power, 0.8)
	o.By = cmp.Or(o.By, ByArea)
	r := Refinement{Source: source, Options: o, EMax: o.EMax}
	p, err := source.population(spaceName)
	if err != nil {
		return r, err
	}
	if r.Space = o.Space; r.Space == nil {
		if r.Space, err = source.spaceOf(cmp.Or(spaceName, p.Space)); err != nil {
			return r, err
		}
	}
	if all := len(p.Trials); source.Imported != nil {
		if p, err = alike(p); err != nil {
			return r, err
		}
		r.LeftOut = all - len(p.Trials)
	}
	networks := newSpace(p.Space, p)
	r.Population = Population{p.Study, p.Space, len(networks.Finished), networks.Failed, networks.Pending, r.LeftOut}
	if r.N == 0 {
		return r, ErrNothing
	}
	if r.EMax == 0 {
		if r.EMax, err = stats.DefaultEMax(networks.Errors); err != nil {
			return r, err
		}
	}
	var seconds, timed float64
	for _, t := range networks.Finished {
		if t.State == study.Done && t.Seconds > 0 {
			seconds, timed = seconds+t.Seconds, timed+1
		}
	}
	if timed > 0 {
		r.MeanSeconds = seconds / timed
	}
	r.Network = source.template(networks.Finished)
	f := refiner{Refinement: &r, networks: networks}
	err = f.run(ctx)
	if lacks := new(space.NotDrawnError); errors.As(err, &lacks) {
		return r, &study.RequestError{Err: fmt.Errorf("%s draws %s for its networks, and those of %s do not have one: they were drawn from another space", r.Space.Name, lacks.Parameter, p.Space)}
	}
	if err != nil {
		return r, fmt.Errorf("refine %s: %w", r.Space.Name, err)
	}
	return r, nil
}

// population finds a population by the name of its space.
func (s Source) population(name string) (study.Population, error) {
	var has []string
	for _, p := range s.Populations {
		if p.Space == name {
			return p, nil
		}
		has = append(has, p.Space)
	}
	if len(s.Populations) == 1 && (name == "" || s.Imported != nil) {
		return s.Populations[0], nil
	}
	return study.Population{}, &NoPopulationError{s.Dir, name, has}
}

// spaceOf is the space of a population as it was when it was sampled.
func (s Source) spaceOf(name string) (*space.Space, error) {
	for _, text := range s.Spaces {
		if text.Name == name {
			return space.ParseFiles(text.Files)
		}
	}
	base, err := space.Load(name)
	if err != nil {
		return nil, &study.RequestError{Err: fmt.Errorf("%s: %w: %w", s.Dir, ErrUnknownSpace, err)}
	}
	return base, nil
}

// template is what all networks of a population share.
func (s Source) template(trials []study.Trial) space.Template {
	if s.Protocol != nil {
		return s.Protocol.Network
	}
	return templateOf(trials)
}

// refiner makes a Refinement.
type refiner struct {
	*Refinement
	networks Space
	asked    []space.Asked // numbers of each network
	sampler  *space.Sampler
	choosing []bool // networks that choose ranges; nil: there is nothing to choose
	logs     []column
}

func (f *refiner) run(ctx context.Context) error {
	input := arch.Input{}
	if f.Source.Protocol != nil {
		input = f.Source.Protocol.Input.Arch()
	}
	cfg := space.Config{Input: input, Network: f.Network}
	var err error
	if f.sampler, err = f.Space.Sampler(cfg); err != nil {
		return err
	}
	if f.Size, err = f.Space.Size(ctx, cfg); err != nil {
		return err
	}
	f.asked = recalled(f.networks.Finished)
	proposals, err := f.proposals()
	if err != nil {
		return err
	}
	f.logs = f.logarithms()
	effects := make([]stats.Effect, len(proposals))
	f.Candidates = make([]Candidate, len(proposals))
	err = each(ctx, len(proposals), func(i int) (err error) {
		f.Candidates[i], effects[i], err = f.candidate(ctx, proposals[i], cfg)
		return err
	})
	if err != nil {
		return err
	}
	contrasts, err := stats.Contrasts(ctx, f.networks.Errors, effects, f.EMax, stats.Options{Seed: f.Options.Seed, Resamples: f.Options.Resamples, Level: Level})
	if err != nil {
		return err
	}
	for i := range f.Candidates {
		c := &f.Candidates[i]
		part, rest := c.Part, c.Rest
		c.Contrast = contrasts[i]
		c.Part, c.Rest = part, rest
		f.judge(c)
	}
	slices.SortStableFunc(f.Candidates, f.rank)
	return nil
}

// recalled are the numbers of networks. Where it is not known what was drawn, a
// group width that fills its stage may have been cut: if with the widest one of
// the network in its place all stages agree, that is taken for what was drawn, as
// the network is then one of the space in which they do.
func recalled(trials []study.Trial) []space.Asked {
	all, _ := numbersOf(trials)
	for i, t := range trials {
		n, ok := t.Spec.Network.(arch.AnyNet)
		if t.Asked != nil || !ok || !n.Block.Has().Groups {
			continue
		}
		widest := 0
		for _, s := range n.Stages {
			widest = max(widest, s.GroupWidth)
		}
		cut := func(s arch.Stage) bool { return float64(s.GroupWidth) == math.Round(float64(s.Width)/s.Bottleneck) }
		if slices.ContainsFunc(n.Stages, func(s arch.Stage) bool { return s.GroupWidth != widest && !cut(s) }) {
			continue
		}
		for k, d := range all[i] {
			if field, _, staged := stageOf(d.Name); staged && field == "group_width" {
				all[i][k].Value = float64(widest)
			}
		}
	}
	return all
}

// each calls do for 0 … n−1 on all cores until one fails.
func each(ctx context.Context, n int, do func(i int) error) error {
	errs := make([]error, n)
	var wait sync.WaitGroup
	turn := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range n {
		turn <- struct{}{}
		wait.Go(func() {
			if errs[i] = ctx.Err(); errs[i] == nil {
				errs[i] = do(i)
			}
			<-turn
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// candidate is a proposal with all but its statistics, and the effect to estimate.
func (f *refiner) candidate(ctx context.Context, p proposal, cfg space.Config) (Candidate, stats.Effect, error) {
	c := Candidate{Rule: p.rule, Family: p.family, Label: p.label, Space: p.space, Chosen: p.chosen}
	size, err := p.space.Size(ctx, cfg)
	if err != nil {
		return c, stats.Effect{}, err
	}
	c.Log10 = Shrink{f.Size.Log10, size.Log10, f.Size.Exact && size.Exact}
	split, distance, err := f.measure(ctx, p)
	if err != nil {
		return c, stats.Effect{}, fmt.Errorf("%s: %w", p.label, err)
	}
	for _, g := range split {
		switch g {
		case stats.InPart:
			c.Part++
		case stats.InRest:
			c.Rest++
		}
	}
	if c.Supported = c.Part >= MinSupport && c.Rest >= MinSupport; c.Supported {
		return c, stats.Effect{Split: split}, nil
	}
	c.Model, err = f.regress(p, split, distance)
	e := stats.Effect{}
	if c.Model != nil {
		e, err = f.effectOf(c.Model, split, distance)
	}
	return c, e, err
}

// measure divides the networks by a rule, and says how far each is from it.
func (f *refiner) measure(ctx context.Context, p proposal) (stats.Split, []float64, error) {
	split, distance := make(stats.Split, f.N), make([]float64, f.N)
	holds := func(i int) (bool, error) { return distance[i] <= p.within, nil }
	if p.family == "" {
		judge, err := f.sampler.Holds(p.rule)
		if err != nil {
			return nil, nil, err
		}
		holds = func(i int) (bool, error) { return judge(f.asked[i], f.networks.Finished[i].Complexity) }
	}
	for i, t := range f.networks.Finished {
		if p.chosen && f.choosing[i] || p.family != "" && i >= mostFitted {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if p.distance != nil {
			distance[i] = p.distance(f.asked[i], t)
		}
		ok, err := holds(i)
		if err != nil {
			return nil, nil, fmt.Errorf("network %d: %w", t.Index, err)
		}
		switch {
		case ok:
			split[i] = stats.InPart
		default:
			split[i] = stats.InRest
			if p.distance == nil {
				distance[i] = 1
			}
		}
	}
	return split, distance, nil
}

// Gain is how much better networks with the rule of a candidate are by the measure
// that ranks, with its simultaneous interval.
func (r Refinement) Gain(c Candidate) stats.Estimate {
	negative := func(e stats.Estimate) stats.Estimate { return stats.Estimate{Value: -e.Value, Lo: -e.Hi, Hi: -e.Lo} }
	switch r.Options.By {
	case ByMean:
		return negative(c.Mean)
	case ByMedian:
		return negative(c.Median)
	}
	return c.Area
}

// judge gives a candidate its standing and its price.
func (f *refiner) judge(c *Candidate) {
	gain := f.Gain(*c)
	switch {
	case !c.Supported && c.Model == nil:
		c.Standing = TooFew
	case !c.Supported:
		c.Standing = Estimated
	case gain.Lo > 0:
		c.Standing = Better
	case gain.Hi < 0:
		c.Standing = Worse
	case gain.Lo > -f.Options.Delta:
		c.Standing = NotWorse
	default:
		c.Standing = Unclear
	}
	with, all := f.spreads(*c)
	if n, err := stats.ModelsNeeded(with, all, f.Options.Delta, f.Options.Alpha, f.Options.Power); err == nil {
		c.Needed = n
		c.Hours = 2 * float64(n) * f.MeanSeconds / 3600
	}
}

// spreads are the standard deviations of what decides: in the networks with the
// rule, where there are enough, and in all of them.
func (f *refiner) spreads(c Candidate) (with, all float64) {
	clipped := slices.Clone(f.networks.Errors)
	if with = c.StdDev; f.Options.By == ByArea {
		with = c.AreaStdDev
		for i, e := range clipped {
			clipped[i] = math.Min(e, f.EMax)
		}
	}
	if all = stats.StdDev(clipped); !c.Supported {
		with = all
	}
	return with, all
}

// rank orders candidates: by standing; what is not worse by how much smaller the
// space gets, all else by the lower end of the gain, and then by size.
func (f *refiner) rank(a, b Candidate) int {
	lower := func(c Candidate) float64 {
		if g := f.Gain(c); g.Known() {
			return g.Lo
		}
		return math.Inf(-1)
	}
	gain, size := cmp.Compare(lower(b), lower(a)), cmp.Compare(b.Log10.Value(), a.Log10.Value())
	if a.Standing == NotWorse && b.Standing == NotWorse {
		gain, size = size, gain
	}
	order := []Standing{Better, NotWorse, Unclear, Worse, Estimated, TooFew}
	return cmp.Or(cmp.Compare(slices.Index(order, a.Standing), slices.Index(order, b.Standing)), gain, size, cmp.Compare(a.Label, b.Label))
}

// half marks a random half of n networks, the smaller one of an odd number.
func half(n int, seed uint64) []bool {
	marked := make([]bool, n)
	const stream = 1 << 40 // none of the bootstrap's
	for _, i := range rand.New(rand.NewPCG(seed, stream)).Perm(n)[:n/2] {
		marked[i] = true
	}
	return marked
}
