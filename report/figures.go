package report

import (
	"fmt"
	"math"

	"netspace/arch"
	"netspace/figure"
	"netspace/stats"
	"netspace/study"
)

// banded reports whether the overlay of EDFs shows their confidence bands:
// where these are few and narrow enough to be told apart. Each space is drawn
// alone with its band in any case.
func (c Comparison) banded() bool {
	for _, s := range c.Spaces {
		if stats.DKW(s.N, level) > 0.2 {
			return false
		}
	}
	return len(c.Spaces) <= 3
}

// errorRange is the range of errors that figures show: from just under the best
// to the worst that is no outlier by Tukey's fence (half again the middle half
// above it), and at least to emax. Failures, at the error of chance, stay out of it.
func (c Comparison) errorRange() (lo, hi float64) {
	var done []float64
	for _, s := range c.Spaces {
		for _, t := range s.Finished {
			if t.State == study.Done {
				done = append(done, t.Error)
			}
		}
	}
	f, err := stats.NewEDF(done, nil)
	if err != nil { // only failures
		return 0, 100
	}
	q1, q3 := f.Quantile(0.25), f.Quantile(0.75)
	lo, hi = f.X[0], c.EMax
	for _, e := range f.X {
		if e <= q3+1.5*(q3-q1) {
			hi = math.Max(hi, e)
		}
	}
	pad := math.Max((hi-lo)*0.04, 0.25)
	return math.Max(0, lo-pad), math.Min(100, hi+pad)
}

func (c Comparison) errorAxis() figure.Axis {
	lo, hi := c.errorRange()
	return figure.Axis{Label: "error (%)", Min: lo, Max: hi}
}

// edf is the overlay of all EDFs.
func (c Comparison) edf() *figure.Chart {
	ch := &figure.Chart{
		Width: 980, Height: 480,
		Alt: "Error distribution functions of " + c.labels(),
		X:   c.errorAxis(),
		Y:   figure.Axis{Label: "share of networks with at most this error", Min: 0, Max: 1},
	}
	ch.Marks = append(ch.Marks, figure.VLine{X: c.EMax, Label: "area to " + percent0(c.EMax)})
	if c.banded() {
		for i, s := range c.Spaces {
			ch.Marks = append(ch.Marks, s.band(i))
		}
	}
	for i, s := range c.Spaces {
		ch.Marks = append(ch.Marks, s.steps(i, nil))
		ch.Legend = append(ch.Legend, figure.Entry{
			Series: i, Text: s.Label,
			Note: fmt.Sprintf("n %d · min %.1f · mean %.1f", s.N, s.Min.Value, s.Mean.Value),
		})
	}
	return ch
}

// edfEach is the EDF of one space with its band, before those of the others.
func (c Comparison) edfEach(i int) *figure.Chart {
	ch := &figure.Chart{
		Width: 330, Height: 220, Title: c.Spaces[i].Label,
		Alt: "Error distribution function of " + c.Spaces[i].Label + " with its confidence band",
		X:   c.errorAxis(),
		Y:   figure.Axis{Min: 0, Max: 1, Ticks: 4},
	}
	for j, s := range c.Spaces {
		if j != i {
			f := s.distribution(nil)
			x, y := stairs(f, ch.X)
			ch.Marks = append(ch.Marks, figure.Line{Series: -1, X: x, Y: y, Faint: true, Width: 1})
		}
	}
	ch.Marks = append(ch.Marks, c.Spaces[i].band(i), c.Spaces[i].steps(i, nil))
	return ch
}

// stairs is a step curve as a line.
func stairs(f stats.EDF, a figure.Axis) (x, y []float64) {
	x, y = []float64{math.Min(a.Min, f.X[0])}, []float64{0}
	for i, v := range f.X {
		x, y = append(x, v, v), append(y, y[len(y)-1], f.F[i])
	}
	return append(x, math.Max(a.Max, f.X[len(f.X)-1])), append(y, 1)
}

// distribution is the space's EDF; its errors were checked when it was summarised.
func (s Space) distribution(weights []float64) stats.EDF {
	f, _ := stats.NewEDF(s.Errors, weights)
	return f
}

func (s Space) steps(series int, weights []float64) figure.Steps {
	f := s.distribution(weights)
	return figure.Steps{Series: series, X: f.X, Y: f.F, Title: s.Label}
}

