package report

import (
	"fmt"
	"math"
	"strings"

	"netspace/analysis"
	"netspace/figure"
	"netspace/study"
)

// banded reports whether the overlay of distributions shows their confidence
// bands: where these are few and narrow enough to be told apart. Each space is
// drawn alone with its band in any case.
func banded(f analysis.Findings) bool {
	for _, d := range f.Distributions {
		if d.Epsilon > 0.2 {
			return false
		}
	}
	return len(f.Spaces) <= 3
}

// errorAxis is the errors worth seeing, with a little room around them.
func errorAxis(f analysis.Findings) figure.Axis {
	pad := math.Max((f.Shown.Hi-f.Shown.Lo)*0.04, 0.25)
	return figure.Axis{Label: "error (%)", Min: math.Max(0, f.Shown.Lo-pad), Max: math.Min(100, f.Shown.Hi+pad)}
}

// edf is the overlay of all distributions.
func edf(f analysis.Findings) *figure.Chart {
	ch := &figure.Chart{
		Width: 980, Height: 480,
		Alt: "Error distribution functions of " + labels(f),
		X:   errorAxis(f),
		Y:   figure.Axis{Label: "share of networks with at most this error", Min: 0, Max: 1},
	}
	ch.Marks = append(ch.Marks, figure.VLine{X: f.EMax, Label: "area to " + percent0(f.EMax)})
	if banded(f) {
		for i, d := range f.Distributions {
			ch.Marks = append(ch.Marks, band(i, d))
		}
	}
	for i, s := range f.Spaces {
		ch.Marks = append(ch.Marks, steps(i, s.Label, f.Distributions[i]))
		ch.Legend = append(ch.Legend, figure.Entry{
			Series: i, Text: s.Label,
			Note: fmt.Sprintf("n %d · min %.1f · mean %.1f", s.N, s.Min.Value, s.Mean.Value),
		})
	}
	return ch
}

// edfEach is the distribution of one space with its band, before those of the others.
func edfEach(f analysis.Findings, i int) *figure.Chart {
	ch := &figure.Chart{
		Width: 330, Height: 220, Title: f.Spaces[i].Label,
		Alt: "Error distribution function of " + f.Spaces[i].Label + " with its confidence band",
		X:   errorAxis(f),
		Y:   figure.Axis{Min: 0, Max: 1, Ticks: 4},
	}
	for j, d := range f.Distributions {
		if j != i {
			ch.Marks = append(ch.Marks, figure.Steps{Series: -1, X: d.X, Y: d.F, Faint: true})
		}
	}
	ch.Marks = append(ch.Marks, band(i, f.Distributions[i]), steps(i, f.Spaces[i].Label, f.Distributions[i]))
	return ch
}

func steps(series int, label string, d analysis.Distribution) figure.Steps {
	return figure.Steps{Series: series, X: d.X, Y: d.F, Title: label}
}

func band(series int, d analysis.Distribution) figure.StepBand {
	return figure.StepBand{Series: series, X: d.X, Lo: d.Lo, Hi: d.Hi, Hi0: math.Min(1, d.Epsilon)}
}

// normalised is the overlay of the distributions at equal complexity; nil where
// there is none.
func normalised(f analysis.Findings) *figure.Chart {
	n := f.Normalised
	if n == nil {
		return nil
	}
	ch := &figure.Chart{
		Width: 520, Height: 340,
		Alt: "Error distribution functions of " + labels(f) + ", normalised by " + n.Measure,
		X:   errorAxis(f),
		Y:   figure.Axis{Label: "share, normalised by " + n.Measure, Min: 0, Max: 1},
	}
	for i, s := range f.Spaces {
		ch.Marks = append(ch.Marks, steps(i, s.Label, n.Distributions[i]))
		ch.Legend = append(ch.Legend, figure.Entry{Series: i, Text: s.Label})
	}
	return ch
}

