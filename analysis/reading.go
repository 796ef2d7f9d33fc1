package analysis

import (
	"cmp"
	"math"
	"slices"

	"netspace/stats"
)

// Verdict is what a comparison comes to.
type Verdict string

// The verdicts.
const (
	OneNetwork Verdict = "one-network" // there is one space, with one network
	OneSpace   Verdict = "one-space"   // there is nothing to compare it with
	Unsure     Verdict = "unsure"      // one of the two best spaces has one network only
	Best       Verdict = "best"        // the interval of the difference of areas excludes 0
	Undecided  Verdict = "undecided"   // it does not
)

// Reading is what the numbers of a comparison show, and how sure they are: of
// the two spaces with the largest areas under their EDFs.
type Reading struct {
	Verdict Verdict
	First   int // place in Comparison.Spaces of the space with the largest area
	Second  int // of the runner-up; -1: there is one space only
	// Areas, first less second, with the probability that the first is larger.
	Area stats.Difference
	// Alike: undecided, and the areas differ by less than the margin.
	Alike bool
	// Networks of each space that a decision to within the margin takes; 0: it is
	// decided or alike, there are enough, or there is no margin.
	Needed int
}

// Reading is what the numbers show.
func (c Comparison) Reading() Reading {
	order := make([]int, len(c.Spaces))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(c.Spaces[b].Area.Value, c.Spaces[a].Area.Value)
	})
	first := c.Spaces[order[0]]
	if len(order) == 1 {
		r := Reading{Verdict: OneSpace, First: order[0], Second: -1}
		if !first.Mean.Known() {
			r.Verdict = OneNetwork
		}
		return r
	}
	second := c.Spaces[order[1]]
	pair := c.between(order[0], order[1])
	r := Reading{First: order[0], Second: order[1], Area: pair.Area}
	switch d := r.Area; {
	case math.IsNaN(d.Better):
		r.Verdict = Unsure
	case d.Lo > 0:
		r.Verdict = Best
	case d.Lo > -c.Options.Delta && d.Hi < c.Options.Delta:
		r.Verdict, r.Alike = Undecided, true
	default:
		r.Verdict = Undecided
		if pair.Needed > max(first.N, second.N) {
			r.Needed = pair.Needed
		}
	}
	return r
}

// between is the pair of two spaces, with the difference of their areas as
// first less second.
func (c Comparison) between(first, second int) Pair {
	i := slices.IndexFunc(c.Pairs, func(p Pair) bool {
		return p.A == min(first, second) && p.B == max(first, second)
	})
	p := c.Pairs[i]
	if p.A == first {
		d := p.Area
		p.Area.Value, p.Area.Lo, p.Area.Hi, p.Area.Better = -d.Value, -d.Hi, -d.Lo, 1-d.Better
	}
	return p
}
