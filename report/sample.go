package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"netspace/analysis"
	"netspace/figure"
)

// Sample draws histograms of the complexity and of every drawn parameter of a
// sample. A parameter of stages is a row of its own, all others follow each other.
func Sample(s analysis.Sample) *figure.Grid {
	var complexity, single []*figure.Chart
	for _, n := range s.Complexity {
		complexity = append(complexity, histogram(n, true))
	}
	rows := [][]*figure.Chart{complexity}
	last := ""
	for _, n := range s.Parameters {
		field, _, staged := n.Stage()
		switch ch := histogram(n, false); {
		case !staged:
			single = append(single, ch)
		case field == last:
			rows[len(rows)-1] = append(rows[len(rows)-1], ch)
		default:
			last = field
			rows = append(rows, []*figure.Chart{ch})
		}
	}
	return &figure.Grid{Title: fmt.Sprintf("%s: %d networks", s.Space, s.Networks), Columns: 4, Rows: append(rows, single)}
}

// histogram draws how a number is distributed; decimal says that powers of two
// mean nothing for it.
func histogram(n analysis.Numbers, decimal bool) *figure.Chart {
	name := n.Name
	if n.Shared {
		name += " of all stages"
	}
	c := &figure.Chart{
		Width: 300, Height: 190, Title: name, Alt: "histogram of " + name,
		X: figure.Axis{Format: tick, Ticks: 4, Log: n.Log, Decimal: decimal}, Y: figure.Axis{Ticks: 3},
	}
	if len(n.Counts) == 0 {
		return c
	}
	c.X.Min, c.X.Max = n.Edges[0], n.Edges[len(n.Edges)-1]
	if len(n.Counts) == 1 {
		c.X.At = []float64{(c.X.Min + c.X.Max) / 2}
	}
	c.Y.Max = float64(slices.Max(n.Counts)) * 1.05
	counts := make([]float64, len(n.Edges)) // back to 0 at the last edge
	for i, k := range n.Counts {
		counts[i] = float64(k)
	}
	c.Marks = []figure.Mark{figure.StepBand{X: n.Edges, Lo: make([]float64, len(n.Edges)), Hi: counts}, figure.Steps{X: n.Edges, Y: counts}}
	return c
}

// tick writes a number at an axis.
func tick(v float64) string {
	if v != 0 && math.Abs(v) < 1e-3 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return figure.SI(v)
}
