package stats

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/stat/distuv"
)

// Sequential is a comparison of two spaces that is looked at again and again while networks are trained, and ends as soon
// as it is decided: a group-sequential design. D is the mean of B less that of A, in percentage points of error, so that
// above 0 B is worse. Three things can be found:
//
//	b-better   D < 0        at a one-sided level of Alpha/2
//	not-worse  D < Delta    at a one-sided level of Alpha
//	worse      D > 0        at a one-sided level of Alpha/2
//
// These are the levels of the 95 % intervals and of the test of non-inferiority of Compare. Whatever D is, the chance
// that the finding is wrong, over all looks together, is at most Alpha: if D = 0, worse and b-better share it.
//
// Each level is spent as information comes in (Lan & DeMets 1983), by the function Alpha·t^Spending of Kim and
// DeMets (1987), where t is the share of the most information that the design will use. When looks are taken, and how
// many, need not be known before, as long as that does not depend on D.
//
// Information is that which the looks before let expect, not what a look estimates itself: a variance that happens to be estimated too small
// would spend more just when it makes findings easier. For the same reason a look is judged by the larger of the variance that it estimates and the one that was expected.
type Sequential struct {
	Delta float64 // margin, percentage points, not negative
	Alpha float64 // chance of a wrong finding, in (0, 1)
	Power float64 // chance of not-worse or b-better if D = 0 and networks do not run out, in (0, 1)
	// Futility ends the comparison, undecided, as soon as it is unlikely that B will be found not to be worse: when that D > 0
	// would be found at a level of 1 − Power. It is for those to whom undecided and worse are one. A comparison that goes on
	// nevertheless is no less valid.
	Futility bool
}

// Spending is the power of t by which levels are spent. At 1 early looks spend most and many looks cost most (like
// Pocock's design), at 3 early looks spend little (like O'Brien and Fleming's).
const Spending = 3

// plannedLooks is the number of looks for which the most information that a design needs is reckoned.
const plannedLooks = 10

// Finding is what a comparison of B with A has found.
type Finding string

// The findings.
const (
	Undecided Finding = "undecided"
	BetterB   Finding = "b-better"
	NotWorseB Finding = "not-worse"
	WorseB    Finding = "worse"
)

// Look is what was known at one look.
type Look struct {
	Difference float64 // estimate of D
	Variance   float64 // of the estimate
	// Expected is what the looks before let expect of Variance; 0: there are none, and the level is spent by Share alone.
	Expected float64
	Freedom  float64 // degrees of freedom of Variance
	Share    float64 // of the most networks that there may be, in (0, 1]
}

// Judgement is what follows from the looks so far.
type Judgement struct {
	Finding
	Futile bool // undecided, and it is unlikely that B will be found not to be worse
	Last   bool // undecided, and the networks or the information that the design asks for are there
	// Difference is D with a repeated confidence interval (Jennison & Turnbull 1989) of level 1 − Alpha: the
	// intervals of all looks hold D with that probability, so it is valid although the comparison ended because of it.
	Difference Estimate
	// AtMost is what D does not exceed at a one-sided level of Alpha, likewise: the bound that NotWorseB rests on, which is below the
	// interval's upper end. NaN where Difference has no interval.
	AtMost float64
	Used   float64 // the share t of the most information, in [0, 1]
}

// Over tells whether nothing more is to be trained.
func (j Judgement) Over() bool { return j.Finding != Undecided || j.Futile || j.Last }

func (s Sequential) check() error {
	if err := checkDelta(s.Delta); err != nil {
		return err
	}
	if !(s.Alpha > 0 && s.Alpha < 1) || !(s.Power > 0 && s.Power < 1) {
		return fmt.Errorf("stats: alpha %v and power %v lie between 0 and 1", s.Alpha, s.Power)
	}
	return nil
}

// MaxInformation is the most information, the inverse of the variance of D's estimate, that the design uses: with it B is found
// not to be worse with a probability of Power if D = 0. It is infinite for a margin of 0.
func (s Sequential) MaxInformation() (float64, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	bounds := func(level float64) (z [plannedLooks]float64) {
		var b boundary
		for k := range z {
			t := float64(k+1) / plannedLooks
			z[k] = b.next(level, t, t)
		}
		return z
	}
	keep := bounds(s.Alpha)
	// The drift of the motion at t = 1, in standard deviations, with which it crosses the boundary of not-worse with a probability of Power.
	var drift float64
	if s.Futility {
		// There that of futility meets it.
		drift = keep[plannedLooks-1] + bounds(1 - s.Power)[plannedLooks-1]
	} else {
		low, high := 0.0, keep[plannedLooks-1]+distuv.UnitNormal.Quantile(s.Power) // at the last look alone it would then do so
		for high-low > 1e-4 {
			mid, crossed := (low+high)/2, 0.0
			var b boundary
			for k, z := range keep {
				t := float64(k+1) / plannedLooks
				z -= mid * math.Sqrt(t)
				crossed += b.above(t, z)
				b.move(t, z)
			}
			if crossed < s.Power {
				low = mid
			} else {
				high = mid
			}
		}
		drift = high
	}
	return drift * drift / (s.Delta * s.Delta), nil
}

// Monitor takes the looks of a Sequential comparison one by one.
type Monitor struct {
	design                  Sequential
	most                    float64 // information
	keep, direction, futile boundary
	information, used       float64 // at the last look that spent anything, as expected
	last                    Judgement
}

// Begin begins a comparison.
func (s Sequential) Begin() (*Monitor, error) {
	most, err := s.MaxInformation()
	return &Monitor{design: s, most: most, last: Judgement{Finding: Undecided}}, err
}

