package space

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"netspace/arch"
	"netspace/metric"
)

// The tests of this file compare what is sampled with the conditional
// distribution that enumerating a small space gives. Rules are checked there by
// plain Go functions, which know nothing of tables, classes and chains.

// small is a space whose settings can be listed. Widths have a prior that is
// far from flat, so that a wrong weight shows.
const small = `
family: anynet
network: {stages: 3, stem: {type: cifar, width: 8}}
parameters:
  depth: {log-uniform: 1..3}
  width: {log-uniform: 8..40, multiple: 8}
  bottleneck: {values: [1, 2], weights: [3, 1]}
  group_width: 8
`

var tiny = arch.Input{Channels: 1, Height: 16, Width: 16, Classes: 10}

// settings of one parameter for all stages, with the probability of each.
type vector struct {
	v []float64
	p float64
}

// vectors lists all settings of a parameter of n stages.
func vectors(s *Space, name string, n int) []vector {
	out := []vector{{nil, 1}}
	q := s.parameter(name)
	for i := range n {
		t := q.Priors[min(i, len(q.Priors)-1)].table()
		var next []vector
		for _, x := range out {
			if q.Shared && i > 0 {
				next = append(next, vector{append(slices.Clone(x.v), x.v[0]), x.p})
				continue
			}
			for k, v := range t.values {
				next = append(next, vector{append(slices.Clone(x.v), v), x.p * t.weights[k]})
			}
		}
		out = next
	}
	return out
}

// distribution is probabilities by the text of a setting.
type distribution map[string]float64

func (d distribution) normalize() {
	sum := 0.0
	for _, p := range d {
		sum += p
	}
	for k := range d {
		d[k] /= sum
	}
}

// chiSquare is the chance of a sample as unlikely as this one, with cells of
// less than five expected draws taken together. An impossible draw gives 0.
func chiSquare(want distribution, got map[string]int, draws int) float64 {
	for k := range got {
		if want[k] == 0 {
			return 0
		}
	}
	var sum, restWant, restGot float64
	cells := 0
	for k, p := range want {
		e := p * float64(draws)
		if e < 5 {
			restWant += e
			restGot += float64(got[k])
			continue
		}
		d := float64(got[k]) - e
		sum += d * d / e
		cells++
	}
	if restWant >= 5 {
		sum += (restGot - restWant) * (restGot - restWant) / restWant
		cells++
	}
	if cells < 2 {
		return 1
	}
	return distuv.ChiSquared{K: float64(cells - 1)}.Survival(sum)
}

// sampled counts the settings of a parameter over kept candidates.
func sampled(t *testing.T, s *Space, cfg Config, name string, candidates uint64) (map[string]int, int) {
	t.Helper()
	p, err := s.Sampler(cfg)
	if err != nil {
		t.Fatal(err)
	}
	field := slices.Index(stageFieldNames[:], name)
	k := newChunk(p)
	k.to = candidates
	k.run()
	got, c := map[string]int{}, newCandidate(p)
	for _, i := range k.kept {
		c.draw(i)
		v := make([]float64, p.layout.stages)
		for j := range v {
			v[j] = c.env[p.layout.asked(j, field)]
		}
		got[fmt.Sprint(v)]++
	}
	return got, len(k.kept)
}

