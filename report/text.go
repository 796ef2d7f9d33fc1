package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Text writes the comparison for a terminal: the reading, one line per space,
// one line per pair.
func (c Comparison) Text(w io.Writer) error {
	pending := false
	for _, s := range c.Spaces {
		pending = pending || s.Pending > 0
	}
	head := []string{"space", "n", "failed"}
	if pending {
		head = append(head, "to come")
	}
	iv := fmt.Sprintf("%.0f %%", 100*level)
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
		d := trimmed(c.Delta)
		pairs := table{left: 1, rows: [][]string{{"B against A", "mean", iv, "P", "median", "P", "area", iv, "P", "KS p", "not worse by " + d}}}
		for _, p := range c.Pairs {
			pairs.rows = append(pairs.rows, []string{
				c.Spaces[p.B].Label + " against " + c.Spaces[p.A].Label,
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
	for _, name := range c.Omitted {
		fmt.Fprintf(&b, "%s is left out: none of its networks has finished.\n", name)
	}
	fmt.Fprintf(&b, "\n%s\n", c.Reading())
	_, err := io.WriteString(w, b.String())
	return err
}

// table is columns of text, the first left of them flush left, the rest right.
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
