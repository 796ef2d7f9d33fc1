package space

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"netspace/metric"
)

// Report says what happened to the candidates of a sample, up to the one that
// gave the last network.
type Report struct {
	Space      string `json:"space"`
	Seed       uint64 `json:"seed"`
	Asked      int    `json:"asked"`      // networks asked for
	Networks   int    `json:"networks"`   // networks found
	Candidates int64  `json:"candidates"` // drawn
	Effort     int64  `json:"effort"`     // candidates after which to give up
	Duplicates int64  `json:"duplicates"` // kept candidates that gave a network for the second time or later
	Invalid    int64  `json:"invalid,omitempty"`

	Built []BuiltRule `json:"by_construction"` // rules that every candidate obeys
	Tests []Test      `json:"tests"`           // the others and the bounds, in the order in which they are tested

	// EffectiveSize estimates how many networks the distribution amounts to,
	// 1/Σp² over the networks of the space: as many equally likely ones would
	// give as many duplicates. Infinite without any.
	EffectiveSize Estimate `json:"effective_size"`

	// Complexity is that of the networks: in JSON a member of the report for each metric.
	Complexity metric.Table[Summary] `json:"-"`
	// Counted is how far each metric reached over all candidates that were
	// counted, kept or not; in JSON a list.
	Counted [metric.Number]Extent `json:"-"`
}

// MarshalJSON writes one object: "flops", "params" and so on stand beside the rest.
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	return object(plain(r), r.Complexity, reportTail{r.Counted})
}

// reportTail is what a Report has in JSON after the metrics.
type reportTail struct {
	Counted [metric.Number]Extent `json:"counted"`
}

// UnmarshalJSON reads the object.
func (r *Report) UnmarshalJSON(data []byte) error {
	type plain Report
	var tail reportTail
	err := errors.Join(json.Unmarshal(data, (*plain)(r)), json.Unmarshal(data, &r.Complexity), json.Unmarshal(data, &tail))
	r.Counted = tail.Counted
	return err
}

// object writes the members of what is written as objects, each, as one object.
// (encoding/json cannot inline what has names of its own.)
func object(parts ...any) ([]byte, error) {
	b := []byte{'{'}
	for _, p := range parts {
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false) // an encoder around this one escapes < or leaves it, as it is told
		if err := e.Encode(p); err != nil {
			return nil, err
		}
		if members := text.Bytes()[1 : text.Len()-2]; len(members) > 0 { // a line, and its braces
			if len(b) > 1 {
				b = append(b, ',')
			}
			b = append(b, members...)
		}
	}
	return append(b, '}'), nil
}

// BuiltRule is a rule that candidates obey by construction.
type BuiltRule struct {
	Rule  string  `json:"rule"`
	Share float64 `json:"share"` // the chance that a draw from the prior obeys it, given the rules before it on the same parameter
}

// Test is a rule or bound that rejects candidates.
type Test struct {
	Rule     string `json:"rule"`
	Tested   int64  `json:"tested"`   // candidates that passed all tests before
	Rejected int64  `json:"rejected"` // those of them that failed this one
}

// Accepted is the share of the tested that passed, 1 if none was tested.
func (t Test) Accepted() float64 {
	if t.Tested == 0 {
		return 1
	}
	return float64(t.Tested-t.Rejected) / float64(t.Tested)
}

// Estimate is a number with its 95 % interval.
type Estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// MarshalJSON writes null for what is not finite.
func (e Estimate) MarshalJSON() ([]byte, error) {
	number := func(v float64) *float64 {
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return nil
		}
		return &v
	}
	return json.Marshal(struct {
		Value *float64 `json:"value"`
		Low   *float64 `json:"low"`
		High  *float64 `json:"high"`
	}{number(e.Value), number(e.Low), number(e.High)})
}

// Extent is the smallest and the largest of some numbers; zeros for none.
type Extent struct {
	Min float64 `json:"min"`
	Max float64 `json:"max"`
}

// Summary is the distribution of a complexity over the networks of a sample.
type Summary struct {
	Min    float64 `json:"min"`
	Q25    float64 `json:"q25"`
	Median float64 `json:"median"`
	Q75    float64 `json:"q75"`
	Max    float64 `json:"max"`
	Mean   float64 `json:"mean"`
}

