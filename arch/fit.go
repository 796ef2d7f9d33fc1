package arch

import (
	"math"
	"slices"
)

// Fit is the quantised linear parametrisation that describes the block widths
// of a network best (DDS §3.3, fig. 9 and 10).
type Fit struct {
	Depth int     `json:"depth"`
	W0    float64 `json:"w0"`
	WA    float64 `json:"wa"`
	WM    float64 `json:"wm"`
	// The group width and bottleneck ratio to which ŵ is adjusted; 0 where the
	// stages do not share them.
	GroupWidth int     `json:"group_width,omitempty"`
	Bottleneck float64 `json:"bottleneck,omitempty"`
	Error      float64 `json:"e_fit"`  // mean over the blocks of |log(ŵ_j / w_j)|
	Widths     []int   `json:"widths"` // ŵ_j
}

// Fit searches w_0, w_a and w_m for the least e_fit, with d set to the depth of
// the network. Where the stages share one bottleneck ratio and one group width
// (up to what narrow stages cut it to), ŵ is adjusted as a RegNet's widths are.
// The widths of a RegNet are found exactly, with e_fit 0. n must be adjusted and valid.
//
// A width that decreases cannot be fitted: e_fit says how much is left.
func (n AnyNet) Fit() Fit {
	group, b := sharedGroup(n)
	shared, plain := newFitter(n, group, b), newFitter(n, 0, 0)
	if fit, ok := shared.exact(); ok {
		return fit
	}
	if fit, ok := plain.exact(); ok {
		return fit
	}
	if slices.ContainsFunc(n.Stages, func(s Stage) bool { return group > 0 && s.GroupWidth < s.mid() }) {
		return shared.search()
	}
	return plain.search() // one group per block is no width to adjust to
}

// run is a stretch of blocks of one width.
type run struct {
	width       int
	first, last int // blocks, from 0
	// log(w_0·w_m^level) of the levels that are built with this width; none if logLo > logHi.
	logLo, logHi float64
}

type fitter struct {
	widths []int
	logs   []float64 // of the widths
	runs   []run
	group  int // 0: no adjustment
	b      float64
	radix  int   // group widths are multiples of it
	cache  []int // width built for each multiple of 8
}

func newFitter(n AnyNet, group int, b float64) *fitter {
	f := &fitter{widths: n.Widths(), group: group, b: b, radix: max(1, n.Radix)}
	for j, w := range f.widths {
		f.logs = append(f.logs, math.Log(float64(w)))
		if k := len(f.runs) - 1; k >= 0 && f.runs[k].width == w {
			f.runs[k].last = j
			continue
		}
		f.runs = append(f.runs, run{width: w, first: j, last: j})
	}
	for i := range f.runs {
		lo, hi := f.interval(f.runs[i].width)
		f.runs[i].logLo, f.runs[i].logHi = math.Log(lo), math.Log(hi)
	}
	return f
}

// sharedGroup is the one group width and bottleneck ratio of all stages, as
// wide stages have it; 0 if there is none.
func sharedGroup(n AnyNet) (g int, b float64) {
	if !n.Block.Has().Groups || len(n.Stages) == 0 {
		return 0, 0
	}
	b = n.Stages[0].Bottleneck
	for _, s := range n.Stages {
		g = max(g, s.GroupWidth)
	}
	for _, s := range n.Stages {
		if s.Bottleneck != b || s.GroupWidth != g && s.GroupWidth != s.mid() {
			return 0, 0
		}
	}
	return g, b
}

// built is the width that a network gets where the line asks for units·8.
func (f *fitter) built(units int) int {
	units = max(1, units)
	if f.group == 0 {
		return WidthStep * units
	}
	for len(f.cache) <= units && units < 1<<13 {
		f.cache = append(f.cache, Stage{Width: WidthStep * max(1, len(f.cache)), Bottleneck: f.b, GroupWidth: f.group}.adjusted(f.radix).Width)
	}
	if units < len(f.cache) {
		return f.cache[units]
	}
	return Stage{Width: WidthStep * units, Bottleneck: f.b, GroupWidth: f.group}.adjusted(f.radix).Width
}

