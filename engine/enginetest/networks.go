package enginetest

import (
	"fmt"
	"math/rand/v2"

	"netspace/arch"
	"netspace/engine"
	"netspace/graph"
)

// network is a Case of one of arch's families.
func network(n string, batch int, in arch.Input, net interface {
	Build(graph.Sink, arch.Input) graph.Value
}) Case {
	return Case{Name: n, Batch: batch, Graph: mustGraph(func(r *graph.Recorder) { net.Build(r, in) })}
}

// blockCases are networks of one stage of two or three blocks: the first
// changes width and resolution, the others have the identity for a shortcut.
func blockCases() []Case {
	var cases []Case
	add := func(n string, batch, size int, net arch.AnyNet) {
		net.Adjust()
		cases = append(cases, network("block/"+n, batch, arch.Input{Channels: 3, Height: size, Width: size + 1, Classes: 10}, net))
	}
	stage := func(width, stride int, b float64, g int) []arch.Stage {
		return []arch.Stage{{Depth: 2, Width: width, Stride: stride, Bottleneck: b, GroupWidth: g}}
	}
	stem := arch.Stem{Type: arch.CIFARStem, Width: 8}
	relu := arch.AnyNet{Common: arch.Common{Stem: stem, Activation: graph.ReLU}}
	for _, t := range arch.Blocks() {
		for _, w := range []int{8, 20} {
			for s := 1; s <= 2; s++ {
				net := relu
				net.Block, net.Stages = t, stage(w, s, 1, 4)
				add(fmt.Sprintf("%s-%d-s%d", t, w, s), 3, 7, net)
			}
		}
		// All that the blocks have, at once.
		net := relu
		net.Block, net.Stages, net.Activation, net.Dropout, net.HeadWidth = t, stage(24, 2, 2, 3), graph.SiLU, 0.3, 20
		net.Stages = append(net.Stages, arch.Stage{Depth: 3, Width: 24, Stride: 1, Bottleneck: 2, GroupWidth: 3})
		net.SE, net.DropPath, net.Stride1x1 = 0.25, 0.4, true // Adjust clears what they do not have
		add(fmt.Sprintf("%s-everything", t), 3, 7, net)
	}
	for _, b := range []float64{1, 2, 4, 0.5, 0.25} {
		for _, g := range []int{1, 2, 4, 8, 16} {
			net := relu
			net.Block, net.Stages = arch.Bottleneck, stage(16, 2, b, g)
			add(fmt.Sprintf("X-b%g-g%d", b, g), 2, 7, net)
		}
	}
	for _, g := range []int{1, 3, 5, 12, 20, 24} {
		net := relu
		net.Block, net.SE, net.Stages = arch.Bottleneck, 0.25, stage(24, 2, 1, g)
		add(fmt.Sprintf("Y-g%d", g), 3, 6, net)
		net.Activation, net.DropPath, net.Dropout, net.HeadWidth = graph.SiLU, 0.4, 0.3, 20
		add(fmt.Sprintf("Y-silu-head-drop-g%d", g), 3, 6, net)
	}
	for _, radix := range []int{1, 2, 4} {
		for _, g := range []int{4, 8, 16} {
			net := relu
			net.Block, net.Radix, net.Stages = arch.SplitAttention, radix, stage(32, 2, 2, g)
			add(fmt.Sprintf("split-attention-radix%d-g%d", radix, g), 3, 7, net)
		}
	}
	net := relu
	net.Block, net.Stages, net.DropPath = arch.BottleneckLinear, stage(8, 1, 0.25, 1), 0.4
	add("linear-X-inverted-depthwise-drop", 3, 6, net)
	for _, k := range []int{3, 5} {
		for _, e := range []float64{1, 4, 6} {
			for s := 1; s <= 2; s++ {
				eff := arch.EffNet{
					Common: arch.Common{Stem: stem, SE: 0.25, Activation: graph.SiLU, HeadWidth: 24, DropPath: 0.3, Dropout: 0.2},
					Stages: []arch.EffStage{{Depth: 2, Width: 8, Stride: s, Expand: e, Kernel: k}},
				}
				in := arch.Input{Channels: 3, Height: 6, Width: 7, Classes: 10}
				cases = append(cases, network(fmt.Sprintf("block/MBConv-k%d-e%g-s%d", k, e, s), 3, in, eff))
			}
		}
	}
	return cases
}

