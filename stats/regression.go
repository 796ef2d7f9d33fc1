package stats

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Slope is what a regression says of one regressor.
type Slope struct {
	// Value is the coefficient of the regressor: how much the response changes
	// with one unit of it, the covariates held. Its influences are those of HC3
	// (MacKinnon & White 1985): residuals over one less the leverage, which is
	// right where the scatter differs from value to value.
	Linear
	// Effective is of how many values the coefficient is the work: the regressor
	// that the covariates leave, q, has (Σq²)² / Σq⁴ of them, 1 if only one value
	// differs from the rest.
	Effective  float64
	R2         float64 // share of the variance of the response that the whole model explains; 0 of a constant response
	Covariates int     // that were used: constant ones, and those that the others determine, are left out
}

// ErrCollinear says that a regressor is constant, or determined by the covariates.
var ErrCollinear = errors.New("stats: the regressor is constant, or determined by the covariates")

// PartialSlope is the ordinary least squares coefficient of x in the regression
// of y on a constant, the covariates and x, by orthogonalisation (Frisch, Waugh
// and Lovell): x is taken for what the covariates leave of it. It needs more
// values than coefficients.
func PartialSlope(y, x []float64, covariates ...[]float64) (Slope, error) {
	n := len(y)
	for _, v := range append([][]float64{y, x}, covariates...) {
		if err := check(v); err != nil {
			return Slope{}, err
		}
		if len(v) != n {
			return Slope{}, fmt.Errorf("stats: %d values of a regressor for %d of the response", len(v), n)
		}
	}
	constant := make([]float64, n)
	for i := range constant {
		constant[i] = 1 / math.Sqrt(float64(n))
	}
	basis := [][]float64{constant}
	for _, v := range covariates {
		if q, _ := orthogonal(v, basis); q != nil {
			basis = append(basis, q)
		}
	}
	s := Slope{Covariates: len(basis) - 1}
	q, length := orthogonal(x, basis)
	if q == nil {
		return s, ErrCollinear
	}
	if n < len(basis)+2 {
		return s, fmt.Errorf("stats: %d values for %d coefficients; there must be more", n, len(basis)+1)
	}
	total := 0.0
	residual := slices.Clone(y)
	subtract(residual, basis[:1])
	for _, v := range residual {
		total += v * v
	}
	s.Value = dot(q, residual) / length
	subtract(residual, append(basis[1:], q))
	left := 0.0
	for _, v := range residual {
		left += v * v
	}
	if total > 0 {
		s.R2 = math.Max(0, 1-left/total)
	}
	s.Influence = make([]float64, n)
	fourth := 0.0
	for _, v := range q {
		fourth += v * v * v * v
	}
	s.Effective = 1 / fourth
	for i, r := range residual {
		free := 1 - q[i]*q[i]
		for _, b := range basis {
			free -= b[i] * b[i]
		}
		if free > 1e-9 { // else the value has a coefficient of its own, and says nothing of others
			s.Influence[i] = q[i] / length * r / free
		}
	}
	return s, nil
}

// orthogonal is the unit vector along what an orthonormal basis leaves of v, and
// the length of that; nil if it leaves nothing but rounding.
func orthogonal(v []float64, basis [][]float64) ([]float64, float64) {
	q := slices.Clone(v)
	before := math.Sqrt(dot(q, q))
	for range 2 { // twice is enough for full precision (Kahan)
		subtract(q, basis)
	}
	length := math.Sqrt(dot(q, q))
	if !(length > 1e-8*before) {
		return nil, 0
	}
	for i := range q {
		q[i] /= length
	}
	return q, length
}

// subtract takes the components along a basis from v.
func subtract(v []float64, basis [][]float64) {
	for _, b := range basis {
		along := dot(v, b)
		for i := range v {
			v[i] -= along * b[i]
		}
	}
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}