// search is the efficiency of random search in every space.
func search(f analysis.Findings) *figure.Chart {
	ch := &figure.Chart{
		Width: 520, Height: 340,
		Alt:    "Expected best error against the number of networks drawn, for " + labels(f),
		X:      figure.Axis{Label: "networks drawn", Log: true, Min: 1, Max: 2},
		Y:      figure.Axis{Label: "expected best error (%)", Min: math.Inf(1), Max: math.Inf(-1)},
		Corner: figure.TopRight,
	}
	for i, s := range f.Spaces {
		e := f.Search[i]
		x := make([]float64, len(e.K))
		for j, k := range e.K {
			x[j] = float64(k)
			// Failures lift the expectation of one draw far above all else.
			ch.Y.Max = math.Max(ch.Y.Max, math.Min(e.Mean[j], s.Median.Value*1.3))
		}
		ch.X.Max = math.Max(ch.X.Max, float64(s.N))
		ch.Y.Min = math.Min(ch.Y.Min, s.Min.Value)
		ch.Marks = append(ch.Marks, figure.Line{Series: i, X: x, Y: e.Mean, Width: 2, Title: s.Label})
		ch.Legend = append(ch.Legend, figure.Entry{Series: i, Text: s.Label})
	}
	pad := math.Max((ch.Y.Max-ch.Y.Min)*0.05, 0.1)
	ch.Y.Min, ch.Y.Max = math.Max(0, ch.Y.Min-pad), ch.Y.Max+pad
	return ch
}

// titled is up to how many points of a figure say, under the pointer, which
// network they are: with more the page would grow too large.
const titled = 1500

// against is the scatter of error against the complexity of a relation.
func against(f analysis.Findings, relation int) *figure.Chart {
	r := f.Relations[relation]
	total := 0
	for _, s := range f.Spaces {
		total += s.N
	}
	ch := &figure.Chart{
		Width: 350, Height: 290,
		Alt: "Error against " + r.Measure + " for " + labels(f),
		X:   figure.Axis{Label: r.Measure, Log: r.Range.Hi/r.Range.Lo > 4, Decimal: true, Format: figure.SI, Ticks: 4},
		Y:   errorAxis(f),
	}
	ch.X.Min, ch.X.Max = padded(r.Range, ch.X.Log, 1.06, math.Max((r.Range.Hi-r.Range.Lo)*0.05, r.Range.Hi*1e-3))
	for i, s := range f.Spaces {
		p := figure.Points{Series: i, X: r.Values[i], Y: s.Errors, Failed: failed(s), Size: dotSize(total)}
		if total <= titled {
			for j, e := range s.Errors {
				p.Titles = append(p.Titles, fmt.Sprintf("%s · %s · %s %s", s.Label, percent(e), figure.SI(r.Values[i][j]), r.Measure))
			}
		}
		ch.Marks = append(ch.Marks, p)
	}
	return ch
}

// padded is a range with room at its ends: a factor on a logarithmic axis, else
// an amount.
func padded(s analysis.Span, log bool, factor, amount float64) (lo, hi float64) {
	if log {
		return s.Lo / factor, s.Hi * factor
	}
	return s.Lo - amount, s.Hi + amount
}

func failed(s analysis.Space) []bool {
	f := make([]bool, len(s.Finished))
	for i, t := range s.Finished {
		f[i] = t.State == study.Failed
	}
	return f
}

// dotSize shrinks the dots of a scatter as they become many.
func dotSize(n int) float64 {
	return math.Min(3.2, math.Max(1.2, 3.6-0.5*math.Log10(float64(n))))
}

