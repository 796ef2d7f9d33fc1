// Package portable has logarithm, exponential and power that give the same
// bits on every platform.
//
// The functions of package math may differ in the last bit between platforms:
// some have assembly, and a compiler may fuse x*y+z into one rounding. A
// sampled network must not depend on that. Here every product is converted to
// float64 before it is added, which forbids fusing (Go specification,
// "Floating-point operators"), so each step is one IEEE 754 operation. Results
// are within 2 units in the last place.
package portable

import "math"

// ln2Hi has 33 significant bits, so that ln2Hi·k is exact for |k| < 2^20.
const (
	ln2Hi = 6.93147180369123816490e-01
	ln2Lo = 1.90821492927058770002e-10
)

// Log is the natural logarithm. Log(0) is -Inf, that of a negative number NaN.
func Log(x float64) float64 {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	// x = m·2^e with √½ ≤ m < √2, and log m = 2·artanh(z), z = (m-1)/(m+1).
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m *= 2
		e--
	}
	f := m - 1
	z := f / (2 + f)
	z2 := float64(z * z)
	// artanh(z)/z - 1 = z²/3 + z⁴/5 + …; |z| < 0.172, so the term in z^24 is below 2^-64.
	p := 0.0
	for _, c := range artanh {
		p = float64(z2*p) + c
	}
	p = float64(z2 * p)
	k := float64(e)
	// 2z = f - f·z, which keeps the leading term f exact.
	tail := float64(z*f) - float64(2*float64(z*p))
	return float64(k*ln2Hi) + (f - (tail - float64(k*ln2Lo)))
}

// artanh holds 1/25, 1/23 … 1/3.
var artanh = [...]float64{1. / 25, 1. / 23, 1. / 21, 1. / 19, 1. / 17, 1. / 15, 1. / 13, 1. / 11, 1. / 9, 1. / 7, 1. / 5, 1. / 3}

// Exp is e to the power x.
func Exp(x float64) float64 {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		return x
	case x > 710:
		return math.Inf(1)
	case x < -746:
		return 0
	}
	// x = k·ln 2 + r with |r| < 0.347.
	k := math.RoundToEven(x / math.Ln2)
	r := (x - float64(k*ln2Hi)) - float64(k*ln2Lo)
	p := 0.0
	for n := 14.0; n >= 1; n-- {
		p = float64(r*(1+p)) / n
	}
	return math.Ldexp(1+p, int(k))
}

// Pow is x to the power y for x ≥ 0. For a whole y of magnitude up to 64 it is
// a product of powers of x by repeated squaring.
func Pow(x, y float64) float64 {
	if y == math.Trunc(y) && math.Abs(y) <= 64 {
		r, sq := 1.0, x
		for n := int(math.Abs(y)); n > 0; n >>= 1 {
			if n&1 == 1 {
				r *= sq
			}
			sq *= sq
		}
		if y < 0 {
			return 1 / r
		}
		return r
	}
	if x == 0 {
		if y < 0 {
			return math.Inf(1)
		}
		return 0
	}
	return Exp(y * Log(x))
}
