package analysis

import (
	"context"
	"fmt"

	"netspace/stats"
	"netspace/study"
)

// Options say how populations are compared. The zero value compares with the
// defaults and a margin of 0.
type Options struct {
	EMax      float64 `json:"emax"`      // where areas under EDFs end, percent; 0: stats.DefaultEMax
	Delta     float64 `json:"delta"`     // margin of the tests that a space is not worse, percentage points
	Seed      uint64  `json:"seed"`      // of the bootstrap
	Resamples int     `json:"resamples"` // 0: stats.DefaultResamples
}

// DefaultDelta is a margin that is seldom noise and seldom irrelevant: half a
// percentage point.
const DefaultDelta = study.DefaultDelta

// Level of all intervals and bands.
const Level = stats.DefaultLevel

// Space is one population in a comparison. In JSON it is a SpaceJSON.
type Space struct {
	Label    string // its space, with its study where that is needed to tell it apart
	Study    string
	Finished []study.Trial // done and failed, in sample order
	Errors   []float64     // of Finished, percent; chance for the failed
	Failed   int
	Pending  int    // not finished: not part of the numbers
	Imported string // format that it was read from; "": a study trained it
	// Noise of reruns, of those that did not fail; nil if no network was trained again.
	Noise *stats.Noise
	stats.Summary
}

// Pair compares B against A, both places in Comparison.Spaces. In JSON it is a
// PairJSON.
type Pair struct {
	LabelA, LabelB string
	stats.Pair
	PHolm float64 // KS p-value, adjusted for the number of pairs
	// Networks of each space with which the test on areas would succeed with a
	// power of 80 % at 5 %, were the spaces equally good; 0: not known.
	Needed int
}

// Comparison is populations side by side.
type Comparison struct {
	Sources []Source `json:"sources"`
	Options Options  `json:"options"` // as they were given
	Spaces  []Space  `json:"spaces"`  // with at least one finished trial, in the order of the sources
	Pairs   []Pair   `json:"pairs"`   // (0,1), (0,2), … (1,2), …
	EMax    float64  `json:"emax"`    // where areas end, percent
	Omitted []string `json:"omitted"` // labels of populations without a finished trial
}

// Compare compares the populations of all sources. A failed trial counts with
// the error of chance; one that has not finished does not count. The error is
// ErrNothing if no trial has finished.
func Compare(ctx context.Context, sources []Source, o Options) (Comparison, error) {
	c := Comparison{Sources: sources, Options: o, EMax: o.EMax}
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
			sp := newSpace(label, p)
			if s.Imported != nil {
				sp.Imported = s.Imported.Format
			}
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
	summaries, pairs, err := stats.Compare(ctx, samples, c.EMax, o.Delta, stats.Options{Seed: o.Seed, Resamples: o.Resamples, Level: Level})
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
		a, b := c.Spaces[p.A], c.Spaces[p.B]
		c.Pairs = append(c.Pairs, Pair{a.Label, b.Label, p, holm[i], needed(a, b, o.Delta)})
	}
	return c, nil
}

func newSpace(label string, p study.Population) Space {
	s := Space{Label: label, Study: p.Study}
	for _, t := range p.Trials {
		switch t.State {
		case study.Done:
		case study.Failed:
			s.Failed++
		case study.Short: // nothing more is asked of it
			continue
		default:
			s.Pending++
			continue
		}
		s.Finished = append(s.Finished, t)
		s.Errors = append(s.Errors, t.Error)
	}
	s.Noise = noise(s.Finished)
	return s
}

// noise of the networks that were trained more than once. A failure is no noise: it is a result of its own.
func noise(finished []study.Trial) *stats.Noise {
	var trainings [][]float64
	var errs []float64
	for _, t := range finished {
		if t.State != study.Done {
			continue
		}
		errs = append(errs, t.Error)
		all := []float64{t.Error}
		for _, r := range t.Reruns {
			if r.State == study.Done {
				all = append(all, r.Error)
			}
		}
		if len(all) > 1 {
			trainings = append(trainings, all)
		}
	}
	n, err := stats.Rerun(trainings, errs, Level)
	if err != nil { // nothing was trained again
		return nil
	}
	return &n
}

// needed is how many networks of each of two equally good spaces show with a
// power of 80 % that the area of one is not smaller by the margin; 0 if there is
// no margin, or a space has one network only.
func needed(a, b Space, delta float64) int {
	if a.N < 2 || b.N < 2 {
		return 0
	}
	n, err := stats.ModelsNeeded(a.AreaStdDev, b.AreaStdDev, delta, 0.05, 0.8)
	if err != nil {
		return 0
	}
	return n
}
