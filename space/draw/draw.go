// Package draw draws populations of networks.
package draw

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"netspace/figure"
	"netspace/space"
)

// The size of one histogram, in pixels, and the largest number side by side.
const (
	width   = 300.0
	height  = 190.0
	columns = 4
	title   = 30.0
)

// Population draws histograms of the complexity and of every drawn parameter
// of a population as one SVG. A parameter that each stage has is a row of its
// own, unless it is the same in all. Powers of two, and numbers that span a
// factor of 16, have a logarithmic axis. The same networks give the same bytes.
func Population(name string, networks []space.Network) []byte {
	rows := [][]panel{complexity(networks)}
	if len(networks) > 0 {
		rows = append(rows, drawn(networks)...)
	}
	var body strings.Builder
	y, theme := title, figure.Print()
	for _, row := range rows {
		for i, p := range row {
			if i > 0 && i%columns == 0 {
				y += height
			}
			chart := p.chart()
			fmt.Fprintf(&body, `<g transform="translate(%g %g)">%s</g>`+"\n", float64(i%columns)*width, y, chart.SVG(theme, true))
		}
		y += height
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" viewBox="0 0 %g %g">`+"\n", columns*width, y, columns*width, y)
	fmt.Fprintf(&out, `<rect width="100%%" height="100%%" fill="%s"/>`+"\n", theme.Surface)
	fmt.Fprintf(&out, `<text x="12" y="20" font-family="%s" font-size="14" font-weight="600" fill="%s">%s</text>`+"\n", theme.Font, theme.Ink, escape.Replace(fmt.Sprintf("%s: %d networks", name, len(networks))))
	out.WriteString(body.String())
	out.WriteString("</svg>\n")
	return []byte(out.String())
}

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// panel is one histogram.
type panel struct {
	label   string
	values  []float64
	counted bool // a complexity, for which powers of two mean nothing
}

func complexity(networks []space.Network) []panel {
	rows := []panel{{label: "flops", counted: true}, {label: "params", counted: true}, {label: "acts", counted: true}}
	for _, n := range networks {
		for i, v := range []int64{n.Complexity.Flops, n.Complexity.Params, n.Complexity.Acts} {
			rows[i].values = append(rows[i].values, float64(v))
		}
	}
	return rows
}

// drawn makes a row for each parameter that stages have, and rows of all others.
func drawn(networks []space.Network) [][]panel {
	var shared []panel
	var rows [][]panel
	field := ""
	for i, d := range networks[0].Asked {
		p := panel{label: d.Name}
		for _, n := range networks {
			p.values = append(p.values, n.Asked[i].Value)
		}
		_, f, ok := strings.Cut(d.Name, "].")
		switch {
		case !ok:
			shared = append(shared, p)
		case f == field:
			rows[len(rows)-1] = append(rows[len(rows)-1], p)
		default:
			field = f
			rows = append(rows, []panel{p})
		}
	}
	for i, row := range rows {
		same := func(p panel) bool { return slices.Equal(p.values, row[0].values) }
		if !slices.ContainsFunc(row, func(p panel) bool { return !same(p) }) {
			_, f, _ := strings.Cut(row[0].label, "].")
			shared = append(shared, panel{label: f + " of all stages", values: row[0].values})
			rows[i] = nil
		}
	}
	rows = slices.DeleteFunc(rows, func(row []panel) bool { return row == nil })
	if len(shared) > 0 {
		rows = append(rows, shared)
	}
	return rows
}

// maxBars is the largest number of bars of a histogram.
const maxBars = 24

func (p panel) chart() *figure.Chart {
	c := &figure.Chart{Width: width, Height: height, Title: p.label, Alt: "histogram of " + p.label}
	c.X = figure.Axis{Format: label, Ticks: 4}
	c.Y = figure.Axis{Ticks: 3}
	if len(p.values) == 0 {
		return c
	}
	edges, logarithmic := bins(p.values)
	counts := make([]float64, len(edges))
	for _, v := range p.values {
		i, found := slices.BinarySearch(edges, v)
		if !found {
			i--
		}
		counts[min(max(i, 0), len(edges)-2)]++
	}
	c.X.Min, c.X.Max, c.X.Log = edges[0], edges[len(edges)-1], logarithmic
	c.X.Decimal = p.counted
	if slices.Min(p.values) == slices.Max(p.values) {
		c.X.At = p.values[:1]
	}
	c.Y.Max = slices.Max(counts) * 1.05
	c.Marks = []figure.Mark{figure.StepBand{X: edges, Lo: make([]float64, len(edges)), Hi: counts}, figure.Steps{X: edges, Y: counts}}
	return c
}

// label writes a tick.
func label(v float64) string {
	if v != 0 && math.Abs(v) < 1e-3 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return figure.SI(v)
}

// bins gives the edges of bars: one bar around each value if there are few, else
// bars of one width, on the axis that Population describes. Where values of the
// quantum are further apart than such bars, each has a bar of its own: a bar
// that no value can fall into would look like a gap.
func bins(values []float64) (edges []float64, logarithmic bool) {
	distinct := slices.Compact(slices.Sorted(slices.Values(values)))
	lo, hi := distinct[0], distinct[len(distinct)-1]
	logarithmic = lo > 0 && (hi >= 16*lo || hi > lo && !slices.ContainsFunc(distinct, func(v float64) bool { m, _ := math.Frexp(v); return m != 0.5 }))
	to, from := func(v float64) float64 { return v }, func(v float64) float64 { return v }
	if logarithmic {
		to, from = math.Log, math.Exp
	}
	if len(distinct) <= maxBars {
		first, last := 0.5, 0.5
		if n := len(distinct); n > 1 {
			first, last = (to(distinct[1])-to(lo))/2, (to(hi)-to(distinct[n-2]))/2
		}
		edges = append(edges, from(to(lo)-first))
		for i := 1; i < len(distinct); i++ {
			edges = append(edges, from((to(distinct[i-1])+to(distinct[i]))/2))
		}
		return append(edges, from(to(hi)+last)), logarithmic
	}
	// Edges lie halfway between two possible values.
	q := quantum(distinct)
	last := math.Inf(-1)
	for i := range maxBars {
		e := from(to(lo) + (to(hi)-to(lo))*float64(i)/maxBars)
		if q > 0 {
			e = lo + (math.Ceil((e-lo)/q-1e-9)-0.5)*q
		}
		if logarithmic && e <= 0 {
			e = lo / 2
		}
		if e > last*(1+1e-9) {
			edges, last = append(edges, e), e
		}
	}
	return append(edges, hi+q/2), logarithmic
}

// quantum is the number of which the differences of ascending values are
// multiples, if that is the smallest of the differences; else 0.
func quantum(ascending []float64) float64 {
	q := math.Inf(1)
	for i := 1; i < len(ascending); i++ {
		q = min(q, ascending[i]-ascending[i-1])
	}
	for i := 1; i < len(ascending); i++ {
		if k := (ascending[i] - ascending[i-1]) / q; math.Abs(k-math.Round(k)) > 1e-3 {
			return 0
		}
	}
	return q
}
