package report

import (
	"fmt"
	"io"
	"strings"

	"netspace/analysis"
	"netspace/figure"
)

// Ladder writes a design loop for a terminal: a line per rule that was tried.
func Ladder(w io.Writer, l analysis.Ladder) error {
	t := table{left: 1, rows: [][]string{{"rule", "networks", "difference", "interval", "at most", "log10 size", ""}}}
	t.rows = append(t.rows, []string{l.Start, "", "", "", "", signed(l.Log10, 1), ""})
	for _, r := range rungs(l) {
		t.rows = append(t.rows, []string{r.Number + ". " + r.Label, r.Networks, r.Difference, r.Interval, r.AtMost, r.Size, r.Verdict})
	}
	var b strings.Builder
	t.write(&b)
	fmt.Fprintf(&b, "\n%s\n", ladderWords(l))
	_, err := io.WriteString(w, b.String())
	return err
}

// rungPart is a rule that was tried, in words.
type rungPart struct {
	Number, Label, Base, Space, Expected, Networks, Difference, Interval, AtMost, Size, Verdict string
	Accepted                                                                                    bool
}

func rungs(l analysis.Ladder) []rungPart {
	var all []rungPart
	for _, r := range l.Rungs {
		p := rungPart{Number: fmt.Sprint(r.Number), Label: r.Label, Base: r.Base, Space: r.Space, Accepted: r.Accepted,
			Difference: difference(r.Difference, 2), Size: signed(r.After, 1), Verdict: "dropped", Expected: "–", Interval: "–", AtMost: "–"}
		if p.Networks = fmt.Sprintf("%d", r.Full); r.Short > r.Full {
			p.Networks += fmt.Sprintf(" + %d short", r.Short-r.Full)
		}
		if r.Expected != nil {
			p.Expected = difference(*r.Expected, 2)
		}
		if r.Lo != nil && r.Hi != nil {
			p.Interval = difference(*r.Lo, 2) + " … " + difference(*r.Hi, 2)
		}
		if r.AtMost != nil {
			p.AtMost = difference(*r.AtMost, 2)
		}
		if r.Accepted {
			p.Verdict = "kept: " + strings.ReplaceAll(r.Finding, "-", " ")
		}
		all = append(all, p)
	}
	return all
}

// ladderWords says in a few sentences what the loop came to, and how sure that is.
func ladderWords(l analysis.Ladder) string {
	var b strings.Builder
	kept := len(l.Spaces()) - 1
	switch {
	case kept == 0:
		fmt.Fprintf(&b, "No rule was kept: %s stays as it is.", l.Start)
	default:
		last := l.Rungs[0]
		for _, r := range l.Rungs {
			if r.Accepted {
				last = r
			}
		}
		fmt.Fprintf(&b, "%d of %d rules were kept; the space has 10^%s networks, %s had 10^%s.", kept, len(l.Rungs), signed(last.After, 1), l.Start, signed(l.Log10, 1))
	}
	if l.Why != "" {
		fmt.Fprintf(&b, " The loop ended because %s.", l.Why)
	} else {
		b.WriteString(" The loop goes on.")
	}
	if kept > 0 {
		fmt.Fprintf(&b, " The chance that any rule was kept whose space is worse than the one before by %s points or more is at most %s", trimmed(l.Delta), percent0(100*l.Alpha))
		if kept > 1 {
			fmt.Fprintf(&b, "; %d rules in a row may add up to %s points", kept, trimmed(float64(kept)*l.Delta))
		}
		b.WriteString(".")
	}
	return b.String()
}

// ladderReading is what a page of a design loop says first.
func ladderReading(f analysis.Findings, l analysis.Ladder) string {
	kept := l.Spaces()
	found := kept[len(kept)-1]
	if len(kept) == 1 {
		return fmt.Sprintf("%s as it is: no rule was kept of %d that were tried.", l.Start, len(l.Rungs))
	}
	text := fmt.Sprintf("%d rules lead from %s to %s", len(kept)-1, l.Start, found)
	if len(kept) == 2 {
		text = fmt.Sprintf("One rule leads from %s to %s", l.Start, found)
	}
	var start, end *analysis.Space
	for i, s := range f.Spaces {
		switch s.Label {
		case l.Start:
			start = &f.Spaces[i]
		case found:
			end = &f.Spaces[i]
		}
	}
	if start != nil && end != nil {
		text += fmt.Sprintf(": %.1f %% mean error in the place of %.1f %%", end.Mean.Value, start.Mean.Value)
	}
	for _, r := range l.Rungs {
		if r.Space == found {
			text += fmt.Sprintf(", among 10^%s networks in the place of 10^%s", signed(r.After, 1), signed(l.Log10, 1))
		}
	}
	return text + "."
}

// ladderEDF is the overlay of the distributions of the spaces that were kept.
func ladderEDF(f analysis.Findings, l analysis.Ladder) *figure.Chart {
	ch := edf(f)
	ch.Alt = "Error distribution functions of the spaces that the design loop kept"
	ch.Marks, ch.Legend = ch.Marks[:1], nil
	for n, name := range l.Spaces() {
		for i, s := range f.Spaces {
			if s.Label == name {
				ch.Marks = append(ch.Marks, steps(i, s.Label, f.Distributions[i]))
				ch.Legend = append(ch.Legend, figure.Entry{Series: i, Text: rungName(l, n), Note: fmt.Sprintf("n %d · mean %.1f", s.N, s.Mean.Value)})
			}
		}
	}
	return ch
}

// rungName names the n-th space of a ladder by the rule that it adds.
func rungName(l analysis.Ladder, n int) string {
	if n == 0 {
		return l.Start
	}
	for _, r := range l.Rungs {
		if r.Accepted {
			if n--; n == 0 {
				return "+ " + r.Label
			}
		}
	}
	return ""
}