// parameter is the scatter of error against a parameter of one space, with the
// likely range of good values.
func parameter(f analysis.Findings, space int, p analysis.Parameter) *figure.Chart {
	s, label := f.Spaces[space], symbol(p)
	span := analysis.Span{Lo: p.Distinct[0], Hi: p.Distinct[len(p.Distinct)-1]}
	ch := &figure.Chart{
		Width: 262, Height: 205, Title: label,
		Alt: fmt.Sprintf("Error against %s in %s", label, s.Label),
		X:   figure.Axis{Log: span.Lo > 0 && span.Hi/span.Lo >= 8, Ticks: 5},
		Y:   errorAxis(f),
	}
	ch.Y.Label, ch.Y.Ticks = "", 4
	ch.X.Min, ch.X.Max = padded(span, ch.X.Log, 1.12, (span.Hi-span.Lo)*0.06)
	points := figure.Points{Series: space, X: p.Values, Size: dotSize(2 * len(p.Values))}
	for _, i := range p.Networks {
		points.Y = append(points.Y, s.Errors[i])
		points.Failed = append(points.Failed, s.Finished[i].State == study.Failed)
	}
	if len(p.Distinct) <= 6 {
		ch.X.At, points.Jitter = p.Distinct, 5
	}
	if r := p.Best; r != nil {
		ch.Note = shortRange(*r)
		ch.Marks = append(ch.Marks, figure.VSpan{Series: space, Lo: r.Lo, Best: r.Best, Hi: r.Hi})
	}
	ch.Marks = append(ch.Marks, points)
	return ch
}

// mostCurves bounds the training curves drawn of one space.
const mostCurves = 120

// least error that a logarithmic axis shows, percent.
const leastError = 0.05

// curves are the training curves of a space: all of them faint, the best bold,
// the worst dotted. nil if no network has two points.
func curves(f analysis.Findings, space int) *figure.Chart {
	if len(f.Curves[space]) == 0 {
		return nil
	}
	s := f.Spaces[space]
	ch := &figure.Chart{
		Width: 350, Height: 260, Title: s.Label,
		Alt: "Validation error per epoch in " + s.Label,
		X:   figure.Axis{Label: "epoch", NoGrid: true, Ticks: 5, Min: math.Inf(1), Max: math.Inf(-1)},
		Y:   figure.Axis{Label: "validation error (%)", Log: true, Min: math.Inf(1), Max: 0, At: []float64{1, 2, 5, 10, 15, 20, 30, 40, 60, 80}},
	}
	var faint, bold []figure.Mark
	for _, c := range f.Curves[space] {
		if c.Of > mostCurves && c.Rank > 0 && c.Rank < c.Of-1 && c.Rank*mostCurves/c.Of == (c.Rank-1)*mostCurves/c.Of {
			continue
		}
		x, y := points(c)
		t := s.Finished[c.Network]
		l := figure.Line{Series: space, X: x, Y: y, Title: fmt.Sprintf("network %d · %s", t.Index, percent(t.Error))}
		switch c.Rank {
		case 0:
			l.Width = 2.6
			bold = append(bold, l)
		case c.Of - 1:
			l.Series, l.Dashed = -1, true
			bold = append(bold, l)
		default:
			l.Faint, l.Width = true, 1.2
			faint = append(faint, l)
		}
	}
	for _, all := range f.Curves { // one range for all spaces
		for _, c := range all {
			x, y := points(c)
			for j := range x {
				ch.X.Min, ch.X.Max = math.Min(ch.X.Min, x[j]), math.Max(ch.X.Max, x[j])
				ch.Y.Min, ch.Y.Max = math.Min(ch.Y.Min, y[j]), math.Max(ch.Y.Max, y[j])
			}
		}
	}
	ch.Y.Min, ch.Y.Max = ch.Y.Min/1.06, ch.Y.Max*1.04
	ch.X.At = whole(ch.X.Min, ch.X.Max)
	ch.Marks = append(faint, bold...)
	return ch
}

func points(c analysis.Curve) (x, y []float64) {
	for i, e := range c.Epochs {
		x, y = append(x, float64(e)), append(y, math.Max(c.Errors[i], leastError))
	}
	return x, y
}

// whole are a few whole numbers from lo to hi, with the last.
func whole(lo, hi float64) []float64 {
	step := math.Max(1, math.Ceil((hi-lo)/8))
	var at []float64
	for v := hi; v >= lo; v -= step {
		at = append([]float64{v}, at...)
	}
	return at
}

func labels(f analysis.Findings) string {
	names := make([]string, len(f.Spaces))
	for i, s := range f.Spaces {
		names[i] = s.Label
	}
	return strings.Join(names, ", ")
}
