package analysis

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"netspace/stats"
	"netspace/study"
)

// PlanOptions say what is to be decided, and on what. The zero value is the default.
type PlanOptions struct {
	Delta   float64 // margin of the decision, percentage points; 0: DefaultDelta
	Alpha   float64 // 0: 0.05
	Power   float64 // 0: 0.8
	EMax    float64 // percent: larger errors of whole trainings count as that; 0: as stats.DefaultEMax of the pilot's
	Workers int     // trainings at once; 0: 1
}

// Plan is one way of deciding whether one of two spaces is worse by a margin: how its networks are trained, how many that takes, and what it costs.
type Plan struct {
	Source string `json:"source"` // folder of the pilot that it rests on
	Basis  Basis  `json:"basis"`
	Epochs int    `json:"epochs"` // of a training
	Images int    `json:"images"` // training images
	// Networks that were trained both ways.
	Networks int `json:"networks"`
	// Rank correlation with the errors of the whole training, over these networks, each less the mean of its space; 1 for the whole training itself.
	Rank   float64 `json:"rank"`
	RankLo float64 `json:"rank_lo"`
	RankHi float64 `json:"rank_hi"`
	// EMax is the error, in percent, that larger ones count as in what follows: for trainings with less, what as large a share of theirs lies below.
	EMax float64 `json:"emax"`
	// Slope is how many points these errors differ where whole trainings differ by one; StdDev is theirs within a space, percentage points.
	Slope  float64 `json:"slope"`
	StdDev float64 `json:"std_dev"`
	Needed int     `json:"needed"` // networks of each space; 0: these errors do not tell
	// Seconds of one training, and hours of the whole plan for two spaces; 0: not known.
	Seconds float64 `json:"seconds"`
	Hours   float64 `json:"hours"`
}

// Basis is where a plan's errors come from.
type Basis string

// The bases.
const (
	Whole   Basis = "whole"   // the pilot's own trainings
	Trained Basis = "trained" // the same networks, trained with less
	Early   Basis = "curve"   // the first epochs of the pilot's trainings, whose learning rate had not come down: short trainings do better
)

// Planning is the plans that pilots allow, the whole training first, then the cheapest first.
type Planning struct {
	Delta float64    `json:"delta"`
	Alpha float64    `json:"alpha"`
	Power float64    `json:"power"`
	Noise *NoiseJSON `json:"noise,omitempty"` // of reruns of the pilot, all spaces together
	Plans []Plan     `json:"plans"`
}

// PlanDecision says from a pilot how many networks a decision takes, and from further pilots of the same networks, trained for fewer epochs or on fewer images, whether
// shorter trainings would do. Docs: statistics.md. The error is ErrNothing if fewer than 4 networks of the first pilot have finished, and
// a *study.RequestError if their errors do not differ within spaces.
func PlanDecision(sources []Source, o PlanOptions) (p Planning, err error) {
	o.Delta, o.Alpha, o.Power, o.Workers = cmp.Or(o.Delta, DefaultDelta), cmp.Or(o.Alpha, 0.05), cmp.Or(o.Power, 0.8), cmp.Or(o.Workers, 1)
	p = Planning{Delta: o.Delta, Alpha: o.Alpha, Power: o.Power}
	if len(sources) == 0 {
		return p, errors.New("a plan takes a pilot")
	}
	pilot := sources[0]
	whole := done(pilot)
	if len(whole) < 4 {
		return p, fmt.Errorf("a plan takes 4 networks that are done: %w", ErrNothing)
	}
	var finished []study.Trial
	for _, n := range whole {
		finished = append(finished, n.trial)
	}
	if n := noise(finished); n != nil {
		p.Noise = noiseJSON(*n)
	}
	add := func(s Source, basis Basis, epochs, images int, other map[string]network) error {
		plan, err := planOf(whole, other, o)
		if err != nil || plan.Networks < 4 {
			return err
		}
		plan.Source, plan.Basis, plan.Epochs, plan.Images = s.Dir, basis, epochs, images
		p.Plans = append(p.Plans, plan)
		return nil
	}
	epochs, images := extent(pilot)
	if err := add(pilot, Whole, epochs, images, whole); err != nil {
		return p, err
	}
	if len(p.Plans) == 0 {
		return p, &study.RequestError{Err: fmt.Errorf("%s: no two networks of a space differ in their errors: how they differ is what a plan goes by", pilot.Dir)}
	}
	for _, s := range sources[1:] {
		e, i := extent(s)
		if err := add(s, Trained, e, i, done(s)); err != nil {
			return p, err
		}
	}
	for k := 1; k < epochs; k++ {
		at := map[string]network{}
		for key, n := range whole {
			for _, e := range n.trial.Epochs {
				if e.Epoch == k && e.Evaluated {
					at[key] = network{n.trial, n.space, e.ValError, n.seconds * float64(k) / float64(epochs)}
				}
			}
		}
		if err := add(pilot, Early, k, images, at); err != nil {
			return p, err
		}
	}
	slices.SortStableFunc(p.Plans[1:], func(a, b Plan) int {
		never := func(p Plan) int { return map[bool]int{true: 1}[p.Needed == 0] }
		return cmp.Or(never(a)-never(b), cmp.Compare(a.Hours, b.Hours))
	})
	return p, nil
}

