package stats

import (
	"errors"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// KS is the two-sample Kolmogorov–Smirnov test.
type KS struct {
	D float64 // largest distance between the two EDFs, in [0, 1]
	P float64 // probability of such a distance or a larger one if both samples come from one distribution
}

// KolmogorovSmirnov tests whether two samples come from one distribution (used
// in NDS §3.2 to ask how many models an EDF needs). The p-value is exact: the
// share of all ways to split the pooled sample into two of these sizes that
// give a distance of at least D, ties included (Schröer & Trenkler 1995). That
// costs len(a)·len(b) steps; of samples in which it takes more than ten million p is Kolmogorov's limit, with Stephens'
// (1970) correction, which is larger than the exact value where there are ties.
func KolmogorovSmirnov(a, b []float64) (KS, error) {
	if err := errors.Join(check(a), check(b)); err != nil {
		return KS{}, err
	}
	x, y := sorted(a), sorted(b)
	m, n := len(x), len(y)
	d := stat.KolmogorovSmirnov(x, nil, y, nil)
	// D is a multiple of 1/(m·n): as an integer it compares exactly.
	hit := int(math.Round(d * float64(m) * float64(n)))
	if hit == 0 {
		return KS{0, 1}, nil
	}

	if m*n > exactSteps {
		return KS{d, kolmogorovLimit(d, m, n)}, nil
	}

	pooled := slices.Concat(x, y)
	slices.Sort(pooled)
	reached := func(i, j int) bool {
		// Between tied values the EDFs do not exist: look after the last of them.
		last := i+j == m+n || (i+j > 0 && pooled[i+j-1] != pooled[i+j])
		gap := i*n - j*m
		return last && (gap >= hit || -gap >= hit)
	}
	// A split of the pooled sample is a lattice path from (0,0) to (m,n); p[j]
	// is the probability that a uniform path to (i,j) has reached the distance.
	p := make([]float64, n+1)
	for j := 1; j <= n; j++ {
		if p[j] = p[j-1]; reached(0, j) {
			p[j] = 1
		}
	}
	for i := 1; i <= m; i++ {
		if reached(i, 0) {
			p[0] = 1
		}
		for j := 1; j <= n; j++ {
			if reached(i, j) {
				p[j] = 1
				continue
			}
			k := float64(i + j)
			p[j] = float64(i)/k*p[j] + float64(j)/k*p[j-1]
		}
	}
	return KS{d, math.Min(1, p[n])}, nil
}

// exactSteps bounds the work of an exact p-value: a tenth of a second.
const exactSteps = 10_000_000

// kolmogorovLimit is the probability of a distance of at least d between the EDFs of large samples of m and n values.
func kolmogorovLimit(d float64, m, n int) float64 {
	root := math.Sqrt(float64(m) * float64(n) / float64(m+n))
	lambda := (root + 0.12 + 0.11/root) * d
	p := 0.0
	for k := 1.0; k < 100; k++ {
		term := 2 * math.Exp(-2*k*k*lambda*lambda)
		if term < 1e-17*p || term == 0 {
			break
		}
		if math.Mod(k, 2) == 0 {
			term = -term
		}
		p += term
	}
	return math.Max(0, math.Min(1, p))
}
