package space

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"
)

var near = cmpopts.EquateApprox(0, 1e-12)

func TestTables(t *testing.T) {
	ln := math.Log
	for _, c := range []struct {
		name    string
		prior   Prior
		values  []float64
		weights []float64 // up to a factor
	}{
		{"values", Prior{Kind: Values, Values: []float64{4, 1, 2}, Weights: []float64{1, 2, 0}}, []float64{1, 4}, []float64{2, 1}},
		{"fixed", Fixed(7), []float64{7}, []float64{1}},
		{"uniform", Prior{Kind: Uniform, Min: 1, Max: 4, Multiple: 1}, []float64{1, 2, 3, 4}, []float64{1, 1, 1, 1}},
		{"uniform of tenths", Prior{Kind: Uniform, Min: 0.1, Max: 0.4, Multiple: 0.1}, []float64{0.1, 0.2, 0.3, 0.4}, []float64{1, 1, 1, 1}},
		// Mass of (v-q, v], and of (v/2, v] for the lowest value if that is closer.
		{"log-uniform", Prior{Kind: LogUniform, Min: 1, Max: 4, Multiple: 1}, []float64{1, 2, 3, 4}, []float64{ln(2), ln(2), ln(1.5), ln(4. / 3)}},
		{"log-uniform from above", Prior{Kind: LogUniform, Min: 24, Max: 40, Multiple: 8}, []float64{24, 32, 40}, []float64{ln(1.5), ln(4. / 3), ln(1.25)}},
		{"power-of-two", Prior{Kind: PowerOfTwo, Min: 0.5, Max: 4}, []float64{0.5, 1, 2, 4}, []float64{1, 1, 1, 1}},
		{
			"power-of-two-or-log-uniform", Prior{Kind: PowerOfTwoOrLogUniform, Min: 1, Max: 32, Multiple: 8},
			[]float64{1, 2, 4, 8, 16, 24, 32}, []float64{ln(2), ln(2), ln(2), ln(2), ln(2), ln(1.5), ln(4. / 3)},
		},
		{"powers of two only", Prior{Kind: PowerOfTwoOrLogUniform, Min: 1, Max: 4, Multiple: 8}, []float64{1, 2, 4}, []float64{1, 1, 1}},
		{"multiples only", Prior{Kind: PowerOfTwoOrLogUniform, Min: 16, Max: 32, Multiple: 8}, []float64{16, 24, 32}, []float64{ln(2), ln(1.5), ln(4. / 3)}},
		{"multiples from the first", Prior{Kind: PowerOfTwoOrLogUniform, Min: 8, Max: 16, Multiple: 8}, []float64{8, 16}, []float64{1, 1}},
		{"multiples far from the first", Prior{Kind: PowerOfTwoOrLogUniform, Min: 64, Max: 128, Multiple: 32}, []float64{64, 96, 128}, []float64{ln(2), ln(1.5), ln(4. / 3)}},
		{"one value", Prior{Kind: Normal, Min: 8, Max: 8, Multiple: 8}, []float64{8}, []float64{1}},
	} {
		want := table{c.values, c.weights}
		want.normalize()
		got := c.prior.table()
		if diff := cmp.Diff(want.weights, got.weights, near); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if diff := cmp.Diff(want.values, got.values); diff != "" { // exact: 0.3, not 0.30000000000000004
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// TestNormalTables compares with the distribution functions of gonum.
func TestNormalTables(t *testing.T) {
	for _, p := range []Prior{
		{Kind: Normal, Min: 8, Max: 64, Multiple: 8},
		{Kind: Normal, Min: 1, Max: 9, Multiple: 1, Center: new(4.0), Std: 0.5},
		{Kind: Normal, Min: 0, Max: 1, Multiple: 0.01, Center: new(3.0), Std: 0.2},
		{Kind: Normal, Min: 0, Max: 1, Multiple: 0.01, Center: new(0.0), Std: 0.2}, // a mean of 0 is stated, too
		{Kind: LogNormal, Min: 8, Max: 1024, Multiple: 8},
		{Kind: LogNormal, Min: 8, Max: 128, Multiple: 8, Center: new(48.0), Std: 0.3},
	} {
		var cdf func(float64) float64
		std := p.Std
		lo, hi, log := p.Min, p.Max, func(v float64) float64 { return v }
		if p.Kind == LogNormal {
			lo, hi, log = math.Log(lo), math.Log(hi), math.Log
		}
		mean := (lo + hi) / 2
		if p.Center != nil {
			mean = log(*p.Center)
		}
		if std == 0 {
			std = (hi - lo) / 6
		}
		cdf = distuv.Normal{Mu: mean, Sigma: std}.CDF
		if p.Kind == LogNormal {
			cdf = distuv.LogNormal{Mu: mean, Sigma: std}.CDF
		}
		got := p.table()
		all := cdf(p.Max) - cdf(p.Min)
		for i, v := range got.values {
			want := (cdf(min(v+p.Multiple/2, p.Max)) - cdf(max(v-p.Multiple/2, p.Min))) / all
			if math.Abs(got.weights[i]-want) > 1e-9 {
				t.Errorf("%v: weight of %v is %v, want %v", p, v, got.weights[i], want)
			}
		}
	}
}

// A range far from the mean keeps the shape of the tail, whatever floating
// point makes of its mass.
func TestNormalTails(t *testing.T) {
	for _, p := range []Prior{
		{Kind: Normal, Min: 8, Max: 256, Multiple: 8, Center: new(300.0), Std: 1},
		{Kind: Normal, Min: 8, Max: 256, Multiple: 1, Center: new(300.0), Std: 1.1},
		{Kind: Normal, Min: 8, Max: 256, Multiple: 1, Center: new(-40.0), Std: 0.9},
		{Kind: LogNormal, Min: 8, Max: 256, Multiple: 1, Center: new(1000.0), Std: 0.03},
	} {
		got, log := p.table(), func(v float64) float64 { return v }
		if p.Kind == LogNormal {
			log = math.Log
		}
		// Simpson's rule on many points, relative to the density at the near end.
		mean := log(*p.Center)
		near := log(p.Max)
		if mean < log(p.Min) {
			near = log(p.Min)
		}
		want, all := make([]float64, len(got.values)), 0.0
		for i, v := range got.values {
			a, b := log(max(v-p.Multiple/2, p.Min)), log(min(v+p.Multiple/2, p.Max))
			const n = 20_000
			for k := range n + 1 {
				x := a + (b-a)*float64(k)/n
				y := math.Exp(-((x-mean)*(x-mean) - (near-mean)*(near-mean)) / (2 * p.Std * p.Std))
				want[i] += y * (b - a) * []float64{2, 4}[k%2]
				if k == 0 || k == n {
					want[i] -= y * (b - a)
				}
			}
			all += want[i]
		}
		for i := range want {
			if w := want[i] / all; math.Abs(got.weights[i]-w) > 1e-6*w+1e-300 {
				t.Errorf("%v: weight of %v is %v, want %v", p, got.values[i], got.weights[i], w)
			}
		}
	}
}

// Whatever the numbers, a prior has its mass near its mean, and soon.
func TestExtremeNormals(t *testing.T) {
	for _, center := range []float64{-1e300, -1e18, 1, 8, 99, 104.5, 256, 300, 1e9, 1e300} {
		for _, std := range []float64{1e-300, 1e-6, 1e-3} {
			p := Prior{Kind: Normal, Min: 8, Max: 256, Multiple: 8, Center: &center, Std: std}
			table := p.table()
			best := slices.Index(table.weights, slices.Max(table.weights))
			if want := min(max(8, 8*math.Round(center/8)), 256); table.values[best] != want || math.Abs(table.sum()-1) > 1e-12 {
				t.Errorf("%v: %v has the most, %v; want %v", p, table.values[best], table.weights[best], want)
			}
		}
	}
}

// TestLogUniformIsALine checks what the quantisation is chosen for: the
// distribution function is linear in the logarithm at every value.
func TestLogUniformIsALine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := float64(rapid.SampledFrom([]int{1, 2, 8, 10}).Draw(t, "q"))
		lo := rapid.IntRange(1, 20).Draw(t, "lo")
		p := Prior{Kind: LogUniform, Min: q * float64(lo), Max: q * float64(lo+rapid.IntRange(0, 100).Draw(t, "n")), Multiple: q}
		if err := p.check(true); err != nil {
			t.Fatal(err)
		}
		table := p.table()
		below := p.Min - min(q, p.Min/2)
		sum := 0.0
		for i, v := range table.values {
			sum += table.weights[i]
			if want := math.Log(v/below) / math.Log(p.Max/below); math.Abs(sum-want) > 1e-12 {
				t.Fatalf("F(%v) = %v, want %v", v, sum, want)
			}
		}
	})
}

func TestContinuousPriors(t *testing.T) {
	s := mustParse(t, "family: anynet\nnetwork: {stages: 1}\nparameters: {depth: 1, width: 8, bottleneck: 1, group_width: 8, drop_path: {uniform: 0.1..0.3}, recipe.lr: {log-uniform: 0.001..1}}")
	p, err := s.Sampler(Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := newCandidate(p)
	const n = 20_000
	for _, a := range p.asked[len(p.asked)-2:] {
		var u []float64
		for i := range uint64(n) {
			c.draw(i)
			v := c.env[a.slot]
			if a.name == "recipe.lr" {
				v = (math.Log10(v) + 3) / 3
			} else {
				v = (v - 0.1) / 0.2
			}
			u = append(u, v)
		}
		grid := make([]float64, n)
		for i := range grid {
			grid[i] = (float64(i) + 0.5) / n
		}
		if pv := kolmogorovSmirnov(u, grid); pv < 1e-3 {
			t.Errorf("%s: p = %.2g", a.name, pv)
		}
	}
	if size, err := s.Size(t.Context(), Config{}); err != nil || size.Continuous != 2 || size.Settings.Cmp(big.NewInt(1)) != 0 {
		t.Errorf("%+v, %v", size, err)
	}
}
