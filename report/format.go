package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"netspace/stats"
)

func percent(v float64) string  { return fmt.Sprintf("%.2f %%", v) }
func percent0(v float64) string { return trimmed(v) + " %" }

// trimmed is v without needless zeros.
func trimmed(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// interval is "12.10 … 14.31", or a dash if there is none.
func interval(e stats.Estimate, digits int) string {
	if !e.Known() {
		return "–"
	}
	return signed(e.Lo, digits) + " … " + signed(e.Hi, digits)
}

// signed writes a number with a real minus sign.
func signed(v float64, digits int) string {
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Trim(s, "-0.") == "" {
		s = strings.TrimPrefix(s, "-")
	}
	return strings.Replace(s, "-", "−", 1)
}

// difference is signed with a plus sign.
func difference(v float64, digits int) string {
	s := signed(v, digits)
	if v > 0 && strings.Trim(s, "0.") != "" {
		s = "+" + s
	}
	return s
}

// probability writes a probability that was found by resampling: nothing is
// certain.
func probability(p float64) string {
	switch {
	case math.IsNaN(p):
		return "–"
	case p > 0.999:
		return "> 0.999"
	case p < 0.001:
		return "< 0.001"
	}
	return strconv.FormatFloat(p, 'f', 3, 64)
}
