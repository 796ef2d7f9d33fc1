package metric

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// suffixes of numbers. G and B both mean 10^9.
var suffixes = map[byte]float64{'K': 1e3, 'k': 1e3, 'M': 1e6, 'B': 1e9, 'G': 1e9}

// ParseNumber reads a number with an optional suffix K, M, B or G: "400M",
// "1.6G", "0.1", "5e-4".
func ParseNumber(s string) (float64, error) {
	digits, scale := s, 1.0
	if n := len(s); n > 0 {
		if f, ok := suffixes[s[n-1]]; ok {
			digits, scale = s[:n-1], f
		}
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v*scale, 0) || strings.ContainsAny(digits, "xX_pP") {
		return 0, fmt.Errorf("%q is not a number (as 360000000, 360M, 0.36G or 1e-4)", s)
	}
	return v * scale, nil
}

// FormatNumber is short and exact: FormatNumber(360e6) is "360M", that of 1024
// "1024" and that of 0.1 "0.1". ParseNumber is its inverse.
func FormatNumber(v float64) string {
	plain := strconv.FormatFloat(v, 'g', -1, 64)
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		plain = strconv.FormatFloat(v, 'f', 0, 64)
	}
	for _, s := range []struct {
		suffix string
		scale  float64
	}{{"B", 1e9}, {"M", 1e6}, {"K", 1e3}} {
		if math.Abs(v) < max(s.scale, 10_000) || math.IsInf(v, 0) {
			continue
		}
		short := strconv.FormatFloat(v/s.scale, 'f', -1, 64) + s.suffix
		if back, err := ParseNumber(short); err == nil && back == v && len(short) < len(plain) {
			return short
		}
	}
	return plain
}

// Range is an interval with both ends included. Its zero value is no
// restriction.
type Range struct{ Min, Max float64 }

// ParseRange reads "360M..400M", "..8M" (from 0) or "5M.." (no upper end).
func ParseRange(s string) (Range, error) {
	lo, hi, ok := strings.Cut(s, "..")
	if !ok {
		return Range{}, fmt.Errorf("%q is not a range (as 360M..400M, ..8M or 5M..)", s)
	}
	lo, hi = strings.TrimSpace(lo), strings.TrimSpace(hi)
	r := Range{0, math.Inf(1)}
	var err error
	if lo != "" {
		if r.Min, err = ParseNumber(lo); err != nil {
			return Range{}, err
		}
	}
	if hi != "" {
		if r.Max, err = ParseNumber(hi); err != nil {
			return Range{}, err
		}
	}
	switch {
	case lo == "" && hi == "":
		return Range{}, fmt.Errorf("%q has no end (as 360M..400M, ..8M or 5M..)", s)
	case r.Min > r.Max:
		return Range{}, fmt.Errorf("%q is empty: its lower end is the larger one", s)
	case r == Range{}:
		return Range{}, fmt.Errorf("%q holds nothing but 0", s)
	}
	return r, nil
}

// IsZero says that the range restricts nothing.
func (r Range) IsZero() bool { return r == Range{} }

// Validate says what is wrong with a range that a program made.
func (r Range) Validate() error {
	switch {
	case math.IsNaN(r.Min) || math.IsNaN(r.Max) || math.IsInf(r.Min, 0) || math.IsInf(r.Max, -1):
		return fmt.Errorf("must begin at a finite number")
	case r.Min > r.Max:
		return fmt.Errorf("is empty: its lower end is the larger one")
	}
	return nil
}

// Contains says whether v is in the range, ends included.
func (r Range) Contains(v float64) bool { return r.IsZero() || r.Min <= v && v <= r.Max }

// String is the form that ParseRange reads, "" for the zero value.
func (r Range) String() string {
	switch {
	case r.IsZero():
		return ""
	case math.IsInf(r.Max, 1):
		return FormatNumber(r.Min) + ".."
	case r.Min == 0:
		return ".." + FormatNumber(r.Max)
	}
	return FormatNumber(r.Min) + ".." + FormatNumber(r.Max)
}

// MarshalText gives String.
func (r Range) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what ParseRange reads; the empty text is the zero value.
func (r *Range) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = Range{}
		return nil
	}
	v, err := ParseRange(string(text))
	if err != nil {
		return err
	}
	*r = v
	return nil
}

// Short writes a number with three digits and a suffix: Short(397_678_568) is "398M".
func Short(v float64) string {
	for _, s := range []struct {
		suffix string
		scale  float64
	}{{"B", 1e9}, {"M", 1e6}, {"K", 1e3}} {
		if v >= s.scale {
			return fmt.Sprintf("%.3g%s", v/s.scale, s.suffix)
		}
	}
	return fmt.Sprintf("%.3g", v)
}