func mustParse(t testing.TB, text string) *Space {
	t.Helper()
	s, err := Parse([]byte(text), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// monotone says whether each pair of neighbours of v is ordered.
func monotone(v []float64, ok func(a, b float64) bool) bool {
	for i := 1; i < len(v); i++ {
		if !ok(v[i-1], v[i]) {
			return false
		}
	}
	return true
}

func le(a, b float64) bool { return a <= b }
func ge(a, b float64) bool { return a >= b }
func lt(a, b float64) bool { return a < b }
func gt(a, b float64) bool { return a > b }

// ruleCases are rules about widths, and what they mean.
var ruleCases = []struct {
	rules    string
	parallel string // replaces the prior of width
	holds    func(w []float64) bool
	built    bool // by construction
}{
	{rules: "", holds: func([]float64) bool { return true }, built: true},
	{rules: "{equal: width}", holds: func(w []float64) bool { return w[0] == w[1] && w[1] == w[2] }, built: true},
	{rules: "{equal: width, except: first}", holds: func(w []float64) bool { return w[1] == w[2] }, built: true},
	{rules: "{equal: width, except: 2}", holds: func(w []float64) bool { return w[0] == w[2] }, built: true},
	{rules: "{non-decreasing: width}", holds: func(w []float64) bool { return monotone(w, le) }, built: true},
	{rules: "{non-decreasing: width, except: last}", holds: func(w []float64) bool { return w[0] <= w[1] }, built: true},
	{rules: "{non-decreasing: width, except: 2}", holds: func(w []float64) bool { return w[0] <= w[2] }, built: true},
	{rules: "{non-decreasing: width, except: [first, last]}", holds: func([]float64) bool { return true }},
	{rules: "{non-increasing: width}", holds: func(w []float64) bool { return monotone(w, ge) }, built: true},
	{rules: "{increasing: width}", holds: func(w []float64) bool { return monotone(w, lt) }, built: true},
	{rules: "{decreasing: width}", holds: func(w []float64) bool { return monotone(w, gt) }, built: true},
	{rules: "{range: {width: 16..32}}", holds: func(w []float64) bool { return slices.Min(w) >= 16 && slices.Max(w) <= 32 }, built: true},
	{rules: "{range: {width: ..24}, except: [1, 3]}", holds: func(w []float64) bool { return w[1] <= 24 }, built: true},
	{rules: "{in: {width: [8, 32, 40]}}", holds: func(w []float64) bool { return !slices.Contains(w, 16) && !slices.Contains(w, 24) }, built: true},
	{rules: "{in: {width: [8]}, except: last}", holds: func(w []float64) bool { return w[0] == 8 && w[1] == 8 }, built: true},
	{rules: "{equal: width, except: last}, {non-decreasing: width}", holds: func(w []float64) bool { return w[0] == w[1] && w[1] <= w[2] }, built: true},
	{rules: "{equal: width, except: 2}, {non-decreasing: width}", holds: func(w []float64) bool { return w[0] == w[2] && w[0] == w[1] }},
	{rules: "{non-decreasing: width}, {equal: width, except: first}", holds: func(w []float64) bool { return w[0] <= w[1] && w[1] == w[2] }, built: true},
	{rules: "{non-decreasing: width, except: last}, {non-increasing: width, except: first}", holds: func(w []float64) bool { return w[0] <= w[1] && w[1] >= w[2] }},
	{rules: "{non-decreasing: width}, {range: {width: 16..}, except: last}", holds: func(w []float64) bool { return monotone(w, le) && w[0] >= 16 }, built: true},
	{rules: "'stages[1].width <= 2 * stages[0].width'", holds: func(w []float64) bool { return w[1] <= 2*w[0] }},
	{rules: "{non-decreasing: width}, 'stages[2].width - stages[0].width in [8, 16]'", holds: func(w []float64) bool { return monotone(w, le) && (w[2]-w[0] == 8 || w[2]-w[0] == 16) }},
	{
		rules: "{non-decreasing: width}", parallel: "[{uniform: 8..40, multiple: 8}, {values: [8, 20, 24, 60], weights: [1, 5, 2, 1]}, {log-uniform: 8..64, multiple: 8}]",
		holds: func(w []float64) bool { return monotone(w, le) }, built: true,
	},
	{
		rules: "{decreasing: width, except: first}", parallel: "[{normal: 8..40, multiple: 8}, {log-normal: 8..64, multiple: 8}, {power-of-two: 8..32}]",
		holds: func(w []float64) bool { return w[1] > w[2] }, built: true,
	},
	{
		rules: "{equal: width}", parallel: "[{uniform: 8..40, multiple: 8}, {values: [8, 20, 24, 40], weights: [1, 5, 2, 1]}, {log-uniform: 8..64, multiple: 8}]",
		holds: func(w []float64) bool { return w[0] == w[1] && w[1] == w[2] }, built: true,
	},
}

func TestRulesAreExact(t *testing.T) {
	for i, c := range ruleCases {
		text := small + "rules: [" + c.rules + "]\n"
		if c.parallel != "" {
			text = strings.Replace(text, "{log-uniform: 8..40, multiple: 8}", c.parallel, 1)
		}
		s := mustParse(t, text)
		p, err := s.Sampler(Config{})
		if err != nil {
			t.Fatal(err)
		}
		if built := len(p.checks) == 0; built != c.built {
			t.Errorf("%s: obeyed by construction: %v, want %v", c.rules, built, c.built)
		}
		want := distribution{}
		total := 0.0
		for _, x := range vectors(s, "width", 3) {
			if c.holds(x.v) {
				want[fmt.Sprint(x.v)] += x.p
				total += x.p
			}
		}
		share := 1.0
		for _, g := range p.groups {
			for _, f := range g.folded {
				share *= f.share
			}
		}
		if c.built && math.Abs(share-total) > 1e-12 {
			t.Errorf("%s: the share of the prior is told as %v, and is %v", c.rules, share, total)
		}
		want.normalize()
		got, n := sampled(t, s, Config{Seed: uint64(i)}, "width", 40_000)
		if pv := chiSquare(want, got, n); pv < 1e-3 {
			t.Errorf("%s: p = %.2g for %d draws over %d settings", c.rules, pv, n, len(want))
		}
	}
}

// TestRegimeIsExact couples all parameters by a bound on the complexity, which
// is counted here with the public functions of package arch.
func TestRegimeIsExact(t *testing.T) {
	text := strings.Replace(small, "stages: 3", "stages: 2", 1) + "rules: [{non-decreasing: width}, {equal: bottleneck}, 'params_K <= 3 * sqrt(flops_K)']\n"
	s := mustParse(t, text)
	regime := Regime{Bounds: metric.Bounds{metric.Flops: {Min: 100e3, Max: 300e3}, metric.Acts: {Max: 12e3}}}
	wants := map[string]distribution{"width": {}, "depth": {}, "bottleneck": {}}
	for _, w := range vectors(s, "width", 2) {
		for _, d := range vectors(s, "depth", 2) {
			for _, b := range vectors(s, "bottleneck", 2) {
				n := arch.AnyNet{Common: arch.Common{Stem: arch.Stem{Type: arch.CIFARStem, Width: 8}, Activation: 1}}
				for i := range 2 {
					n.Stages = append(n.Stages, arch.Stage{Depth: int(d.v[i]), Width: int(w.v[i]), Stride: 2, Bottleneck: b.v[i], GroupWidth: 8})
				}
				c, err := n.Spec().Complexity(tiny)
				if err != nil {
					t.Fatal(err)
				}
				if w.v[0] > w.v[1] || b.v[0] != b.v[1] || c.Flops < 100e3 || c.Flops > 300e3 || c.Acts > 12e3 ||
					float64(c.Params)/1e3 > 3*math.Sqrt(float64(c.Flops)/1e3) {
					continue
				}
				for name, x := range map[string]vector{"width": w, "depth": d, "bottleneck": b} {
					wants[name][fmt.Sprint(x.v)] += w.p * d.p * b.p
				}
			}
		}
	}
	for name, want := range wants {
		if len(want) < 2 {
			t.Fatalf("%s: nothing left to test", name)
		}
		want.normalize()
		got, n := sampled(t, s, Config{Input: tiny, Regime: regime, Seed: 7}, name, 150_000)
		if pv := chiSquare(want, got, n); pv < 1e-3 {
			t.Errorf("%s: p = %.2g for %d draws over %d settings", name, pv, n, len(want))
		}
	}
}

// TestChiSquareSeesSorting shows that the tests above have the power to reject
// the usual shortcut, which sorts independent draws: with ties it is wrong.
func TestChiSquareSeesSorting(t *testing.T) {
	s := mustParse(t, small)
	want := distribution{}
	for _, x := range vectors(s, "width", 3) {
		if monotone(x.v, le) {
			want[fmt.Sprint(x.v)] += x.p
		}
	}
	want.normalize()
	table := s.parameter("width").Priors[0].table()
	r := rand.New(rand.NewPCG(1, 2))
	got := map[string]int{}
	const n = 40_000
	for range n {
		v := make([]float64, 3)
		for i := range v {
			u, k := r.Float64(), 0
			for ; u >= table.weights[k]; k++ {
				u -= table.weights[k]
			}
			v[i] = table.values[k]
		}
		slices.Sort(v)
		got[fmt.Sprint(v)]++
	}
	if pv := chiSquare(want, got, n); pv > 1e-9 {
		t.Errorf("sorted draws pass with p = %.2g", pv)
	}
}