// interval is where w_0·w_m^level has to lie to be built with this width.
// Building is monotonous, so that it is one interval.
func (f *fitter) interval(width int) (lo, hi float64) {
	reach := 2
	if f.group > 0 {
		reach += int(math.Ceil(float64(f.group)*math.Max(f.b, 1))) / WidthStep
	}
	lo, hi = 2, 1
	for u := max(1, width/WidthStep-reach); u <= width/WidthStep+reach; u++ {
		if f.built(u) != width {
			continue
		}
		if lo > hi {
			lo = WidthStep*float64(u) - WidthStep/2
			if u == 1 {
				lo = 1 // what would round to 0 is 8 wide, too
			}
		}
		hi = WidthStep*float64(u) + WidthStep/2
	}
	return lo, hi
}

// slopes gives the interval of w_a/w_0 for which the blocks of every run are
// built with its width, when run i takes the levels lv[i] at this log(w_m).
//
// Block j needs a level s_j in l…h, say, so that
// l-½ ≤ log(1 + j·w_a/w_0)/log(w_m) ≤ h+½. The bound on the left is tightest
// for the first block of a run, the one on the right for the last.
func (f *fitter) slopes(lv []levels, logWM float64) (lo, hi float64) {
	hi = math.Inf(1)
	for i, r := range f.runs {
		if r.first > 0 {
			lo = math.Max(lo, (math.Exp((float64(lv[i].lo)-0.5)*logWM)-1)/float64(r.first))
		}
		if r.last > 0 {
			hi = math.Min(hi, (math.Exp((float64(lv[i].hi)+0.5)*logWM)-1)/float64(r.last))
		}
	}
	return lo, hi
}

// levels are the quantisation levels whose width is that of a run.
type levels struct{ lo, hi int }

// levelsAt gives for every run the levels that are built with its width at
// these parameters; where there is none, the nearest one.
func (f *fitter) levelsAt(logW0, logWM float64, lv []levels) {
	for i, r := range f.runs {
		lo, hi := int(math.Ceil((r.logLo-logW0)/logWM)), int(math.Floor((r.logHi-logW0)/logWM))
		if lo > hi {
			lo = int(math.Round(((r.logLo+r.logHi)/2 - logW0) / logWM))
			hi = lo
		}
		lv[i] = levels{max(lo, 0), max(hi, 0)}
	}
	lv[0].lo = 0 // block 0 is at level 0
}

// starts gives the interval of log(w_0) in which the levels of all runs are
// built with their widths, at this log(w_m); it may be empty. Its length is a
// concave function of log(w_m), since all bounds are linear.
func (f *fitter) starts(lv []levels, logWM float64) (lo, hi float64) {
	lo, hi = math.Inf(-1), math.Inf(1)
	for i, r := range f.runs {
		lo = math.Max(lo, r.logLo-float64(lv[i].lo)*logWM)
		hi = math.Min(hi, r.logHi-float64(lv[i].hi)*logWM)
	}
	return lo, hi
}

// The steps of the search for an exact parametrisation.
const (
	exactWM = 1500 // values of log w_m, from minWM on
	exactW0 = 17   // values of log w_0 within what the first run allows
	minWM   = 1.02
	samples = 33 // values of log w_m within what the levels allow
)

// exact looks for parameters that build exactly the widths. Which levels the
// runs take it learns from a grid over w_0 and w_m; for given levels the rest is
// solved: w_0 and w_m satisfy linear inequalities in their logarithms, and
// w_a/w_0 lies in an interval for each w_m. It prefers the levels that leave
// the most room to w_a.
func (f *fitter) exact() (Fit, bool) {
	for i, r := range f.runs {
		if r.logLo > r.logHi || i > 0 && r.width < f.runs[i-1].width {
			return Fit{}, false
		}
	}
	first := f.runs[0]
	if len(f.runs) == 1 {
		return f.fit(simplest(math.Exp(first.logLo), math.Exp(first.logHi)), 0, 2), true
	}
	// The second run is at least one level up, so that w_m is at most this.
	bottom, top := math.Log(minWM), f.runs[1].logHi-first.logLo
	best, room := solution{}, 0.0
	seen := map[string]bool{}
	lv := make([]levels, len(f.runs))
	var key []byte
	for i := range exactWM + 1 {
		logWM := bottom + (top-bottom)*float64(i)/exactWM
		for k := range exactW0 {
			f.levelsAt(first.logLo+(first.logHi-first.logLo)*float64(k)/(exactW0-1), logWM, lv)
			key = key[:0]
			for _, l := range lv {
				key = append(key, byte(l.lo), byte(l.lo>>8), byte(l.hi), byte(l.hi>>8))
			}
			if seen[string(key)] {
				continue
			}
			seen[string(key)] = true
			if s, r := f.solve(lv, bottom, top); r > room {
				s.lv = slices.Clone(lv)
				best, room = s, r
			}
		}
	}
	if room == 0 {
		return Fit{}, false
	}
	return f.polish(best)
}

