package design

import (
	"fmt"
	"math"
	"strings"

	"netspace/stats"
	"netspace/study"
)

// Decision is what a comparison of two spaces has come to. In JSON all differences are B less A in percentage points, errors beyond
// emax counted as it: above 0 B is worse.
type Decision struct {
	A string `json:"a"`
	B string `json:"b"`
	// Finding is that of the last look.
	Finding stats.Finding `json:"finding"`
	// Why the comparison ended; "" while it goes on.
	Why   Reason  `json:"why"`
	Delta float64 `json:"delta"`
	Alpha float64 `json:"alpha"` // chance that the finding is wrong, at most
	Power float64 `json:"power"`
	EMax  float64 `json:"emax"` // percent; 0 before the first look
	// Cost of all trainings that the decision took, in whole trainings of each space.
	Cost float64 `json:"cost"`
	// Fixed is how many whole trainings of each space a comparison without looks and without regression takes for the same power, by the spread of
	// the errors that were seen; 0: not known, or without end.
	Fixed int    `json:"fixed"`
	Looks []Look `json:"looks"`
}

// Reason says why a comparison ended.
type Reason string

// The reasons.
const (
	Decided  Reason = "decided"
	Futile   Reason = "futile"      // it is unlikely that B will be found not to be worse
	Enough   Reason = "power"       // what the power asks for is there, and decides nothing
	Networks Reason = "max_samples" // as many networks as were allowed are trained
)

// Look is a look at the networks trained so far.
type Look struct {
	Full   int `json:"full"`   // trainings of each space
	Short  int `json:"short"`  // of each space, the full ones among them
	Epochs int `json:"epochs"` // of the short ones; 0: there are none
	// Cost in whole trainings of each space.
	Cost float64 `json:"cost"`
	// Difference B − A, with an interval of level 1 − alpha that holds for all looks together; Lo and Hi are nil where too little was
	// learnt since the look before to judge anew.
	Difference float64  `json:"difference"`
	Lo         *float64 `json:"lo"`
	Hi         *float64 `json:"hi"`
	// AtMost bounds the difference from above at a one-sided level of alpha: not-worse rests on it. Nil with Lo.
	AtMost   *float64 `json:"at_most"`
	StdError float64  `json:"std_error"`
	// ExpectedStdError is what the look before let expect of StdError: levels are spent by it, and the look is judged by the larger of the two. Nil at the first look.
	ExpectedStdError *float64 `json:"expected_std_error"`
	// What the standard error would be without any regression.
	PlainStdError float64 `json:"plain_std_error"`
	// The shares of the variance of a network's error that the network itself tells, and that short trainings tell beyond.
	ByNetwork float64 `json:"by_network"`
	ByShort   float64 `json:"by_short"`
	// Used is the share of the most information that the comparison may use.
	Used    float64       `json:"used"`
	Finding stats.Finding `json:"finding"`
}

func decisionOf(q study.Decide, c *stats.Course) Decision {
	d := Decision{A: q.Between[0], B: q.Between[1], Finding: stats.Undecided, Delta: q.Delta, Alpha: q.Alpha, Power: q.Power, EMax: c.EMax, Looks: []Look{}}
	for _, s := range c.Steps() {
		variance := s.Residual + s.ByShort + s.ByKnown
		l := Look{Full: s.Full, Short: s.Short, Epochs: s.Epochs, Cost: c.Cost(s.Goal), Difference: s.Controlled.Difference,
			StdError: math.Sqrt(s.Variance), PlainStdError: math.Sqrt(s.Plain), Used: s.Used, Finding: s.Finding}
		if s.Judgement.Difference.Known() {
			l.Lo, l.Hi, l.AtMost = &s.Judgement.Difference.Lo, &s.Judgement.Difference.Hi, &s.Judgement.AtMost
		}
		if s.Expected > 0 {
			expected := math.Sqrt(s.Expected)
			l.ExpectedStdError = &expected
		}
		if variance > 0 {
			l.ByNetwork, l.ByShort = s.ByKnown/variance, s.ByShort/variance
		}
		d.Looks = append(d.Looks, l)
		d.Finding, d.Cost = s.Finding, l.Cost
		deviation := math.Sqrt(variance)
		if n, err := stats.ModelsNeeded(deviation, deviation, q.Delta, q.Alpha, q.Power); err == nil {
			d.Fixed = n
		}
		switch {
		case s.Finding != stats.Undecided:
			d.Why = Decided
		case s.Futile:
			d.Why = Futile
		case s.Last && s.Full == c.Most:
			d.Why = Networks
		case s.Last:
			d.Why = Enough
		}
	}
	return d
}

// Text says what was found and what it took.
func (d Decision) Text() string {
	if len(d.Looks) == 0 {
		return fmt.Sprintf("%s against %s: nothing is known yet", d.B, d.A)
	}
	var b strings.Builder
	switch d.Finding {
	case stats.BetterB:
		fmt.Fprintf(&b, "%s is better than %s", d.B, d.A)
	case stats.NotWorseB:
		fmt.Fprintf(&b, "%s is not worse than %s by %g points", d.B, d.A, d.Delta)
	case stats.WorseB:
		fmt.Fprintf(&b, "%s is worse than %s", d.B, d.A)
	default:
		fmt.Fprintf(&b, "undecided, %s: %s may be better or worse than %s", map[Reason]string{
			Futile:   "and unlikely to be decided for it",
			Enough:   "though there are networks enough for the power that is asked for",
			Networks: "with as many networks as are allowed",
		}[d.Why], d.B, d.A)
	}
	last := d.Looks[len(d.Looks)-1]
	fmt.Fprintf(&b, ": %+.2f points%s of error, where above %g %% counts as that", last.Difference, last.interval(d.Alpha), d.EMax)
	fmt.Fprintf(&b, "\n%s of each space were trained", plural(last.Full, "network"))
	if last.Short > last.Full {
		fmt.Fprintf(&b, ", %d more for %s, as much as %.1f whole trainings", last.Short-last.Full, plural(last.Epochs, "epoch"), d.Cost)
	}
	if d.Fixed > 0 {
		fmt.Fprintf(&b, "; a comparison of the same power without looks and regression takes about %d", d.Fixed)
	}
	fmt.Fprintf(&b, "\nof the variance of a network's error %.0f %% follow from the network itself, and %.0f %% more are told by short trainings", 100*last.ByNetwork, 100*last.ByShort)
	return b.String()
}

// String says in a line what a look saw.
func (l Look) String() string {
	text := plural(l.Full, "network")
	if l.Short > l.Full {
		text += fmt.Sprintf(" and %d for %s", l.Short-l.Full, plural(l.Epochs, "epoch"))
	}
	return fmt.Sprintf("%s of each space, %+.2f ± %.2f points, %s", text, l.Difference, l.StdError, l.Finding)
}

func (l Look) interval(alpha float64) string {
	if l.Lo == nil {
		return ""
	}
	text := fmt.Sprintf(" (%.4g %% interval %+.2f to %+.2f", 100*(1-alpha), *l.Lo, *l.Hi)
	if l.Finding == stats.NotWorseB {
		text += fmt.Sprintf("; at most %+.2f at a one-sided level of %.4g %%", *l.AtMost, 100*alpha)
	}
	return text + ")"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
