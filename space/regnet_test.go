package space

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"netspace/arch"
	"netspace/metric"
)

// plainRegNet draws a RegNet from the priors of regnetx as the paper authors'
// tool does: a continuous draw, rounded up to its quantum. It shares nothing
// with the tables of this package.
func plainRegNet(r *rand.Rand) arch.RegNet {
	logUniform := func(lo, hi, q float64) float64 {
		low := lo - min(q, lo/2)
		f := hi * math.Pow(low/hi, r.Float64()) // (low, hi]
		return math.Ceil(f/q-1e-9) * q
	}
	group := math.Exp2(float64(r.IntN(6)))
	if group >= 8 {
		group = logUniform(8, 32, 8)
	}
	return arch.RegNet{
		Depth: 1 + r.IntN(63), W0: logUniform(8, 248, 8), WA: logUniform(0.1, 255.9, 0.1), WM: logUniform(1.5, 3, 0.001),
		Bottleneck: math.Exp2(float64(r.IntN(3))), GroupWidth: int(group), Stride: 2, Common: arch.Common{Stem: arch.Stem{Width: 32}, Activation: 1},
	}
}

// columns of numbers of a population, by name.
type columns map[string][]float64

func (c columns) add(r arch.RegNet, flops, params float64) {
	for _, x := range []struct {
		name string
		v    float64
	}{
		{"depth", float64(r.Depth)}, {"w0", r.W0}, {"wa", math.Round(r.WA*10) / 10}, {"wm", math.Round(r.WM*1000) / 1000},
		{"bottleneck", r.Bottleneck}, {"group_width", float64(r.GroupWidth)}, {"flops", flops}, {"params", params},
	} {
		c[x.name] = append(c[x.name], x.v)
	}
}

// kolmogorovSmirnov is the chance of two samples of one distribution that are
// as far apart as these; for discrete numbers it is larger than the true one,
// so the test errs on the side of passing.
func kolmogorovSmirnov(a, b []float64) float64 {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	d := 0.0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		v := min(a[i], b[j])
		for i < len(a) && a[i] == v {
			i++
		}
		for j < len(b) && b[j] == v {
			j++
		}
		d = max(d, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	n := float64(len(a)) * float64(len(b)) / float64(len(a)+len(b))
	x := (math.Sqrt(n) + 0.12 + 0.11/math.Sqrt(n)) * d
	p := 0.0
	for k := 1.0; k <= 100; k++ {
		p += 2 * math.Pow(-1, k-1) * math.Exp(-2*k*k*x*x)
	}
	return min(max(p, 0), 1)
}

// TestRegNetAgainstPlainRejection compares every marginal of regnetx with
// plain rejection, without a regime and at 360–400 MFLOPs.
// NETSPACE_PLAIN_DRAWS=10000000 makes it as sharp as it should once be.
func TestRegNetAgainstPlainRejection(t *testing.T) {
	draws := 400_000
	if v := os.Getenv("NETSPACE_PLAIN_DRAWS"); v != "" {
		var err error
		if draws, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	all, regime := columns{}, columns{}
	r := rand.New(rand.NewPCG(11, 12))
	for range draws {
		n := plainRegNet(r)
		if n.Levels() != 4 || n.SkipsLevel() { // the cheap part first
			continue
		}
		stages := n.AppendStages(nil)
		if len(stages) != 4 {
			continue
		}
		c := arch.AnyNet{Common: arch.Common{Stem: n.Stem, Activation: 1}, Stages: stages}.Complexity(arch.ImageNet)
		all.add(n, float64(c.Flops), float64(c.Params))
		if c.Flops >= 360e6 && c.Flops <= 400e6 {
			regime.add(n, float64(c.Flops), float64(c.Params))
		}
	}
	s, err := Load("regnetx")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		name string
		cfg  Config
		want columns
	}{{"all", Config{Seed: 5}, all}, {"regime", Config{Seed: 6, Regime: Regime{Bounds: metric.Bounds{metric.Flops: {Min: 360e6, Max: 400e6}}}}, regime}} {
		p, err := s.Sampler(part.cfg)
		if err != nil {
			t.Fatal(err)
		}
		k := newChunk(p)
		k.to = uint64(draws)
		k.run()
		got, c := columns{}, newCandidate(p)
		for _, i := range k.kept {
			c.draw(i)
			c.build()
			complexityOf(&c.counter, &c.net, c.input, c.env)
			got.add(p.regnet(c.env, arch.Stem{}), float64(c.counter.Flops), float64(c.counter.Params))
		}
		n, m := float64(len(got["depth"])), float64(len(part.want["depth"]))
		if math.Abs(n-m) > 4*math.Sqrt(n+m) {
			t.Errorf("%s: %v of %d are kept, plain rejection keeps %v", part.name, n, draws, m)
		}
		for name, want := range part.want {
			if pv := kolmogorovSmirnov(got[name], want); pv < 1e-3 {
				t.Errorf("%s, %s: p = %.2g (%d and %d networks)", part.name, name, pv, len(got[name]), len(want))
			}
		}
		t.Logf("%s: %v networks, plain rejection %v", part.name, n, m)
	}
}