// solution is a range of log(w_m) around its best value, for given levels.
type solution struct {
	lv              []levels
	from, best, end float64
}

// solve gives the range of log(w_m) in which the levels can be had, and how
// much room w_a has at its best value, 0 if none.
func (f *fitter) solve(lv []levels, bottom, top float64) (solution, float64) {
	length := func(logWM float64) float64 { lo, hi := f.starts(lv, logWM); return hi - lo }
	a, b := bottom, top
	for range 60 { // the length is concave: close in on its maximum
		l, r := a+(b-a)/3, b-(b-a)/3
		if length(l) < length(r) {
			a = l
		} else {
			b = r
		}
	}
	peak := (a + b) / 2
	if length(peak) <= 0 {
		return solution{}, 0
	}
	edge := func(out float64) float64 { // where the length becomes 0 between the peak and out
		if length(out) > 0 {
			return out
		}
		in := peak
		for range 40 {
			if m := (in + out) / 2; length(m) > 0 {
				in = m
			} else {
				out = m
			}
		}
		return in
	}
	from, end := edge(bottom), edge(top)
	s, room := solution{}, 0.0
	for i := range samples {
		logWM := from + (end-from)*(float64(i)+0.5)/samples
		lo, hi := f.slopes(lv, logWM)
		x0, x1 := f.starts(lv, logWM)
		if r := math.Min((hi-lo)/(hi+lo), x1-x0); lo < hi && r > room {
			s, room = solution{from: from, best: logWM, end: end}, r
		}
	}
	return s, room
}

// polish writes parameters that build the widths exactly with few digits.
func (f *fitter) polish(s solution) (Fit, bool) {
	logWM := s.best
	for digits := 1.0; digits <= 1e6; digits *= 10 {
		wm := math.Round(math.Exp(s.best)*digits) / digits
		if l := math.Log(wm); wm > 1 && l > s.from && l < s.end {
			if fit, ok := f.at(s.lv, wm); ok {
				return fit, true
			}
		}
	}
	return f.at(s.lv, math.Exp(logWM))
}

// at completes w_m by a w_0 and a w_a in the middle of what is allowed.
func (f *fitter) at(lv []levels, wm float64) (Fit, bool) {
	logWM := math.Log(wm)
	lo, hi := f.starts(lv, logWM)
	a, b := f.slopes(lv, logWM)
	if lo >= hi || a >= b {
		return Fit{}, false
	}
	for _, w0 := range []float64{simplest(math.Exp(lo), math.Exp(hi)), math.Exp((lo + hi) / 2)} {
		for _, wa := range []float64{simplest(a*w0, b*w0), (a + b) / 2 * w0} {
			if fit := f.fit(w0, wa, wm); fit.Error == 0 {
				return fit, true
			}
		}
	}
	return Fit{}, false
}

// simplest is a number well inside [lo, hi] with few digits.
func simplest(lo, hi float64) float64 {
	mid := (lo + hi) / 2
	quarter := (hi - lo) / 4
	for digits := 1.0 / 64; digits <= 1e9; digits *= 2 {
		step := 1 / digits
		if digits > 1 {
			step = math.Pow(10, -math.Ceil(math.Log10(digits)))
		}
		if v := math.Round(mid/step) * step; math.Abs(v-mid) <= quarter && v > 0 {
			return math.Round(v*1e9) / 1e9
		}
	}
	return mid
}

// fit evaluates parameters by building their RegNet.
func (f *fitter) fit(w0, wa, wm float64) Fit {
	out := Fit{Depth: len(f.widths), W0: w0, WA: wa, WM: wm, GroupWidth: f.group, Bottleneck: f.b, Widths: make([]int, len(f.widths))}
	f.line(w0, wa, wm, func(j, w int) {
		out.Widths[j] = w
		out.Error += math.Abs(math.Log(float64(w) / float64(f.widths[j])))
	})
	out.Error /= float64(len(f.widths))
	return out
}