// networkCases are whole networks: every stem, one and three channels, odd sizes.
func networkCases() []Case {
	var cases []Case
	stages := func(g int, widths ...int) []arch.Stage {
		var s []arch.Stage
		for i, w := range widths {
			s = append(s, arch.Stage{Depth: 1 + i%2, Width: w, Stride: 1 + min(i, 1), Bottleneck: 1, GroupWidth: g})
		}
		return s
	}
	for i, stem := range []arch.StemType{arch.SimpleStem, arch.CIFARStem, arch.ResNetStem, arch.DeepStem} {
		for k, channels := range []int{1, 3} {
			n := arch.AnyNet{Common: arch.Common{Activation: graph.ReLU, Stem: arch.Stem{Type: stem, Width: 12 + 4*k}}, Stages: stages([]int{4, 8, 2, 1, 16, 3, 4, 8}[2*i+k], 16, 24, 32)}
			n.Adjust()
			size := []int{17, 9, 31, 31}[i] + 2*k
			in := arch.Input{Channels: channels, Height: size, Width: size - 2, Classes: 10}
			cases = append(cases, network(fmt.Sprintf("network/stem%d-%d-channels", stem, channels), 2+k, in, n))
		}
	}
	y := arch.AnyNet{Common: arch.Common{Stem: arch.Stem{Type: arch.CIFARStem, Width: 16}, SE: 0.25, DropPath: 0.2, Dropout: 0.2, HeadWidth: 48, Activation: graph.SiLU}, Stages: stages(8, 16, 32)}
	y.Adjust()
	cases = append(cases, network("network/Y-batch-8", 8, arch.Input{Channels: 1, Height: 8, Width: 8, Classes: 10}, y))
	deep := arch.AnyNet{Common: arch.Common{Activation: graph.ReLU, Stem: arch.Stem{Type: arch.CIFARStem, Width: 8}}, Stages: []arch.Stage{
		{Depth: 8, Width: 8, Stride: 1, Bottleneck: 1, GroupWidth: 4},
		{Depth: 8, Width: 16, Stride: 2, Bottleneck: 2, GroupWidth: 8},
	}}
	deep.Adjust()
	cases = append(cases, network("network/deep", 4, arch.Input{Channels: 3, Height: 8, Width: 8, Classes: 5}, deep))
	return cases
}

// largeCases are blocks on maps so large that an engine which works through
// the batch in pieces that fit a cache has several of them. They are smooth:
// among so many ReLU inputs some are always near the kink.
func largeCases() []Case {
	var cases []Case
	once := []engine.Update{{LR: 0.05, Momentum: 0.9, WeightDecay: 1e-2}}
	add := func(n string, batch int, size int, net arch.AnyNet) {
		net.Adjust()
		c := network("large/"+n, batch, arch.Input{Channels: 3, Height: size, Width: size, Classes: 10}, net)
		c.Updates = once
		cases = append(cases, c)
	}
	stage := func(width, stride int, b float64, g int) []arch.Stage {
		return []arch.Stage{{Depth: 1, Width: width, Stride: stride, Bottleneck: b, GroupWidth: g}}
	}
	smooth := arch.AnyNet{Common: arch.Common{Stem: arch.Stem{Type: arch.CIFARStem, Width: 16}, Activation: graph.SiLU}}
	net := smooth
	net.Stages = stage(16, 1, 1, 8)
	add("X-batch-8", 8, 24, net)
	net.Stages, net.SE, net.DropPath, net.Dropout, net.HeadWidth = stage(20, 2, 1, 2), 0.25, 0.3, 0.3, 40
	add("Y-everything-batch-9", 9, 24, net)
	net = smooth
	net.Block, net.Stages = arch.Basic, stage(16, 2, 0, 0)
	add("R-batch-6", 6, 26, net)
	net = smooth
	net.Block, net.Stages = arch.BottleneckLinear, stage(16, 1, 0.5, 1)
	add("linear-X-batch-7", 7, 22, net)
	net = smooth
	net.Stem.Type, net.Stages = arch.ResNetStem, stage(16, 1, 1, 16)
	add("resnet-stem-batch-8", 8, 50, net)
	cases = append(cases, Case{
		Name: "large/max-pool-dropout-batch-8", Batch: 8, Updates: once,
		Graph: around(shape{3, 24, 24}, 20, func(r *graph.Recorder, x graph.Value) graph.Value {
			x = r.Activation(r.BatchNorm(name("bn"), x, graph.BatchNorm{}), graph.SiLU)
			x = r.Dropout(r.MaxPool(x, 3, 2), 0.2)
			y := r.DropPath(r.Conv(name("conv"), x, graph.Conv{Out: 20, Kernel: 3, Stride: 1, Groups: 5}), 0.2)
			return r.Add(x, y)
		}),
	})
	return cases
}