// summarize gives zeros for no values. Quartiles lie between order statistics,
// linearly.
func summarize(v []float64) Summary {
	if len(v) == 0 {
		return Summary{}
	}
	v = slices.Sorted(slices.Values(v))
	at := func(q float64) float64 {
		x := q * float64(len(v)-1)
		i := int(x)
		if i+1 >= len(v) {
			return v[len(v)-1]
		}
		return v[i] + float64((x-float64(i))*(v[i+1]-v[i]))
	}
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return Summary{at(0), at(0.25), at(0.5), at(0.75), at(1), sum / float64(len(v))}
}

// finish completes the report.
func (c *collector) finish() Report {
	r := &c.report
	r.Networks, r.Candidates, r.Invalid = len(c.networks), c.tally.candidates, c.invalid
	for _, g := range c.p.groups {
		for _, f := range g.folded {
			r.Built = append(r.Built, BuiltRule{f.rule.String(), f.share})
		}
	}
	left := r.Candidates
	for i, k := range c.p.checks {
		r.Tests = append(r.Tests, Test{k.name, left, c.tally.rejected[i]})
		left -= c.tally.rejected[i]
	}
	if c.tally.counted > 0 {
		for i := range r.Counted {
			r.Counted[i] = Extent{c.tally.low[i], c.tally.high[i]}
		}
	}
	var draws, pairs float64
	for _, n := range c.times {
		draws += float64(n)
		pairs += float64(n) * float64(n-1) / 2
		r.Duplicates += n - 1
	}
	r.EffectiveSize = effectiveSize(draws, pairs)
	values := make([]float64, len(c.networks))
	for _, m := range metric.Counted() {
		for i, n := range c.networks {
			values[i] = float64(m.Of(n.Complexity))
		}
		r.Complexity[m.ID] = summarize(values)
	}
	return *r
}

// effectiveSize is the number of pairs of draws over the number of pairs that
// were equal, which is Poisson for rare coincidences; the interval is the
// normal one of its square root.
func effectiveSize(draws, equal float64) Estimate {
	pairs := draws * (draws - 1) / 2
	low, high := math.Sqrt(equal+1)+0.98, max(0, math.Sqrt(equal)-0.98)
	return Estimate{pairs / equal, pairs / (low * low), pairs / (high * high)}
}

// TooFewError says that a space has not as many networks as were asked for, or
// that they are too rare for the effort.
type TooFewError struct{ Report Report }

func (c *collector) err() error {
	if len(c.networks) >= c.want {
		return nil
	}
	return &TooFewError{c.report}
}

// Error says what rejects how much.
func (e *TooFewError) Error() string {
	r := e.Report
	var b strings.Builder
	fmt.Fprintf(&b, "space %s: only %d of %d networks in %d candidates", r.Space, r.Networks, r.Asked, r.Candidates)
	if r.Networks == 0 {
		b.Reset()
		fmt.Fprintf(&b, "space %s: no network in %d candidates", r.Space, r.Candidates)
	}
	if r.Candidates < r.Effort {
		fmt.Fprintf(&b, " (gave up after %d without a new one)", r.Effort/patience)
	} else {
		fmt.Fprintf(&b, " (the whole effort)")
	}
	for _, t := range r.Tests {
		if t.Rejected > 0 {
			fmt.Fprintf(&b, "\n  %s rejects %s of %d", t.Rule, percent(float64(t.Rejected)/float64(t.Tested)), t.Tested)
		}
	}
	if r.Duplicates > 0 {
		fmt.Fprintf(&b, "\n  %d candidates gave a network that was there already", r.Duplicates)
	}
	if r.Invalid > 0 {
		fmt.Fprintf(&b, "\n  %d candidates were beyond the limits of a network", r.Invalid)
	}
	for _, m := range metric.Counted() {
		if c := r.Counted[m.ID]; c != (Extent{}) {
			fmt.Fprintf(&b, "\n  %s of what was counted: %s to %s", m.Name, m.Format(c.Min), m.Format(c.Max))
		}
	}
	return b.String()
}

// percent shows a share so that all but everything is not 100 %.
func percent(share float64) string {
	switch p := 100 * share; {
	case p == 100 || p == 0:
		return fmt.Sprintf("%g %%", p)
	case p > 99:
		return fmt.Sprintf("%.*f %%", min(8, 1+int(-math.Log10(1-share))), p)
	case p < 1:
		return fmt.Sprintf("%.2g %%", p)
	default:
		return fmt.Sprintf("%.1f %%", p)
	}
}
