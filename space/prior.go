package space

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"netspace/internal/portable"
	"netspace/metric"
)

// Kind is the shape of a prior.
type Kind uint8

// The kinds of priors. All include both ends of their range.
const (
	Values                 Kind = iota // a list, with weights or equally likely
	Uniform                            // every multiple of the quantum equally likely
	LogUniform                         // the logarithm is uniform
	PowerOfTwo                         // powers of two, equally likely
	PowerOfTwoOrLogUniform             // powers of two below the quantum, multiples of it from there on, log-uniform over all
	Normal                             // normal, cut at the ends of the range
	LogNormal                          // the logarithm is normal, cut at the ends of the range
)

var kindNames = [...]string{"values", "uniform", "log-uniform", "power-of-two", "power-of-two-or-log-uniform", "normal", "log-normal"}

// String gives the word of the space language.
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// Prior is the distribution of one parameter before any rule.
//
// A quantised prior gives each value the mass that the continuous distribution
// has between it and the value below, as the paper authors' tool does; so the
// distribution function of a log-uniform prior lies on its line at every value.
// The lowest value of a log-uniform gets the mass from min(quantum, half of
// it) below. Normal priors give a value the mass of what rounds to it.
type Prior struct {
	Kind     Kind
	Min, Max float64   // ends, included; unused by Values
	Multiple float64   // the quantum: every value is a multiple of it; 0: continuous (Uniform and LogUniform only)
	Values   []float64 // Values only, distinct
	Weights  []float64 // Values only, as many, at least 0 with a sum over 0; nil: equal
	Center   *float64  // Normal: mean; LogNormal: median; nil: the (logarithmic) middle of the range
	Std      float64   // Normal: standard deviation; LogNormal: that of the natural logarithm; 0: a sixth of the range
}

// Fixed is the prior of a parameter that has one value.
func Fixed(v float64) Prior { return Prior{Kind: Values, Values: []float64{v}} }

// maxValues bounds the table of a prior.
const maxValues = 1_000_000

// continuous says that the prior has no table of values.
func (p Prior) continuous() bool {
	return p.Multiple == 0 && (p.Kind == Uniform || p.Kind == LogUniform)
}

// check says what is wrong with the prior, for values that are whole numbers if whole.
func (p Prior) check(whole bool) error {
	if err := p.stray(); err != nil {
		return err
	}
	if p.Kind == Values {
		return p.checkValues(whole)
	}
	logarithmic := p.Kind != Uniform && p.Kind != Normal
	switch {
	case p.Min > p.Max:
		return fmt.Errorf("is empty: its lower end is the larger one")
	case logarithmic && p.Min <= 0:
		return fmt.Errorf("must begin above 0 for %s", p.Kind)
	case p.Multiple < 0:
		return fmt.Errorf("must have a positive multiple")
	case whole && p.continuous():
		return fmt.Errorf("must have a multiple: the parameter is a whole number")
	}
	switch p.Kind {
	case PowerOfTwo, PowerOfTwoOrLogUniform:
		if !isPowerOfTwo(p.Min) || !isPowerOfTwo(p.Max) {
			return fmt.Errorf("must begin and end at powers of two for %s", p.Kind)
		}
		if p.Kind == PowerOfTwoOrLogUniform && !isPowerOfTwo(p.Multiple) {
			return fmt.Errorf("needs a multiple that is a power of two for %s", p.Kind)
		}
		if whole && (p.Min < 1 || p.Multiple != math.Trunc(p.Multiple)) {
			return fmt.Errorf("must give whole numbers")
		}
		return nil
	case Normal, LogNormal:
		if p.Multiple == 0 {
			return fmt.Errorf("needs a multiple: %s is always quantised", p.Kind)
		}
		if p.Std < 0 {
			return fmt.Errorf("must have a positive std")
		}
		if p.Kind == LogNormal && p.Center != nil && *p.Center <= 0 {
			return fmt.Errorf("must have a positive median")
		}
	}
	if p.Multiple == 0 {
		return nil
	}
	if whole && p.Multiple != math.Trunc(p.Multiple) {
		return fmt.Errorf("must have a whole multiple: the parameter is a whole number")
	}
	if !isMultiple(p.Min, p.Multiple) || !isMultiple(p.Max, p.Multiple) {
		return fmt.Errorf("must begin and end at multiples of %s", metric.FormatNumber(p.Multiple))
	}
	if n := (p.Max-p.Min)/p.Multiple + 1; n > maxValues {
		return fmt.Errorf("has %.0f values: at most %d are allowed, so take a larger multiple", n, maxValues)
	}
	return nil
}