// threadCases run a network on several threads, also on more than the batch
// can be shared out to.
func threadCases() []Case {
	n := arch.AnyNet{Common: arch.Common{Stem: arch.Stem{Type: arch.CIFARStem, Width: 8}, Activation: graph.SiLU, SE: 0.25, DropPath: 0.3}, Stages: []arch.Stage{
		{Depth: 2, Width: 12, Stride: 2, Bottleneck: 1, GroupWidth: 4},
	}}
	n.Adjust()
	var cases []Case
	for _, batch := range []int{2, 4, 5, 8} {
		for _, threads := range []int{2, 3, 4} {
			c := network(fmt.Sprintf("threads/%d-batch-%d", threads, batch), batch, arch.Input{Channels: 3, Height: 9, Width: 9, Classes: 10}, n)
			c.Threads = threads
			cases = append(cases, c)
		}
	}
	// Every kind of block: threads share the images of a step, whose norms are those of the whole batch.
	in := arch.Input{Channels: 3, Height: 7, Width: 8, Classes: 10}
	for _, t := range arch.Blocks() {
		m := n
		m.Block, m.Stages = t, []arch.Stage{{Depth: 2, Width: 16, Stride: 2, Bottleneck: 1, GroupWidth: 8}}
		m.Adjust()
		c := network(fmt.Sprintf("threads/%s", t), 6, in, m)
		c.Threads = 3
		cases = append(cases, c)
	}
	c := network("threads/MBConv", 6, in, arch.EffNet{Common: n.Common, Stages: []arch.EffStage{{Depth: 2, Width: 16, Stride: 2, Expand: 4, Kernel: 5}}})
	c.Threads = 3
	cases = append(cases, c)
	return cases
}

// normsOf lists the BNs of a graph.
func normsOf(g *graph.Graph) []int {
	var norms []int
	for i := range g.Nodes {
		if g.Nodes[i].Op == graph.OpBatchNorm {
			norms = append(norms, i)
		}
	}
	return norms
}

// fixedCases are networks some of whose BNs keep their running statistics, one kind of block each, and graphs that no
// family has.
func fixedCases() []Case {
	common := arch.Common{Stem: arch.Stem{Type: arch.CIFARStem, Width: 8}, Activation: graph.SiLU, SE: 0.25, DropPath: 0.3}
	in := arch.Input{Channels: 3, Height: 7, Width: 8, Classes: 10}
	u := engine.Update{LR: 0.05, Momentum: 0.9, WeightDecay: 1e-2, EMADecay: 0.7}
	var cases []Case
	for i, t := range arch.Blocks() {
		n := arch.AnyNet{Block: t, Common: common, Stages: []arch.Stage{{Depth: 2, Width: 16, Stride: 2, Bottleneck: 1, GroupWidth: 8}}}
		n.Adjust()
		c := network(fmt.Sprintf("fixed/%s", t), 5, in, n)
		c.Threads, c.Updates = 1+i%2*2, []engine.Update{u, u}
		for k, norm := range normsOf(c.Graph) {
			if (k+i)%2 == 0 {
				c.Fixed = append(c.Fixed, norm)
			}
		}
		cases = append(cases, c)
	}
	for i, c := range randomCases(8) {
		c.Name, c.Updates = "fixed/"+c.Name, []engine.Update{u, u}
		for k, norm := range normsOf(c.Graph) {
			if i == 0 || (k+i)%3 > 0 {
				c.Fixed = append(c.Fixed, norm)
			}
		}
		cases = append(cases, c)
	}
	return cases
}