func (s Space) band(series int) figure.StepBand {
	f, eps := s.distribution(nil), stats.DKW(s.N, level)
	b := figure.StepBand{Series: series, X: f.X, Hi0: math.Min(1, eps)}
	for _, v := range f.F {
		b.Lo = append(b.Lo, math.Max(0, v-eps))
		b.Hi = append(b.Hi, math.Min(1, v+eps))
	}
	return b
}

// normalised is the overlay of EDFs normalised by a complexity, and in how many
// bins it compares how many networks; nil where there is nothing to compare.
func (c Comparison) normalised(by complexity) (*figure.Chart, string) {
	if len(c.Spaces) < 2 {
		return nil, ""
	}
	var costs [][]float64
	for _, s := range c.Spaces {
		costs = append(costs, s.complexities(by))
	}
	fewest, all := c.Spaces[0].N, 0
	for _, s := range c.Spaces {
		fewest, all = min(fewest, s.N), all+s.N
	}
	bins := min(10, fewest/5) // a handful of networks in each
	if bins < 3 {
		return nil, ""
	}
	w, err := stats.Normalise(costs, bins)
	if err != nil {
		return nil, ""
	}
	used := 0
	for _, n := range w.Used {
		used += n
	}
	if 2*used < all { // what is left would not speak for the spaces
		return nil, ""
	}
	ch := &figure.Chart{
		Width: 520, Height: 340,
		Alt: "Error distribution functions of " + c.labels() + ", normalised by " + by.name,
		X:   c.errorAxis(),
		Y:   figure.Axis{Label: "share, normalised by " + by.name, Min: 0, Max: 1},
	}
	for i, s := range c.Spaces {
		ch.Marks = append(ch.Marks, s.steps(i, w.Weights[i]))
		ch.Legend = append(ch.Legend, figure.Entry{Series: i, Text: s.Label})
	}
	return ch, fmt.Sprintf("%d of %d bins of %s hold networks of every space; the %d of %d networks in them are weighed so that each bin counts alike.", w.Bins, bins, by.name, used, all)
}