// stray says what a prior has that its kind has no use for, or that is no number.
func (p Prior) stray() error {
	normal := p.Kind == Normal || p.Kind == LogNormal
	switch {
	case int(p.Kind) >= len(kindNames):
		return fmt.Errorf("is of no known kind")
	case p.Kind == Values && (p.Min != 0 || p.Max != 0):
		return fmt.Errorf("has a range, which a list has no use for")
	case p.Kind != Values && (p.Values != nil || p.Weights != nil):
		return fmt.Errorf("has a list, which %s has no use for", p.Kind)
	case p.Multiple != 0 && (p.Kind == Values || p.Kind == PowerOfTwo):
		return fmt.Errorf("has a multiple, which %s has no use for", p.Kind)
	case !normal && p.Center != nil:
		return fmt.Errorf("has a centre, which %s has no use for", p.Kind)
	case !normal && p.Std != 0:
		return fmt.Errorf("has a std, which %s has no use for", p.Kind)
	}
	numbers := append([]float64{p.Min, p.Max, p.Multiple, p.Std}, append(slices.Clone(p.Values), p.Weights...)...)
	if p.Center != nil {
		numbers = append(numbers, *p.Center)
	}
	if slices.ContainsFunc(numbers, notFinite) {
		return fmt.Errorf("must consist of finite numbers")
	}
	return nil
}

func (p Prior) checkValues(whole bool) error {
	if len(p.Values) == 0 {
		return fmt.Errorf("must have at least one value")
	}
	seen := map[float64]bool{}
	for _, v := range p.Values {
		switch {
		case seen[v]:
			return fmt.Errorf("has %s twice: give it a weight instead", metric.FormatNumber(v))
		case whole && v != math.Trunc(v):
			return fmt.Errorf("has %s, which is not a whole number", metric.FormatNumber(v))
		}
		seen[v] = true
	}
	if p.Weights == nil {
		return nil
	}
	if len(p.Weights) != len(p.Values) {
		return fmt.Errorf("has %d weights for %d values", len(p.Weights), len(p.Values))
	}
	sum := 0.0
	for _, w := range p.Weights {
		if w < 0 {
			return fmt.Errorf("has a negative weight, %s", metric.FormatNumber(w))
		}
		sum += w
	}
	if sum <= 0 || math.IsInf(sum, 0) {
		return fmt.Errorf("must have weights with a positive, finite sum")
	}
	return nil
}

func isPowerOfTwo(v float64) bool {
	m, _ := math.Frexp(v)
	return m == 0.5
}

func isMultiple(v, q float64) bool {
	k := v / q
	return math.Abs(k-math.Round(k)) < 1e-6
}

// multiple is k·q, correctly rounded where 1/q is a whole number: 3·0.1 is 0.3.
func multiple(k, q float64) float64 {
	if inv := math.Round(1 / q); q < 1 && math.Abs(inv*q-1) < 1e-9 {
		return k / inv
	}
	return k * q
}

// table lists the values of a prior that is not continuous, ascending, and
// their probabilities, which sum to 1. The prior must have passed check. Every
// operation is the same on every platform.
func (p Prior) table() table {
	var t table
	switch p.Kind {
	case Values:
		for i, v := range p.Values {
			w := 1.0
			if p.Weights != nil {
				w = p.Weights[i]
			}
			if w > 0 {
				t.add(v, w)
			}
		}
		t.sort()
	case PowerOfTwo:
		for v := p.Min; v <= p.Max; v *= 2 {
			t.add(v, 1)
		}
	case PowerOfTwoOrLogUniform:
		t = p.powersOrMultiples()
	default:
		if t = p.multiples(0); !(t.sum() >= math.SmallestNonzeroFloat64/epsilon) {
			t = p.multiples(p.nearest())
		}
		if !(t.sum() > 0) { // so far away that only the nearest value has any
			t.weights[0] = 1
			if _, hi, mean, _ := p.normal(); mean > hi {
				t.weights[0], t.weights[len(t.weights)-1] = 0, 1
			}
		}
	}
	t.normalize()
	return t
}

// epsilon is the distance of 1 to the next number: below the smallest number
// over it, sums have lost digits.
const epsilon = 0x1p-52

// multiples are the multiples of the quantum with their mass, relative to the
// density at so many deviations from the mean.
func (p Prior) multiples(scale float64) table {
	var t table
	t.values = make([]float64, 0, 1+int((p.Max-p.Min)/p.Multiple+0.5))
	t.weights = make([]float64, 0, cap(t.values))
	last := math.Round(p.Max / p.Multiple)
	for k := math.Round(p.Min / p.Multiple); k <= last; k++ {
		v := multiple(k, p.Multiple)
		t.add(v, p.mass(v, scale))
	}
	return t
}

// nearest is how many deviations the range of a normal prior is away from its mean.
func (p Prior) nearest() float64 {
	if p.Kind != Normal && p.Kind != LogNormal {
		return 0
	}
	lo, hi, mean, std := p.normal()
	return max(0, (lo-mean)/std, (mean-hi)/std)
}

