package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"netspace/analysis"
)

// Text writes a comparison for a terminal: one line per space, one line per pair,
// and its reading.
func Text(w io.Writer, c analysis.Comparison) error {
	pending := false
	for _, s := range c.Spaces {
		pending = pending || s.Pending > 0
	}
	head := []string{"space", "n", "failed"}
	if pending {
		head = append(head, "to come")
	}
	iv := fmt.Sprintf("%.0f %%", 100*analysis.Level)
	spaces := table{left: 1, rows: [][]string{append(head, "min", "mean", iv, "median", iv, "area to "+percent0(c.EMax), iv)}}
	for _, s := range c.Spaces {
		row := []string{s.Label, fmt.Sprint(s.N), fmt.Sprint(s.Failed)}
		if pending {
			row = append(row, fmt.Sprint(s.Pending))
		}
		spaces.rows = append(spaces.rows, append(row, signed(s.Min.Value, 2),
			signed(s.Mean.Value, 2), interval(s.Mean, 2),
			signed(s.Median.Value, 2), interval(s.Median, 2),
			signed(s.Area.Value, 2), interval(s.Area, 2)))
	}
	var b strings.Builder
	spaces.write(&b)
	if len(c.Pairs) > 0 {
		b.WriteString("\n")
		d := trimmed(c.Options.Delta)
		pairs := table{left: 1, rows: [][]string{{"B against A", "mean", iv, "P", "median", "P", "area", iv, "P", "KS p", "not worse by " + d}}}
		for _, p := range c.Pairs {
			pairs.rows = append(pairs.rows, []string{
				p.LabelB + " against " + p.LabelA,
				difference(p.Mean.Value, 2), interval(p.Mean.Estimate, 2), probability(p.Mean.Better),
				difference(p.Median.Value, 2), probability(p.Median.Better),
				difference(p.Area.Value, 2), interval(p.Area.Estimate, 2), probability(p.Area.Better),
				probability(p.PHolm), "p " + probability(p.NotWorseArea.P),
			})
		}
		pairs.write(&b)
		b.WriteString("P: probability that B is better. KS p: p-value of the hypothesis that both are alike, adjusted for the number of pairs.\n")
		fmt.Fprintf(&b, "not worse: p-value of the hypothesis that B's area is smaller by %s points or more.\n", d)
	}
	for _, line := range noise(c) {
		fmt.Fprintln(&b, line)
	}
	for _, name := range c.Omitted {
		fmt.Fprintf(&b, "%s is left out: none of its networks has finished.\n", name)
	}
	for _, s := range c.Sources {
		if s.Search != nil {
			fmt.Fprintln(&b, selected(s))
		}
		if m := s.Imported; m != nil {
			fmt.Fprintf(&b, "%s was trained elsewhere, and read as %s; conditions known: %s; not known: %s.\n", s.Dir, m.Format, orNothing(m.Known()), orNothing(m.Unknown()))
		}
	}
	fmt.Fprintf(&b, "\n%s\n", reading(c, c.Reading()))
	_, err := io.WriteString(w, b.String())
	return err
}

// noise says how much reruns of networks differ, a line for each space that has some.
func noise(c analysis.Comparison) (lines []string) {
	for _, s := range c.Spaces {
		n := s.Noise
		if n == nil {
			continue
		}
		line := fmt.Sprintf("%s: trainings of one network differ by %s points (standard deviation, %.0f %% interval %s, %d trainings of %d networks)",
			s.Label, signed(n.StdDev.Value, 2), 100*analysis.Level, interval(n.StdDev, 2), n.Trainings, n.Networks)
		if !math.IsNaN(n.Share) {
			line += fmt.Sprintf(", which is %.0f %% of the variance of its population", 100*n.Share)
		}
		lines = append(lines, line+".")
	}
	return lines
}

// orNothing lists texts.
func orNothing(texts []string) string {
	if len(texts) == 0 {
		return "nothing"
	}
	return strings.Join(texts, ", ")
}

// reading says in one sentence what the numbers show, and how sure they are.
func reading(c analysis.Comparison, r analysis.Reading) string {
	a := c.Spaces[r.First]
	switch r.Verdict {
	case analysis.OneNetwork:
		return fmt.Sprintf("%s has one network, with an error of %s; nothing can be said of the space.", a.Label, percent(a.Mean.Value))
	case analysis.OneSpace:
		return fmt.Sprintf("%s: half of its networks are below %s, the best of %d is at %s; the mean is %s (%.0f %% interval %s).",
			a.Label, percent(a.Median.Value), a.N, percent(a.Min.Value), percent(a.Mean.Value), 100*analysis.Level, interval(a.Mean, 2))
	}
	b, d := c.Spaces[r.Second], r.Area
	switch r.Verdict {
	case analysis.Unsure:
		return fmt.Sprintf("%s is ahead of %s, but one network says nothing of a space.", a.Label, b.Label)
	case analysis.Best:
		return fmt.Sprintf("%s is best: its EDF has the largest area up to %s, ahead of %s with probability %s (by %.2f, %.0f %% interval %s); its median error is %s.",
			a.Label, percent0(c.EMax), b.Label, probability(d.Better), d.Value, 100*analysis.Level, interval(d.Estimate, 2), percent(a.Median.Value))
	}
	text := fmt.Sprintf("Undecided at the top: %s has the largest area under its EDF up to %s, but is ahead of %s only with probability %s (by %.2f, %.0f %% interval %s).",
		a.Label, percent0(c.EMax), b.Label, probability(d.Better), d.Value, 100*analysis.Level, interval(d.Estimate, 2))
	if r.Alike {
		text += fmt.Sprintf(" The two areas differ by less than %s points.", trimmed(c.Options.Delta))
	} else if r.Needed > 0 {
		text += fmt.Sprintf(" A decision to within %s points takes about %d networks of each.", trimmed(c.Options.Delta), r.Needed)
	}
	return text
}

// table is columns of text, the first left of them flush left, the rest right: text/tabwriter
// aligns all columns alike.
type table struct {
	left int
	rows [][]string
}

func (t table) write(b *strings.Builder) {
	width := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, s := range row {
			width[i] = max(width[i], utf8.RuneCountInString(s))
		}
	}
	for _, row := range t.rows {
		for i, s := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(s))
			if i > 0 {
				b.WriteString("  ")
			}
			if i < t.left {
				b.WriteString(s + pad)
			} else {
				b.WriteString(pad + s)
			}
		}
		b.WriteString("\n")
	}
}