// network is a network of a pilot with an error of it.
type network struct {
	trial   study.Trial
	space   string
	error   float64
	seconds float64
}

// done are the networks that did not fail, by what they are.
func done(s Source) map[string]network {
	all := map[string]network{}
	for _, p := range s.Populations {
		for _, t := range p.Trials {
			if t.State == study.Done {
				key := t.ID // of those that others trained and did not describe
				if t.Spec.Network != nil {
					key = t.Spec.Key()
				}
				all[p.Space+" "+key] = network{t, p.Space, t.Error, t.Seconds}
			}
		}
	}
	return all
}

// extent is how long a source trained, and on how many images; 0: not known. Of what others trained curves tell the epochs.
func extent(s Source) (epochs, images int) {
	if s.Protocol != nil {
		return s.Protocol.Recipe.Epochs, s.Protocol.TrainImages
	}
	for _, p := range s.Populations {
		for _, t := range p.Trials {
			for _, e := range t.Epochs {
				epochs = max(epochs, e.Epoch)
			}
		}
	}
	return epochs, 0
}

// planOf plans with errors of another training than the whole one.
func planOf(whole, other map[string]network, o PlanOptions) (p Plan, err error) {
	var keys []string
	for key := range whole {
		if _, both := other[key]; both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if p.Networks = len(keys); p.Networks < 4 {
		return p, nil
	}
	rank, err := stats.Spearman(within(keys, whole, math.Inf(1)), within(keys, other, math.Inf(1)), Level)
	if err != nil {
		return p, err
	}
	emax := o.EMax
	if emax == 0 {
		if emax, err = stats.DefaultEMax(errorsOf(keys, whole)); err != nil {
			return p, err
		}
	}
	if p.EMax, err = sameShare(errorsOf(keys, whole), errorsOf(keys, other), emax); err != nil {
		return p, err
	}
	x, y := within(keys, whole, emax), within(keys, other, p.EMax)
	var xx, xy, yy float64
	spaces := map[string]bool{}
	for i, key := range keys {
		xx, xy, yy = xx+x[i]*x[i], xy+x[i]*y[i], yy+y[i]*y[i]
		spaces[whole[key].space] = true
		p.Seconds += other[key].seconds / float64(len(keys))
	}
	if xx == 0 || math.IsNaN(rank.Value) {
		return Plan{}, nil
	}
	p.Rank, p.RankLo, p.RankHi, p.Slope = rank.Value, rank.Value, rank.Value, xy/xx
	if rank.Known() && p.Rank < 1 {
		p.RankLo, p.RankHi = rank.Lo, rank.Hi
	}
	p.StdDev = math.Sqrt(yy / float64(max(1, len(keys)-len(spaces))))
	if p.Slope > 0 {
		n, err := stats.ModelsNeeded(p.StdDev, p.StdDev, o.Delta*p.Slope, o.Alpha, o.Power)
		if err != nil {
			return p, err
		}
		p.Needed = n
		p.Hours = 2 * float64(n) * p.Seconds / float64(o.Workers) / 3600
	}
	return p, nil
}

// sameShare is the error below which as large a share of others lies as does of errors below emax.
func sameShare(errors, others []float64, emax float64) (float64, error) {
	of, err := stats.NewEDF(errors, nil)
	if err != nil {
		return 0, err
	}
	to, err := stats.NewEDF(others, nil)
	if err != nil {
		return 0, err
	}
	if slices.Equal(errors, others) {
		return emax, nil
	}
	share := of.At(emax)
	if share == 1 {
		return 100, nil
	}
	return to.Quantile(share), nil
}

func errorsOf(keys []string, all map[string]network) []float64 {
	values := make([]float64, len(keys))
	for i, key := range keys {
		values[i] = all[key].error
	}
	return values
}

// within are the errors of networks, at most emax, each less the mean of its space: what is to be told is how networks differ that are drawn alike.
func within(keys []string, all map[string]network, emax float64) []float64 {
	values := errorsOf(keys, all)
	sums, counts := map[string]float64{}, map[string]float64{}
	for i, key := range keys {
		values[i] = math.Min(values[i], emax)
		sums[all[key].space], counts[all[key].space] = sums[all[key].space]+values[i], counts[all[key].space]+1
	}
	for i, key := range keys {
		values[i] -= sums[all[key].space] / counts[all[key].space]
	}
	return values
}