// powersOrMultiples is log-uniform over powers of two below the quantum and
// multiples of it: each value has the logarithmic mass down to the value below.
func (p Prior) powersOrMultiples() table {
	var t table
	v := p.Min
	for ; v <= p.Max && v < p.Multiple; v *= 2 {
		t.add(v, portable.Log(2))
	}
	for ; v <= p.Max; v += p.Multiple {
		below := v / 2
		if len(t.values) > 0 {
			below = t.values[len(t.values)-1]
		} else {
			below = max(below, v-p.Multiple)
		}
		t.add(v, portable.Log(v/below))
	}
	return t
}

// mass of the value v of a quantised prior, not normalised. For scale see gauss.
func (p Prior) mass(v, scale float64) float64 {
	q := p.Multiple
	if p.Min == p.Max { // no width between its ends, and all of the mass
		return 1
	}
	switch p.Kind {
	case LogUniform:
		if v-q < p.Min-q/2 { // the lowest value
			return portable.Log(v / (v - min(q, v/2)))
		}
		return portable.Log(v / (v - q))
	case Normal:
		_, _, mean, std := p.normal()
		return gauss((max(v-q/2, p.Min)-mean)/std, (min(v+q/2, p.Max)-mean)/std, scale)
	case LogNormal:
		_, _, mean, std := p.normal()
		return gauss((portable.Log(max(v-q/2, p.Min))-mean)/std, (portable.Log(min(v+q/2, p.Max))-mean)/std, scale)
	}
	return 1
}

// normal gives range, centre and deviation of the normal distribution behind a
// prior; a centre and a deviation that are not stated put ±3 deviations in the
// range, as the paper authors' tool does.
func (p Prior) normal() (lo, hi, mean, std float64) {
	log := func(v float64) float64 { return v }
	if p.Kind == LogNormal {
		log = portable.Log
	}
	lo, hi, std = log(p.Min), log(p.Max), p.Std
	if p.Center == nil {
		mean = (lo + hi) / 2
	} else {
		mean = log(*p.Center)
	}
	if std == 0 {
		std = (hi - lo) / 6
	}
	if std == 0 { // a range of one value
		std = 1
	}
	return lo, hi, mean, std
}

// maxPieces of an integral: what is not 0 of a density has 3200 at most. Only
// where floats are too far apart to tell its ends would there be more.
const maxPieces = 4000

// gauss is the integral of exp(-(t²-scale²)/2) from a to b, by five-point
// Gauss-Legendre on pieces of at most a quarter, or 1/(4·scale) far from the mean,
// where the density falls so fast: relative error below 1e-12.
//
// scale, at most the smallest |t| of the distribution's range, keeps a tail in
// the numbers that a computer has: 0 for the density itself.
func gauss(a, b, scale float64) float64 {
	// Beyond, the integrand is 0 in floating point. Cut only what would take long.
	if far := math.Sqrt(scale*scale + 1600); b-a > 80 || scale > 0 {
		a, b = max(a, -far), min(b, far)
	}
	if !(b > a) {
		return 0
	}
	nodes := [...]float64{0, 0.5384693101056831, -0.5384693101056831, 0.9061798459386640, -0.9061798459386640}
	weights := [...]float64{0.5688888888888889, 0.4786286704993665, 0.4786286704993665, 0.2369268850561891, 0.2369268850561891}
	n := min(math.Ceil((b-a)*4*max(1, scale)), maxPieces)
	half := (b - a) / n / 2
	sum := 0.0
	for i := 0.0; i < n; i++ {
		mid := a + float64(float64(2*i+1)*half)
		for k := range nodes {
			t := mid + float64(half*nodes[k])
			sum += float64(weights[k] * portable.Exp(-0.5*float64((t-scale)*(t+scale))))
		}
	}
	return sum * half
}

// String describes the prior as the language writes it: "log-uniform 8..1024, multiples of 8".
func (p Prior) String() string {
	if p.Kind == Values {
		words := make([]string, len(p.Values))
		for i, v := range p.Values {
			words[i] = metric.FormatNumber(v)
			if i < len(p.Weights) {
				words[i] += " (weight " + metric.FormatNumber(p.Weights[i]) + ")"
			}
		}
		return strings.Join(words, ", ")
	}
	s := p.Kind.String() + " " + metric.FormatNumber(p.Min) + ".." + metric.FormatNumber(p.Max)
	if p.Multiple != 0 && p.Multiple != 1 {
		s += ", multiples of " + metric.FormatNumber(p.Multiple)
	}
	if p.Center != nil {
		word := ", mean "
		if p.Kind == LogNormal {
			word = ", median "
		}
		s += word + metric.FormatNumber(*p.Center)
	}
	if p.Std != 0 {
		s += ", std " + metric.FormatNumber(p.Std)
	}
	if p.continuous() {
		s += ", continuous"
	}
	return s
}