// Look says what follows from a look and those before it. It is an error if one of these ended the comparison.
func (m *Monitor) Look(l Look) (Judgement, error) {
	if m.last.Over() {
		return m.last, errors.New("stats: a look after the comparison is over")
	}
	if !(l.Share > 0 && l.Share <= 1) || !(l.Variance >= 0) || !(l.Expected >= 0) || !(l.Freedom > 0) || math.IsNaN(l.Difference) || math.IsInf(l.Difference, 0) {
		return m.last, fmt.Errorf("stats: a difference of %v with a variance of %v on %v degrees of freedom, at a share of %v of the networks", l.Difference, l.Variance, l.Freedom, l.Share)
	}
	s := m.design
	m.used = math.Max(m.used, l.Share)
	information := 1 / l.Variance // of a first look: the scale of what is to come, which no level depends on
	if l.Expected > 0 {
		information = 1 / l.Expected
		m.used = math.Max(m.used, math.Min(1, information/m.most))
	}
	j := Judgement{Finding: Undecided, Used: m.used, Last: m.used == 1, Difference: unknown(l.Difference), AtMost: math.NaN()}
	switch {
	case l.Variance == 0: // all values are equal: no doubt is left
		j.Difference, j.AtMost = Estimate{l.Difference, l.Difference, l.Difference}, l.Difference
		j.Finding = s.find(l.Difference, 0, 0)
	case information < m.information*(1+leastGain) && !j.Last:
		// The look before estimated a variance larger than was expected of it, which took information back: there is nothing new to judge by.
	default:
		m.information = math.Max(information, m.information*(1+leastGain))
		deviation := math.Sqrt(math.Max(l.Variance, l.Expected))
		student := func(b *boundary, level float64) float64 {
			return deviation * studentOf(b.next(level, m.information, m.used), l.Freedom)
		}
		wide := student(&m.direction, s.Alpha/2)
		j.Difference = Estimate{l.Difference, l.Difference - wide, l.Difference + wide}
		keep := student(&m.keep, s.Alpha)
		j.AtMost = l.Difference + keep
		j.Finding = s.find(l.Difference, keep, wide)
		if s.Futility {
			j.Futile = l.Difference > student(&m.futile, 1-s.Power) && j.Finding == Undecided
		}
	}
	j.Last = j.Last && j.Finding == Undecided
	m.last = j
	return j, nil
}

// find gives the finding from an estimate of D and how far above or below the truth it may be.
func (s Sequential) find(d, keep, direction float64) Finding {
	switch {
	case d+direction < 0:
		return BetterB
	case d-direction > 0:
		return WorseB
	case d+keep < s.Delta:
		return NotWorseB
	}
	return Undecided
}

// studentOf is the quantile of Student's distribution where the normal distribution's is z.
func studentOf(z, freedom float64) float64 {
	if math.IsInf(z, 0) {
		return z
	}
	return -distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}.Quantile(distuv.UnitNormal.CDF(-z))
}

// leastGain is the share by which information must grow for a look to spend anything: the recursion below needs
// steps that are not tiny.
const leastGain = 0.05

// boundary is the upper boundary of a standardised Brownian motion that is looked at at times that become known one by one:
// that any of the values seen lies above it has the probability that was spent. The density of what has stayed below
// is carried from look to look by numerical integration (Armitage, McPherson & Rowe 1969).
type boundary struct {
	spent       float64
	information float64
	at, density []float64 // nodes on the scale of the motion (√information·z), and weight times density there; nil before the first look
}

// The integration runs over so many nodes, from so many standard deviations below 0.
const (
	nodes   = 64
	reaches = 7.5
)

// next gives the boundary, as a standard normal quantile, of a look with so much information, which is more than at the last one, when
// level·used^Spending may have been spent with it.
func (b *boundary) next(level, information, used float64) float64 {
	spend := level*math.Pow(used, Spending) - b.spent
	if spend < 1e-12 {
		return math.Inf(1)
	}
	z := b.quantile(information, spend)
	b.move(information, z)
	b.spent += spend
	return z
}

// above is the probability of staying below until now, and then lying above z.
func (b *boundary) above(information, z float64) float64 {
	if b.at == nil {
		return distuv.UnitNormal.Survival(z)
	}
	step, top, p := math.Sqrt(information-b.information), z*math.Sqrt(information), 0.0
	for i, x := range b.at {
		p += b.density[i] * distuv.UnitNormal.Survival((top-x)/step)
	}
	return p
}

func (b *boundary) quantile(information, p float64) float64 {
	low, high := -reaches, reaches
	for range 60 {
		if mid := (low + high) / 2; b.above(information, mid) > p {
			low = mid
		} else {
			high = mid
		}
	}
	return (low + high) / 2
}

// move carries the density on to a look with a boundary z.
func (b *boundary) move(information, z float64) {
	scale := math.Sqrt(information)
	at, density := make([]float64, nodes), make([]float64, nodes)
	quad.Legendre{}.FixedLocations(at, density, -reaches*scale, z*scale)
	for i, x := range at {
		if b.at == nil {
			density[i] *= distuv.UnitNormal.Prob(x/scale) / scale
			continue
		}
		step, sum := math.Sqrt(information-b.information), 0.0
		for k, y := range b.at {
			sum += b.density[k] * distuv.UnitNormal.Prob((x-y)/step) / step
		}
		density[i] *= sum
	}
	b.at, b.density, b.information = at, density, information
}