// line gives ŵ_j block by block, by the arithmetic of RegNet.AppendStages.
func (f *fitter) line(w0, wa, wm float64, each func(j, w int)) {
	r := RegNet{W0: w0, WA: wa, WM: wm}
	logWM := math.Log(wm)
	level, width := math.Inf(-1), 0
	for j := range f.widths {
		if _, l := r.quantize(j, logWM); l != level {
			level, width = l, f.built(r.width(l)/WidthStep)
		}
		each(j, width)
	}
}

// error is e_fit, as fit computes it but for the last bits.
func (f *fitter) error(w0, wa, wm float64) float64 {
	sum, last, log := 0.0, 0, 0.0
	f.line(w0, wa, wm, func(j, w int) {
		if w != last {
			last, log = w, math.Log(float64(w))
		}
		sum += math.Abs(log - f.logs[j])
	})
	return sum / float64(len(f.widths))
}

// The steps of the grid search, per parameter, and of its refinements.
const (
	gridSteps = 32
	gridBest  = 12 // points that are refined
	refineMax = 60 // halvings and moves per point
)

// search is the grid search of DDS, refined around its best points.
func (f *fitter) search() Fit {
	lo, hi := float64(slices.Min(f.widths)), float64(slices.Max(f.widths))
	d := float64(max(1, len(f.widths)-1))
	type point struct{ w0, wa, wm, err float64 }
	var points []point
	for i := range gridSteps {
		w0 := math.Max(1, lo/2) * math.Pow(math.Max(hi, lo+8)/math.Max(1, lo/2), float64(i)/(gridSteps-1))
		for k := range gridSteps {
			wa := 0.0
			if k > 0 { // up to twice the slope from nothing to the widest block
				wa = 2 * hi / d * math.Pow(1.0/256, 1-float64(k)/(gridSteps-1))
			}
			for m := range gridSteps {
				wm := 1.1 * math.Pow(8/1.1, float64(m)/(gridSteps-1))
				points = append(points, point{w0, wa, wm, f.error(w0, wa, wm)})
				if wa == 0 {
					break // w_m has no effect
				}
			}
		}
	}
	slices.SortStableFunc(points, func(a, b point) int {
		switch {
		case a.err < b.err:
			return -1
		case a.err > b.err:
			return 1
		}
		return 0
	})
	best := points[0]
	for _, p := range points[:min(gridBest, len(points))] {
		step := 1.3
		for range refineMax {
			moved := false
			for _, q := range []point{
				{p.w0 * step, p.wa, p.wm, 0}, {p.w0 / step, p.wa, p.wm, 0}, {p.w0, p.wa * step, p.wm, 0}, {p.w0, p.wa / step, p.wm, 0},
				{p.w0, p.wa, 1 + (p.wm-1)*step, 0}, {p.w0, p.wa, 1 + (p.wm-1)/step, 0}, {p.w0 * step, p.wa / step, p.wm, 0}, {p.w0 / step, p.wa * step, p.wm, 0},
			} {
				if q.err = f.error(q.w0, q.wa, q.wm); q.err < p.err {
					p, moved = q, true
				}
			}
			if !moved {
				if step = math.Sqrt(step); step < 1.0005 {
					break
				}
			}
		}
		if p.err < best.err {
			best = p
		}
	}
	round := func(v float64) float64 { return math.Round(v*1000) / 1000 }
	short, full := f.fit(round(best.w0), round(best.wa), round(best.wm)), f.fit(best.w0, best.wa, best.wm)
	if short.WM > 1 && short.Error <= full.Error {
		return short
	}
	return full
}

// Fit fits the widths of any network: see AnyNet.Fit. An EfficientNet is
// fitted by its block widths alone. The error is Validate's.
func (s Spec) Fit() (Fit, error) {
	if err := s.Validate(); err != nil {
		return Fit{}, err
	}
	return s.blocks().Fit(), nil
}

// blocks is the network as stages of blocks with widths, whatever its family.
func (s Spec) blocks() AnyNet {
	if n, ok := s.Network.(EffNet); ok {
		a := AnyNet{Block: Basic}
		for _, st := range n.Stages {
			a.Stages = append(a.Stages, Stage{Depth: st.Depth, Width: st.Width, Stride: st.Stride})
		}
		return a
	}
	n, _ := s.AnyNet()
	return n
}