// optimizerCases train one small network with every rule of Update.
func optimizerCases() []Case {
	n := arch.AnyNet{Common: arch.Common{Activation: graph.ReLU, Stem: arch.Stem{Type: arch.CIFARStem, Width: 8}, SE: 0.25}, Stages: []arch.Stage{{Depth: 2, Width: 12, Stride: 2, Bottleneck: 1, GroupWidth: 4}}}
	n.Adjust()
	in := arch.Input{Channels: 3, Height: 8, Width: 8, Classes: 10}
	adam := engine.Update{LR: 0.003, Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-3, WeightDecay: 0.1, BNWeightDecay: 0.2, BiasWeightDecay: 0.3}
	adamW := adam
	adam.Optimizer, adamW.Optimizer = engine.Adam, engine.AdamW
	sgd := engine.Update{LR: 0.05, Momentum: 0.9, WeightDecay: 0.1, BNWeightDecay: 0.2, BiasWeightDecay: 0.3}
	with := func(u engine.Update, change func(*engine.Update)) engine.Update {
		change(&u)
		return u
	}
	// Some parameters of each kind stay as they are, others move by more or less.
	rates := make([]float64, len(mustGraph(func(r *graph.Recorder) { n.Build(r, in) }).Params))
	for i := range rates {
		rates[i] = []float64{1, 0, 0.25, 2}[i%7%4]
	}
	rules := []struct {
		name string
		u    engine.Update
	}{
		{"sgd-plain", engine.Update{LR: 0.1}},
		{"sgd-momentum", engine.Update{LR: 0.05, Momentum: 0.9}},
		{"sgd-weight-decay", sgd},
		{"sgd-weights-only-decay", engine.Update{LR: 0.05, Momentum: 0.9, WeightDecay: 0.3}},
		{"sgd-bn-only-decay", engine.Update{LR: 0.05, Momentum: 0.9, BNWeightDecay: 0.3}},
		{"sgd-bias-only-decay", engine.Update{LR: 0.05, Momentum: 0.9, BiasWeightDecay: 0.3}},
		{"sgd-nesterov", with(sgd, func(u *engine.Update) { u.Nesterov = true })},
		{"sgd-clip", with(sgd, func(u *engine.Update) { u.ClipNorm = 0.1 })},
		{"sgd-clip-inactive", with(sgd, func(u *engine.Update) { u.ClipNorm = 1e6 })},
		{"sgd-ema", with(sgd, func(u *engine.Update) { u.EMADecay = 0.7 })},
		{"sgd-rates-ema", with(sgd, func(u *engine.Update) { u.EMADecay, u.Rates = 0.7, rates })},
		{"adam-rates", with(adam, func(u *engine.Update) { u.Rates = rates })},
		{"adamw-rates-clip", with(adamW, func(u *engine.Update) { u.ClipNorm, u.Rates = 0.1, rates })},
		{"adam", adam},
		{"adam-clip-ema", with(adam, func(u *engine.Update) { u.ClipNorm, u.EMADecay = 0.1, 0.7 })},
		{"adamw", adamW},
		{"adamw-clip", with(adamW, func(u *engine.Update) { u.ClipNorm = 0.1 })},
	}
	var cases []Case
	for _, rule := range rules {
		c := network("update/"+rule.name, 4, in, n)
		for step := range 4 {
			u := rule.u
			u.Step = step + 1
			u.LR /= float64(step + 1)
			c.Updates = append(c.Updates, u)
		}
		cases = append(cases, c)
	}
	return cases
}

