package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"netspace/analysis"
	"netspace/figure"
	"netspace/stats"
)

// standings are what a population says of a rule, in words and in the order of colours.
var standings = []struct {
	standing analysis.Standing
	text     string
}{
	{analysis.Better, "better"},
	{analysis.NotWorse, "not worse"},
	{analysis.Unclear, "unclear"},
	{analysis.Worse, "worse"},
	{analysis.Estimated, "estimated"},
	{analysis.TooFew, "too few"},
}

// RefineText writes the candidates of a refinement for a terminal, the best first.
func RefineText(w io.Writer, r analysis.Refinement) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s%s: %d networks, %d failed; %s settings. Networks with each rule less those without, in points:\n\n",
		r.Space.Name, r.Source.Dir, imported(r.Source), r.N, r.Failed, settingsOf(r.Size.Log10.Value))
	if r.LeftOut > 0 {
		fmt.Fprintf(&b, "%d networks of another number of stages or kind of block are left out: no one space has both.\n\n", r.LeftOut)
	}
	iv := fmt.Sprintf("%.0f %%", 100*analysis.Level)
	t := table{left: 2, rows: [][]string{{"rule", "", "with", "without", "mean", iv, "median", iv, "area to " + percent0(r.EMax), iv, "smaller by", "to be sure"}}}
	notes := map[string]bool{}
	for _, c := range r.Candidates {
		label := c.Label
		if c.Chosen {
			label += " *"
			notes["*"] = true
		}
		if c.Model != nil {
			label += " †"
			notes["†"] = true
		}
		row := []string{label, standingText(c.Standing), fmt.Sprint(c.Part), fmt.Sprint(c.Rest)}
		for _, e := range []stats.Estimate{c.Mean, c.Median, c.Area} {
			row = append(row, estimated(e), interval(e, 2))
		}
		t.rows = append(t.rows, append(row, smaller(c.Log10), price(c)))
	}
	t.write(&b)
	fmt.Fprintf(&b, "\nIntervals hold for all %d rules at once. Ranked by the lower end of the gain in %s; what is not worse by %s points, by size.\n",
		len(r.Candidates), measureText(r), trimmed(r.Options.Delta))
	fmt.Fprintf(&b, "smaller by: how many times fewer settings. to be sure: fresh networks of each of the two spaces that a decision to within %s points takes (α %g, power %g).\n",
		trimmed(r.Options.Delta), r.Options.Alpha, r.Options.Power)
	if r.Failed > 0 {
		b.WriteString("Failures make intervals of means wide; the area is what to decide by.\n")
	}
	if notes["*"] {
		fmt.Fprintf(&b, "* a range in which the best of %d of the networks lie; the other %d test it.\n", r.Chosen, r.N-r.Chosen)
	}
	if notes["†"] {
		fmt.Fprintf(&b, "† fewer than %d networks with the rule or without it: estimated by a regression of the error on how far networks are from the rule, and on their parameters:\n", analysis.MinSupport)
		for _, c := range r.Candidates {
			if m := c.Model; m != nil {
				fmt.Fprintf(&b, "  %s: %s, and %d parameters held; R² %.2f over %d networks\n", c.Label, m.Regressor, m.Covariates, m.R2, m.N)
			}
		}
	}
	fmt.Fprintf(&b, "\n%s\n", proposal(r))
	_, err := io.WriteString(w, b.String())
	return err
}

func imported(s analysis.Source) string {
	if s.Imported == nil {
		return ""
	}
	return " (imported, " + s.Imported.Format + ")"
}

// proposal says in a sentence what a refinement comes to.
func proposal(r analysis.Refinement) string {
	if len(r.Candidates) == 0 {
		return "There is no rule to try: the space has them all, or nothing varies."
	}
	c := r.Candidates[0]
	d := fmt.Sprintf("%s points of mean error (%s), %s of area (%s)", difference(c.Mean.Value, 2), interval(c.Mean, 2), difference(c.Area.Value, 2), interval(c.Area, 2))
	switch c.Standing {
	case analysis.Better:
		return fmt.Sprintf("Best supported: %s. Its networks are better, by %s, and the space is %s smaller.", c.Label, d, smaller(c.Log10))
	case analysis.NotWorse:
		return fmt.Sprintf("No rule is better for sure. Simplest at little cost: %s (%s), which makes the space %s smaller.", c.Label, d, smaller(c.Log10))
	}
	return "This population supports no rule: it is too small, or none of them matters."
}

func measureText(r analysis.Refinement) string {
	if r.Options.By == analysis.ByArea {
		return "area up to " + percent0(r.EMax)
	}
	return string(r.Options.By)
}

