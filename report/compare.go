package report

import (
	"fmt"
	"math"
	"slices"

	"netspace/stats"
	"netspace/study"
)

// Options say how populations are compared. The zero value compares with the
// defaults.
type Options struct {
	EMax      float64 // where areas under EDFs end, percent; 0: stats.DefaultEMax
	Delta     float64 // margin of the tests that a space is not worse, percentage points
	Seed      uint64  // of the bootstrap
	Resamples int     // 0: stats.DefaultResamples
}

// DefaultDelta is a margin that is seldom noise and seldom irrelevant: half a
// percentage point.
const DefaultDelta = 0.5

const level = stats.DefaultLevel

// Space is one population in a comparison.
type Space struct {
	Label      string // its space, with its study where that is needed to tell it apart
	Population study.Population
	Finished   []study.Trial // done and failed, in sample order
	Errors     []float64     // of Finished; chance for the failed
	Failed     int
	Pending    int // not finished: not part of the numbers
	Chance     float64
	stats.Summary
}

// Pair compares B against A, both places in Comparison.Spaces.
type Pair struct {
	stats.Pair
	PHolm float64 // KS p-value, adjusted for the number of pairs
}

// Comparison is populations side by side.
type Comparison struct {
	Spaces  []Space // with at least one finished trial, in the order of the studies
	Pairs   []Pair
	EMax    float64
	Delta   float64
	Omitted []string // labels of populations without a finished trial

	sources []Source
	options Options
}

// Compare compares the populations of all sources. A failed trial counts with
// the error of chance; one that has not finished does not count. The error is
// ErrNothing if no trial has finished.
func Compare(sources []Source, o Options) (Comparison, error) {
	c := Comparison{EMax: o.EMax, Delta: o.Delta, sources: sources, options: o}
	names := map[string]int{}
	for _, s := range sources {
		for _, p := range s.Populations {
			names[p.Space]++
		}
	}
	used := map[string]int{}
	var samples [][]float64
	for _, s := range sources {
		for _, p := range s.Populations {
			label := p.Space
			if names[p.Space] > 1 {
				label = p.Study + "/" + p.Space
			}
			if used[label]++; used[label] > 1 {
				label = fmt.Sprintf("%s (%s)", label, s.Dir)
			}
			sp := newSpace(label, p, study.ChanceError(max(s.Input.Classes, 1), 1))
			if len(sp.Finished) == 0 {
				c.Omitted = append(c.Omitted, label)
				continue
			}
			c.Spaces = append(c.Spaces, sp)
			samples = append(samples, sp.Errors)
		}
	}
	if len(c.Spaces) == 0 {
		return c, ErrNothing
	}
	if c.EMax == 0 {
		var err error
		if c.EMax, err = stats.DefaultEMax(samples...); err != nil {
			return c, err
		}
	}
	summaries, pairs, err := stats.Compare(samples, c.EMax, c.Delta, stats.Options{Seed: o.Seed, Resamples: o.Resamples, Level: level})
	if err != nil {
		return c, err
	}
	for i := range c.Spaces {
		c.Spaces[i].Summary = summaries[i]
	}
	raw := make([]float64, len(pairs))
	for i, p := range pairs {
		raw[i] = p.KS.P
	}
	holm := stats.Holm(raw)
	for i, p := range pairs {
		c.Pairs = append(c.Pairs, Pair{p, holm[i]})
	}
	return c, nil
}

func newSpace(label string, p study.Population, chance float64) Space {
	s := Space{Label: label, Population: p, Chance: chance}
	for _, t := range p.Trials {
		switch t.State {
		case study.Done:
		case study.Failed:
			s.Failed++
		default:
			s.Pending++
			continue
		}
		s.Finished = append(s.Finished, t)
		s.Errors = append(s.Errors, t.Error)
	}
	return s
}

// Ranked are the trials that were done, the best first; equal errors stand in
// sample order.
func (s Space) Ranked() []study.Trial {
	var done []study.Trial
	for _, t := range s.Finished {
		if t.State == study.Done {
			done = append(done, t)
		}
	}
	slices.SortStableFunc(done, func(a, b study.Trial) int {
		switch {
		case a.Error < b.Error:
			return -1
		case a.Error > b.Error:
			return 1
		}
		return 0
	})
	return done
}

// best is the place of the space with the largest area, and of the runner-up
// (-1 if there is one space only).
func (c Comparison) best() (first, second int) {
	order := make([]int, len(c.Spaces))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch d := c.Spaces[b].Area.Value - c.Spaces[a].Area.Value; {
		case d > 0:
			return 1
		case d < 0:
			return -1
		}
		return 0
	})
	if len(order) == 1 {
		return order[0], -1
	}
	return order[0], order[1]
}

// between is the difference of the areas of two spaces, first less second, and
// the probability that the first has the larger.
func (c Comparison) between(first, second int) stats.Difference {
	for _, p := range c.Pairs {
		switch {
		case p.A == second && p.B == first:
			return p.Area
		case p.A == first && p.B == second:
			d := p.Area
			d.Value, d.Lo, d.Hi, d.Better = -d.Value, -d.Hi, -d.Lo, 1-d.Better
			return d
		}
	}
	return stats.Difference{}
}

// Reading says in one sentence what the numbers show, and how sure they are.
func (c Comparison) Reading() string {
	first, second := c.best()
	a := c.Spaces[first]
	if second < 0 {
		if !a.Mean.Known() {
			return fmt.Sprintf("%s has one network, with an error of %s; nothing can be said of the space.", a.Label, percent(a.Mean.Value))
		}
		return fmt.Sprintf("%s: half of its networks are below %s, the best of %d is at %s; the mean is %s (%.0f %% interval %s).",
			a.Label, percent(a.Median.Value), a.N, percent(a.Min.Value), percent(a.Mean.Value), 100*level, interval(a.Mean, 2))
	}
	b, d := c.Spaces[second], c.between(first, second)
	switch {
	case math.IsNaN(d.Better):
		return fmt.Sprintf("%s is ahead of %s, but one network says nothing of a space.", a.Label, b.Label)
	case d.Lo > 0:
		return fmt.Sprintf("%s is best: its EDF has the largest area up to %s, ahead of %s with probability %s (by %.2f, %.0f %% interval %s); its median error is %s.",
			a.Label, percent0(c.EMax), b.Label, probability(d.Better), d.Value, 100*level, interval(d.Estimate, 2), percent(a.Median.Value))
	}
	text := fmt.Sprintf("Undecided at the top: %s has the largest area under its EDF up to %s, but is ahead of %s only with probability %s (by %.2f, %.0f %% interval %s).",
		a.Label, percent0(c.EMax), b.Label, probability(d.Better), d.Value, 100*level, interval(d.Estimate, 2))
	if d.Lo > -c.Delta && d.Hi < c.Delta {
		text += fmt.Sprintf(" The two areas differ by less than %s points.", trimmed(c.Delta))
	} else if n := c.needed(first, second); n > max(a.N, b.N) {
		text += fmt.Sprintf(" A decision to within %s points takes about %d networks of each.", trimmed(c.Delta), n)
	}
	return text
}

// needed is how many networks of each of two equally good spaces show with a
// power of 80 % that the area of one is not smaller by the margin; 0 if there is
// no margin.
func (c Comparison) needed(i, j int) int {
	n, err := stats.ModelsNeeded(c.Spaces[i].AreaStdDev, c.Spaces[j].AreaStdDev, c.Delta, 0.05, 0.8)
	if err != nil {
		return 0
	}
	return n
}