// randomCases are graphs that no family has: ops in any order, values used
// several times. What an engine fuses must not depend on the blocks of today.
func randomCases(n int) []Case {
	var cases []Case
	for k := range n {
		r := rand.New(rand.NewPCG(uint64(k), 2))
		in := shape{1 + 2*r.IntN(2), 5 + r.IntN(5), 5 + r.IntN(5)}
		cases = append(cases, Case{
			Name:  fmt.Sprintf("random/%02d", k),
			Batch: 2 + r.IntN(4),
			Graph: build(in, func(rec *graph.Recorder, x graph.Value) { randomGraph(r, rec, x) }),
		})
	}
	return cases
}

func randomGraph(r *rand.Rand, rec *graph.Recorder, x graph.Value) {
	widths := []int{4, 5, 8, 12, 16, 20, 24}
	count := 0
	next := func(part string) graph.Name {
		count++
		return graph.Name{Part: fmt.Sprintf("%s%d", part, count)}
	}
	bn := func(x graph.Value) graph.Value {
		n := next("bn")
		return rec.BatchNorm(n, x, graph.BatchNorm{Epsilon: 1e-3 * float64(count%3), EndsBranch: r.IntN(2) == 0})
	}
	x = bn(rec.Conv(next("conv"), x, graph.Conv{Out: widths[r.IntN(len(widths))], Kernel: 3, Stride: 1, Groups: 1}))
	values := []graph.Value{x} // any of them may be used again
	for range 6 + r.IntN(8) {
		x := values[len(values)-1-r.IntN(min(2, len(values)))]
		switch r.IntN(9) {
		case 0: // dense
			x = rec.Conv(next("conv"), x, graph.Conv{Out: widths[r.IntN(len(widths))], Kernel: 1 + 2*r.IntN(2), Stride: 1, Groups: 1, Bias: r.IntN(3) == 0})
		case 1: // grouped
			groups := x.C
			for d := 2 + r.IntN(4); d > 1; d-- {
				if x.C%d == 0 {
					groups = x.C / d
				}
			}
			x = rec.Conv(next("conv"), x, graph.Conv{Out: x.C, Kernel: 3, Stride: 1, Groups: groups})
		case 2, 3:
			x = bn(x)
		case 4, 5:
			x = rec.Activation(x, graph.Activation(1+r.IntN(3)))
		case 6: // the sum with any value of the same shape
			y := values[r.IntN(len(values))]
			if y.C != x.C || y.H != x.H || y.Node == x.Node {
				y = bn(rec.Conv(next("conv"), x, graph.Conv{Out: x.C, Kernel: 1, Stride: 1, Groups: 1}))
			}
			x = rec.Add(x, y)
		case 7:
			gate := rec.Conv(next("gate"), rec.GlobalPool(x), graph.Conv{Out: x.C, Kernel: 1, Stride: 1, Groups: 1, Bias: true})
			x = rec.Scale(x, rec.Activation(gate, graph.Sigmoid))
		case 8:
			if x.H < 4 || x.W < 4 {
				x = rec.DropPath(x, 0.3)
			} else if r.IntN(2) == 0 {
				x = rec.MaxPool(x, 3, 2)
			} else {
				x = bn(rec.Conv(next("conv"), x, graph.Conv{Out: x.C, Kernel: 3, Stride: 2, Groups: 1}))
			}
		}
		values = append(values, x)
	}
	// Earlier values are used once more.
	x = values[len(values)-1]
	for _, v := range values[:len(values)-1] {
		if v.C == x.C && v.H == x.H && v.W == x.W && v.Node != x.Node && r.IntN(2) == 0 {
			x = rec.Add(x, v)
		}
	}
	finish(rec, bn(x))
}