func standingText(s analysis.Standing) string {
	for _, row := range standings {
		if row.standing == s {
			return row.text
		}
	}
	return string(s)
}

func estimated(e stats.Estimate) string {
	if math.IsNaN(e.Value) {
		return "–"
	}
	return difference(e.Value, 2)
}

// settingsOf writes a number of settings by its logarithm.
func settingsOf(log10 float64) string {
	if math.IsInf(log10, 0) {
		return "no"
	}
	return fmt.Sprintf("10^%.1f", log10)
}

// smaller writes how many times smaller a space is.
func smaller(s analysis.Shrink) string {
	switch v := s.Value(); {
	case math.IsInf(v, 0) || math.IsNaN(v):
		return "–"
	case v < 3:
		return fmt.Sprintf("%.3g×", math.Pow(10, v))
	default:
		return fmt.Sprintf("10^%.1f×", v)
	}
}

func price(c analysis.Candidate) string {
	switch {
	case c.Needed == 0:
		return "–"
	case c.Hours == 0:
		return fmt.Sprint(c.Needed)
	}
	return fmt.Sprintf("%d (%.2g h)", c.Needed, c.Hours)
}

// mostRows bounds the candidates that a figure shows, and mostLabel their labels.
const (
	mostRows  = 60
	mostLabel = 62
)

// Refine draws the candidates of a refinement, the best at the top: the gain with
// its simultaneous interval, how many networks satisfy the rule, and how much
// smaller the space gets.
func Refine(r analysis.Refinement) *figure.Chart {
	shown := r.Candidates[:min(len(r.Candidates), mostRows)]
	n := len(shown)
	labels := make([]string, n)
	ch := &figure.Chart{
		Width: 980, Title: fmt.Sprintf("%s: %d networks", r.Space.Name, r.N), Note: "after each rule: networks with it, and how many times smaller the space gets",
		Alt: "Gain of each candidate rule of " + r.Space.Name + " with its interval",
		X:   figure.Axis{Label: fmt.Sprintf("gain in %s, points; intervals of %.0f %% for all at once", measureText(r), 100*analysis.Level)},
		Y:   figure.Axis{Min: -0.6, Max: float64(n) - 0.4},
	}
	ch.Marks = append(ch.Marks, figure.VLine{X: 0})
	series := map[analysis.Standing]int{}
	for i, s := range standings {
		series[s.standing] = i
	}
	used := map[int]bool{}
	for i, c := range shown {
		y := float64(n - 1 - i)
		labels[n-1-i] = fmt.Sprintf("%s · %d of %d · %s", shortened(c.Label), c.Part, c.Part+c.Rest, smaller(c.Log10))
		ch.Y.At = append([]float64{y}, ch.Y.At...)
		g, s := r.Gain(c), series[c.Standing]
		if math.IsNaN(g.Value) {
			continue
		}
		used[s] = true
		title := fmt.Sprintf("%s: %s (%s)", c.Label, difference(g.Value, 2), interval(g, 2))
		if g.Known() {
			ch.X.Min, ch.X.Max = math.Min(ch.X.Min, g.Lo), math.Max(ch.X.Max, g.Hi)
			ch.Marks = append(ch.Marks, figure.Line{Series: s, X: []float64{g.Lo, g.Hi}, Y: []float64{y, y}, Width: 2, Title: title})
		}
		ch.X.Min, ch.X.Max = math.Min(ch.X.Min, g.Value), math.Max(ch.X.Max, g.Value)
		ch.Marks = append(ch.Marks, figure.Points{Series: s, X: []float64{g.Value}, Y: []float64{y}, Size: 4, Titles: []string{title}})
	}
	pad := math.Max(0.05*(ch.X.Max-ch.X.Min), 0.1)
	ch.X.Min, ch.X.Max = ch.X.Min-pad, ch.X.Max+pad
	for i, s := range standings {
		if used[i] {
			ch.Legend = append(ch.Legend, figure.Entry{Series: i, Text: s.text})
		}
	}
	const row, line = 22.0, 18.0
	legend := math.Ceil((line*float64(len(ch.Legend)) + 16) / row) // rows that it stands in, below the candidates
	ch.Y.Min -= legend
	ch.Height = 70 + row*(float64(n)+legend)
	ch.Y.Format = func(v float64) string {
		if i := int(math.Round(v)); i >= 0 && i < n {
			return labels[i]
		}
		return ""
	}
	return ch
}

// shortened cuts a label that would leave no room for the figure.
func shortened(label string) string {
	if utf8.RuneCountInString(label) <= mostLabel {
		return label
	}
	return string([]rune(label)[:mostLabel-1]) + "…"
}
