package metric

import (
	"encoding/json"
	"testing"
)

func TestNumbers(t *testing.T) {
	for text, want := range map[string]float64{"360M": 360e6, "1.6G": 1.6e9, "1.6B": 1.6e9, "8K": 8000, "8k": 8000, "0.1": 0.1, "5e-4": 5e-4, "1024": 1024, "-3": -3} {
		if got, err := ParseNumber(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "M", "1T", "0x10", "1_000", "nan", "inf", "1 M", "1e999"} {
		if v, err := ParseNumber(text); err == nil {
			t.Errorf("%q is read as %v", text, v)
		}
	}
	for v, want := range map[float64]string{360e6: "360M", 1.6e9: "1.6B", 1024: "1024", 0.1: "0.1", 5e-5: "5e-05", 8000: "8000", 2.5e6: "2.5M", 1e6 + 1: "1000001", 0: "0"} {
		if got := FormatNumber(v); got != want {
			t.Errorf("%v is written as %s, want %s", v, got, want)
		}
	}
	for text, want := range map[string]Range{"360M..400M": {360e6, 400e6}, "..8M": {0, 8e6}, " 1 .. 2 ": {1, 2}} {
		got, err := ParseRange(text)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if again, err := ParseRange(got.String()); err != nil || again != got {
			t.Errorf("%s is written as %s", text, got)
		}
	}
	var open Range
	if err := json.Unmarshal([]byte(`"5M.."`), &open); err != nil || !open.Contains(1e12) || open.Contains(4e6) || open.String() != "5M.." {
		t.Errorf("%v, %v", open, err)
	}
	if !(Range{}).Contains(7) || (Range{1, 2}).Contains(0.5) || !(Range{1, 2}).Contains(1) || !(Range{1, 2}).Contains(2) {
		t.Error("a range does not hold what it should")
	}
}
