package figure

import (
	"math"
	"strconv"
	"strings"
)

// Axis is one axis of a chart.
type Axis struct {
	Label    string
	Min, Max float64 // what is shown; widened if they are equal
	Log      bool    // logarithmic; Min and Max are then positive
	Decimal  bool    // a logarithmic axis is marked at 1, 2, 5 times powers of ten, not at powers of two
	Format   func(float64) string
	Ticks    int       // about how many; 0: 6
	At       []float64 // where the ticks are; nil: at round numbers
	NoGrid   bool
}

// span gives the range with its ends apart, by so much that ticks between them
// can be told apart as numbers, and, on a logarithmic axis, positive.
func (a Axis) span() (lo, hi float64) {
	const apart = 1e-9
	lo, hi = a.Min, a.Max
	if a.Log {
		lo = math.Max(lo, 1e-300)
		if !(hi > lo*(1+apart)) {
			lo, hi = lo/1.1, lo*1.1
		}
		return lo, hi
	}
	if !(hi-lo > apart*math.Max(math.Abs(lo), math.Abs(hi))) {
		pad := math.Max(math.Abs(lo)*0.05, 0.5)
		lo, hi = lo-pad, lo+pad
	}
	return lo, hi
}

// place is where v lies on the axis: 0 at Min, 1 at Max, beyond them outside.
func (a Axis) place(v float64) float64 {
	lo, hi := a.span()
	if a.Log {
		if v <= 0 {
			return -1
		}
		return math.Log(v/lo) / math.Log(hi/lo)
	}
	return (v - lo) / (hi - lo)
}

// ticks are the values at which the axis is marked, ascending.
func (a Axis) ticks() []float64 {
	lo, hi := a.span()
	want := a.Ticks
	if want == 0 {
		want = 6
	}
	var at []float64
	switch {
	case a.At != nil:
		for _, v := range a.At {
			if p := a.place(v); p >= -1e-9 && p <= 1+1e-9 {
				at = append(at, v)
			}
		}
		return at
	case a.Log:
		if at = logTicks(lo, hi, want, a.Decimal); len(at) >= 2 {
			return at
		}
	}
	return linearTicks(lo, hi, want)
}

// linearTicks are multiples of 1, 2 or 5 times a power of ten: the finest of
// which at most want+1 lie in the range.
func linearTicks(lo, hi float64, want int) []float64 {
	unit := math.Pow(10, math.Floor(math.Log10((hi-lo)/float64(want)))-1)
	step := unit
	for _, m := range []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000} {
		step = m * unit
		if math.Floor(hi/step+1e-9)-math.Ceil(lo/step-1e-9)+1 <= float64(want)+1 {
			break
		}
	}
	var at []float64
	for k := math.Ceil(lo/step - 1e-9); k*step <= hi+step*1e-9; k++ {
		// Rounding to the step's digits keeps 0.30000000000000004 out.
		v, _ := strconv.ParseFloat(strconv.FormatFloat(k*step, 'g', 12, 64), 64)
		at = append(at, v+0) // no negative zero
	}
	return at
}

// logTicks are powers of two, thinned out, where the range spans few of them,
// else, or if decimal, 1, 2, 5 times powers of ten.
func logTicks(lo, hi float64, want int, decimal bool) []float64 {
	var at []float64
	if octaves := math.Log2(hi / lo); octaves <= 16 && lo >= 0.5 && !decimal {
		step := math.Max(1, math.Ceil(octaves/float64(want)))
		for k := math.Ceil(math.Log2(lo) - 1e-9); k <= math.Log2(hi)+1e-9; k += step {
			at = append(at, math.Exp2(k))
		}
		return at
	}
	mantissas := []float64{1, 2, 5}
	if math.Log10(hi/lo)*3 > float64(want) {
		mantissas = mantissas[:1]
	}
	for k := math.Floor(math.Log10(lo)); k <= math.Log10(hi)+1e-9; k++ {
		for _, m := range mantissas {
			if v := m * math.Pow(10, k); v >= lo*(1-1e-9) && v <= hi*(1+1e-9) {
				at = append(at, v)
			}
		}
	}
	return at
}

// format writes a tick's label.
func (a Axis) format(v float64) string {
	if a.Format != nil {
		return a.Format(v)
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// SI writes a number with a metric suffix and three significant digits: 1.25M. (Libraries
// put a space before the suffix and count decimals, not digits.)
func SI(v float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= u.size*0.9995 {
			return short(v/u.size) + u.name
		}
	}
	return short(v)
}

// short is v with three significant digits.
func short(v float64) string {
	s := strconv.FormatFloat(v, 'g', 3, 64)
	if strings.Contains(s, "e") {
		s = strconv.FormatFloat(v, 'f', 0, 64)
	}
	return s
}