// search is the efficiency of random search in every space.
func (c Comparison) search() *figure.Chart {
	ch := &figure.Chart{
		Width: 520, Height: 340,
		Alt:    "Expected best error against the number of networks drawn, for " + c.labels(),
		X:      figure.Axis{Label: "networks drawn", Log: true, Min: 1, Max: 2},
		Y:      figure.Axis{Label: "expected best error (%)", Min: math.Inf(1), Max: math.Inf(-1)},
		Corner: figure.TopRight,
	}
	for i, s := range c.Spaces {
		e, err := stats.SearchEfficiency(s.Errors, spread(s.N, 48))
		if err != nil {
			continue
		}
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

// spread is at most about most whole numbers from 1 to n, evenly on a
// logarithmic scale, with both ends.
func spread(n, most int) []int {
	var ks []int
	for i := range most {
		k := int(math.Round(math.Pow(float64(n), float64(i)/float64(most-1))))
		if len(ks) == 0 || k > ks[len(ks)-1] {
			ks = append(ks, k)
		}
	}
	return ks
}

// complexity is one of the three measures of a network.
type complexity struct {
	name string
	of   func(study.Trial) float64
}

// complexities are the measures of DDS §3.1 in the order of the page.
func complexities() []complexity {
	return []complexity{
		{"flops", func(t study.Trial) float64 { return float64(t.Complexity.Flops) }},
		{"params", func(t study.Trial) float64 { return float64(t.Complexity.Params) }},
		{"acts", func(t study.Trial) float64 { return float64(t.Complexity.Acts) }},
	}
}

func (s Space) complexities(by complexity) []float64 {
	out := make([]float64, len(s.Finished))
	for i, t := range s.Finished {
		out[i] = by.of(t)
	}
	return out
}

// titled is up to how many points of a figure say, under the pointer, which
// network they are: with more the page would grow too large.
const titled = 1500

// against is the scatter of error against a complexity.
func (c Comparison) against(by complexity) *figure.Chart {
	lo, hi := math.Inf(1), math.Inf(-1)
	total := 0
	for _, s := range c.Spaces {
		total += s.N
		for _, v := range s.complexities(by) {
			lo, hi = math.Min(lo, v), math.Max(hi, v)
		}
	}
	ch := &figure.Chart{
		Width: 350, Height: 290,
		Alt: "Error against " + by.name + " for " + c.labels(),
		X:   figure.Axis{Label: by.name, Log: hi/lo > 4, Decimal: true, Format: figure.SI, Ticks: 4},
		Y:   c.errorAxis(),
	}
	if ch.X.Log {
		ch.X.Min, ch.X.Max = lo/1.06, hi*1.06
	} else {
		pad := math.Max((hi-lo)*0.05, hi*1e-3)
		ch.X.Min, ch.X.Max = lo-pad, hi+pad
	}
	for i, s := range c.Spaces {
		p := figure.Points{Series: i, X: s.complexities(by), Y: s.Errors, Failed: s.failed(), Size: dotSize(total)}
		if total <= titled {
			for _, t := range s.Finished {
				p.Titles = append(p.Titles, fmt.Sprintf("%s · %s · %s %s", s.Label, percent(t.Error), figure.SI(by.of(t)), by.name))
			}
		}
		ch.Marks = append(ch.Marks, p)
	}
	return ch
}

func (s Space) failed() []bool {
	f := make([]bool, len(s.Finished))
	for i, t := range s.Finished {
		f[i] = t.State == study.Failed
	}
	return f
}

// dotSize shrinks the dots of a scatter as they become many.
func dotSize(n int) float64 {
	return math.Min(3.2, math.Max(1.2, 3.6-0.5*math.Log10(float64(n))*1.0))
}

// parameter is the scatter of error against a parameter of one space, with the
// likely range of good values.
func (c Comparison) parameter(i int, p column) *figure.Chart {
	s := c.Spaces[i]
	lo, hi := p.span()
	ch := &figure.Chart{
		Width: 262, Height: 205, Title: p.Label,
		Alt: fmt.Sprintf("Error against %s in %s", p.Label, s.Label),
		X:   figure.Axis{Log: p.log(), Ticks: 5},
		Y:   c.errorAxis(),
	}
	ch.Y.Label, ch.Y.Ticks = "", 4
	if ch.X.Log {
		ch.X.Min, ch.X.Max = lo/1.12, hi*1.12
	} else {
		pad := (hi - lo) * 0.06
		ch.X.Min, ch.X.Max = lo-pad, hi+pad
	}
	jitter := 0.0
	if distinct := distinctValues(p.Value); len(distinct) <= 6 {
		ch.X.At, jitter = distinct, 5
	}
	var x, y []float64
	var failed []bool
	for j, v := range p.Value {
		if !math.IsNaN(v) {
			x, y, failed = append(x, v), append(y, s.Errors[j]), append(failed, s.Finished[j].State == study.Failed)
		}
	}
	if r, err := stats.BestRange(y, x); err == nil {
		ch.Note = shortRange(r)
		ch.Marks = append(ch.Marks, figure.VSpan{Series: i, Lo: r.Lo, Best: r.Best, Hi: r.Hi})
	}
	ch.Marks = append(ch.Marks, figure.Points{Series: i, X: x, Y: y, Failed: failed, Size: dotSize(2 * len(x)), Jitter: jitter})
	return ch
}

func distinctValues(v []float64) []float64 {
	f, err := stats.NewEDF(finite(v), nil)
	if err != nil {
		return nil
	}
	return f.X
}

func finite(v []float64) []float64 {
	var out []float64
	for _, x := range v {
		if !math.IsNaN(x) {
			out = append(out, x)
		}
	}
	return out
}

// mostCurves bounds the training curves drawn of one space.
const mostCurves = 120

// curves are the training curves of a space: all of them faint, the best bold,
// the worst dotted. nil if no network has two points.
func (c Comparison) curves(i int) *figure.Chart {
	ranked := c.Spaces[i].Ranked()
	ch := &figure.Chart{
		Width: 350, Height: 260, Title: c.Spaces[i].Label,
		Alt: "Validation error per epoch in " + c.Spaces[i].Label,
		X:   figure.Axis{Label: "epoch", NoGrid: true, Ticks: 5, Min: math.Inf(1), Max: math.Inf(-1)},
		Y:   figure.Axis{Label: "validation error (%)", Log: true, Min: math.Inf(1), Max: 0, At: []float64{1, 2, 5, 10, 15, 20, 30, 40, 60, 80}},
	}
	var faint, bold []figure.Mark
	for rank, t := range ranked {
		if len(ranked) > mostCurves && rank > 0 && rank < len(ranked)-1 && rank*mostCurves/len(ranked) == (rank-1)*mostCurves/len(ranked) {
			continue
		}
		x, y := validation(t)
		if len(x) < 2 {
			continue
		}
		l := figure.Line{Series: i, X: x, Y: y, Title: fmt.Sprintf("network %d · %s", t.Index, percent(t.Error))}
		switch rank {
		case 0:
			l.Width = 2.6
			bold = append(bold, l)
		case len(ranked) - 1:
			l.Series, l.Dashed = -1, true
			bold = append(bold, l)
		default:
			l.Faint, l.Width = true, 1.2
			faint = append(faint, l)
		}
	}
	if len(bold)+len(faint) == 0 {
		return nil
	}
	for _, s := range c.Spaces { // one range for all spaces
		for _, t := range s.Ranked() {
			x, y := validation(t)
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

// validation is the validation error of the epochs after which it was measured.
func validation(t study.Trial) (x, y []float64) {
	for _, e := range t.Epochs {
		if e.Evaluated {
			x, y = append(x, float64(e.Epoch)), append(y, math.Max(e.ValError, 0.05))
		}
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

// drawnNetworks are the best of each space that are drawn.
const drawnNetworks = 4

// drawings are the best networks of all spaces on the axes that they share.
type drawings struct {
	best   [][]drawing // by space, the best first
	blocks int
	lo, hi float64 // widths
}

// drawing is a network with the linear function u_j = w_0 + w_a·j whose
// quantisation is closest to its widths: its own for a RegNet, the fitted one for
// an AnyNet (DDS §3.3), none for other families.
type drawing struct {
	study.Trial
	line   []float64
	fitted bool
	efit   float64 // of the fit: the mean of |log(ŵ_j / w_j)|
}

func newDrawing(t study.Trial) drawing {
	d := drawing{Trial: t}
	var w0, wa float64
	switch n := t.Spec.Network.(type) {
	case arch.RegNet:
		d.line, w0, wa = make([]float64, n.Depth), n.W0, n.WA
	case arch.AnyNet:
		if a, ok := t.Spec.AnyNet(); ok {
			f := a.Fit()
			d.line, w0, wa = make([]float64, f.Depth), f.W0, f.WA
			d.fitted, d.efit = true, f.Error
		}
	}
	for j := range d.line {
		d.line[j] = w0 + wa*float64(j)
	}
	return d
}

func (c Comparison) bestNetworks() drawings {
	d := drawings{best: make([][]drawing, len(c.Spaces)), blocks: 1, lo: math.Inf(1)}
	for i, s := range c.Spaces {
		ranked := s.Ranked()
		for _, t := range ranked[:min(drawnNetworks, len(ranked))] {
			n := newDrawing(t)
			d.best[i] = append(d.best[i], n)
			widths, _ := silhouette(t.Spec)
			d.blocks = max(d.blocks, len(widths))
			for _, w := range widths { // the lines may leave the axes
				d.lo, d.hi = math.Min(d.lo, w), math.Max(d.hi, w)
			}
		}
	}
	return d
}

// chart draws the widths of a network's blocks and its line (DDS fig. 8).
func (d drawings) chart(space, rank int) *figure.Chart {
	t := d.best[space][rank]
	widths, stage := silhouette(t.Spec)
	ch := &figure.Chart{
		Width: 262, Height: 170,
		Alt: "Widths of the blocks of a network: " + describe(t.Spec),
		X:   figure.Axis{Min: 0.4, Max: float64(d.blocks) + 0.6, NoGrid: true, At: whole(1, float64(d.blocks))},
		Y:   figure.Axis{Log: true, Min: d.lo / 1.5, Max: d.hi * 1.35, Ticks: 4},
		Marks: []figure.Mark{
			figure.Bars{Series: space, Y: widths, Group: stage},
		},
	}
	if t.line != nil {
		x := make([]float64, len(t.line))
		for j := range x {
			x[j] = float64(j + 1)
		}
		ch.Marks = append(ch.Marks, figure.Line{Series: -1, X: x, Y: t.line, Dashed: true, Width: 1.5})
	}
	return ch
}

func (c Comparison) labels() string {
	text := ""
	for i, s := range c.Spaces {
		if i > 0 {
			text += ", "
		}
		text += s.Label
	}
	return text
}
