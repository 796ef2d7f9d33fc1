package space

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
)

func TestPublishedSizes(t *testing.T) {
	pow := func(b, e int64) *big.Int { return new(big.Int).Exp(big.NewInt(b), big.NewInt(e), nil) }
	product := func(v ...*big.Int) *big.Int {
		out := big.NewInt(1)
		for _, x := range v {
			out.Mul(out, x)
		}
		return out
	}
	// Multisets of k of n, the never decreasing sequences.
	multiset := func(n, k int64) *big.Int { return new(big.Int).Binomial(n+k-1, k) }
	for _, c := range []struct {
		name    string
		freedom int
		want    *big.Int
	}{
		{"anynetx-a", 16, pow(16*128*3*6, 4)},
		{"anynetx-b", 13, product(pow(16*128*6, 4), big.NewInt(3))},
		{"anynetx-c", 10, product(pow(16*128, 4), big.NewInt(3*6))},
		{"anynetx-d", 10, product(pow(16, 4), multiset(128, 4), big.NewInt(3*6))},
		{"anynetx-e", 10, product(multiset(16, 4), multiset(128, 4), big.NewInt(3*6))},
		{"anynetx-e-free-last", 10, product(multiset(16, 3), big.NewInt(16), multiset(128, 4), big.NewInt(3*6))},
		{"anynetr-a", 8, pow(16*128, 4)},
		{"anynetx-depthwise", 12, pow(16*128*3, 4)},
	} {
		s := mustLoad(t, c.name)
		size, err := s.Size(t.Context(), Config{})
		if err != nil || !size.Exact || size.Settings.Cmp(c.want) != 0 {
			t.Errorf("%s: %v settings, want %v (%v)", c.name, size.Settings, c.want, err)
		}
		p, err := s.Sampler(Config{})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Describe().Freedom; got != c.freedom {
			t.Errorf("%s: %d degrees of freedom, want %d", c.name, got, c.freedom)
		}
	}
	size, err := mustLoad(t, "anynetx-a").Size(t.Context(), Config{})
	if err != nil || math.Abs(size.Log10.Value-18.266) > 0.001 { // DDS §3.2: about 1.8·10^18
		t.Errorf("anynetx-a: 10^%v, %v", size.Log10.Value, err)
	}
	if p, err := mustLoad(t, "regnetx").Sampler(Config{}); err != nil || p.Describe().Freedom != 6 {
		t.Errorf("regnetx: %+v, %v", p.Describe(), err)
	}
}

// TestSizeEstimate compares estimates with counting, rules of every kind.
func TestSizeEstimate(t *testing.T) {
	for _, c := range ruleCases {
		text := small + "rules: [" + c.rules + "]\n"
		if c.parallel != "" {
			text = strings.Replace(text, "{log-uniform: 8..40, multiple: 8}", c.parallel, 1)
		}
		s := mustParse(t, text)
		n := 0
		for _, x := range vectors(s, "width", 3) {
			if c.holds(x.v) {
				n++
			}
		}
		want := math.Log10(float64(n) * 27 * 8) // depths and bottleneck ratios are free
		size, err := s.Size(t.Context(), Config{})
		if err != nil || size.Exact != c.built {
			t.Fatalf("%s: %+v, %v", c.rules, size, err)
		}
		slack := (size.Log10.High - size.Log10.Low) / 2 // twice the interval: three of these estimates should not fail by chance
		if want < size.Log10.Low-slack-1e-9 || want > size.Log10.High+slack+1e-9 {
			t.Errorf("%s: 10^%v, want 10^%v", c.rules, size.Log10, want)
		}
		if size.Exact && fmt.Sprint(size.Settings) != fmt.Sprint(n*27*8) {
			t.Errorf("%s: %v settings, want %d", c.rules, size.Settings, n*27*8)
		}
	}
	none, err := mustParse(t, small+"rules: ['stages[0].width > 1000']").Size(t.Context(), Config{})
	if err != nil || none.Passed != 0 || !math.IsInf(none.Log10.Value, -1) || none.Log10.High > 1 {
		t.Errorf("%+v, %v", none, err)
	}
}
