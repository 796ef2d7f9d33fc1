// Package analysistest makes up studies for tests of what is said of them.
package analysistest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"netspace/analysis"
	"netspace/arch"
	"netspace/metric"
	"netspace/space"
	"netspace/study"
	"netspace/train"
	"netspace/trial"
)

// Study is a study of made-up results over real networks, n of each space: the
// error depends on depth, on how the widths grow, and on chance; a few networks
// fail. The spaces anynetx-a … anynetx-e and regnetx are drawn as their names
// say, others as anynetx-b. The same arguments give the same study.
func Study(t testing.TB, name string, n int, spaces ...string) analysis.Source {
	t.Helper()
	in := arch.Input{Channels: 1, Height: 28, Width: 28, Classes: 10}
	s := analysis.Source{
		Name: name, Dir: "studies/" + name,
		Protocol: &analysis.Protocol{
			Data:        trial.Data{Name: "fashion-mnist", Train: 10000, Validation: 5000},
			Input:       trial.Input{Channels: 1, Height: 28, Width: 28, Classes: 10},
			TrainImages: 10000, ValImages: 5000,
			Settings: study.Settings{
				Network: space.Template{Stages: 3, Stem: space.Stem{Type: "cifar", Width: 16}},
				Regime:  space.Regime{Bounds: metric.Bounds{metric.Flops: {Min: 4e6, Max: 5e6}}},
				Recipe:  train.DefaultRecipe(), Seed: 1,
			},
			Samples: n,
		},
		File: "name: " + name + "\nspaces: [" + fmt.Sprint(spaces) + "]\n",
	}
	s.Protocol.Recipe.Epochs = 5
	for k, space := range spaces {
		rng := rand.New(rand.NewPCG(uint64(n), uint64(len(space)*31+k)))
		p := study.Population{Study: name, Space: space}
		for i := range n {
			p.Trials = append(p.Trials, made(t, rng, space, i, in))
		}
		s.Populations = append(s.Populations, p)
	}
	return s
}

func made(t testing.TB, rng *rand.Rand, name string, i int, in arch.Input) study.Trial {
	spec := draw(rng, name)
	if err := spec.Validate(); err != nil {
		t.Fatal(err)
	}
	drawn := asked(spec)
	spec = spec.Adjusted()
	cost, err := spec.Complexity(in)
	if err != nil {
		t.Fatal(err)
	}
	net, _ := spec.AnyNet()
	widths := net.Widths()
	bad := math.Abs(math.Log2(float64(net.Depth())/9)) * 1.1
	for j := 1; j < len(widths); j++ {
		if widths[j] < widths[j-1] {
			bad += 1.6
		}
	}
	e := 13.2 + bad + 0.7*math.Exp(0.8*rng.NormFloat64())
	tr := study.Trial{
		ID: fmt.Sprintf("%s%012x", name[:1], rng.Uint64()>>16), Space: name, Index: i, Seed: rng.Uint64(),
		Spec: spec, Asked: drawn, Complexity: cost, State: study.Done, Error: math.Round(e*50) / 50, Seconds: 20 + 5*rng.Float64(), ImagesPerSecond: 2100,
	}
	for k := 1; k <= 5; k++ {
		v := tr.Error + 22*math.Pow(0.45, float64(k))*(1+0.2*rng.NormFloat64()) - 22*math.Pow(0.45, 5)
		tr.Epochs = append(tr.Epochs, study.Epoch{Epoch: k, TrainLoss: v / 30, TrainError: v, Evaluated: true, ValLoss: v / 30, ValError: v})
	}
	tr.Epochs[4].ValError = tr.Error
	if rng.Float64() < 0.02 {
		tr.State, tr.Error, tr.Reason, tr.Epochs = study.Failed, 90, "diverged: the loss is not finite after step 214 of epoch 2 <nan>", tr.Epochs[:1]
	}
	return tr
}

func draw(rng *rand.Rand, name string) arch.Spec {
	pick := func(v ...int) int { return v[rng.IntN(len(v))] }
	stem := arch.Stem{Type: arch.CIFARStem, Width: 16}
	if name == "regnetx" {
		return arch.RegNet{
			Depth: 5 + rng.IntN(12), W0: float64(8 * (1 + rng.IntN(4))), WA: math.Round(80*math.Exp2(3*rng.Float64())) / 10, WM: 1.5 + math.Round(1000*1.5*rng.Float64())/1000,
			GroupWidth: pick(1, 2, 4, 8, 16), Bottleneck: float64(pick(1, 2, 4)), Stride: 2, Common: arch.Common{Stem: stem, Activation: 1},
		}.Spec()
	}
	n := arch.AnyNet{Common: arch.Common{Stem: stem, Activation: 1}}
	b, g := float64(pick(1, 2, 4)), pick(1, 2, 4, 8, 16, 32)
	for range 3 {
		if name == "anynetx-a" {
			b, g = float64(pick(1, 2, 4)), pick(1, 2, 4, 8, 16, 32)
		}
		s := arch.Stage{Depth: int(math.Exp2(4 * rng.Float64())), Width: 8 * int(math.Exp2(4*rng.Float64())), Stride: 2, Bottleneck: b, GroupWidth: g}
		if k := len(n.Stages); k > 0 && (name == "anynetx-d" || name == "anynetx-e") {
			s.Width = max(s.Width, n.Stages[k-1].Width)
		}
		if k := len(n.Stages); k > 0 && name == "anynetx-e" {
			s.Depth = max(s.Depth, n.Stages[k-1].Depth)
		}
		n.Stages = append(n.Stages, s)
	}
	return n.Spec()
}

// asked are the numbers of a network that has not been adjusted, by the names
// that the spaces give them.
func asked(s arch.Spec) space.Asked {
	if n, ok := s.Network.(arch.RegNet); ok {
		return space.Asked{{Name: "depth", Value: float64(n.Depth)}, {Name: "w0", Value: n.W0}, {Name: "wa", Value: n.WA}, {Name: "wm", Value: n.WM},
			{Name: "bottleneck", Value: n.Bottleneck}, {Name: "group_width", Value: float64(n.GroupWidth)}}
	}
	var all space.Asked
	n, _ := s.Network.(arch.AnyNet) // there are no others here
	for i, st := range n.Stages {
		for _, d := range []space.Drawn{{Name: "depth", Value: float64(st.Depth)}, {Name: "width", Value: float64(st.Width)},
			{Name: "bottleneck", Value: st.Bottleneck}, {Name: "group_width", Value: float64(st.GroupWidth)}} {
			all = append(all, space.Drawn{Name: fmt.Sprintf("stages[%d].%s", i, d.Name), Value: d.Value})
		}
	}
	return all
}
