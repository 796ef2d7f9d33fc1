package metric

import (
	"math"
	"testing"
)

// A range reads back as it is written, and so does a number.
func FuzzParseRange(f *testing.F) {
	for _, seed := range []string{"360M..400M", "..8M", "5M..", "1e-4..0.1", "..", "1..0", "NaN..", "-1K..1K", "0x1p3..", "1e308B.."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRange(text)
		if err != nil {
			return
		}
		if math.IsNaN(r.Min) || math.IsNaN(r.Max) || r.Min > r.Max || r.IsZero() {
			t.Fatalf("%q is %+v", text, r)
		}
		if again, err := ParseRange(r.String()); err != nil || again != r {
			t.Errorf("%q is %+v, written %q, which is %+v, %v", text, r, r.String(), again, err)
		}
	})
}
