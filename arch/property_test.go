package arch

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"netspace/graph"
	"netspace/strict"
)

var (
	genBottleneck = rapid.SampledFrom([]float64{1, 2, 4, 8, 3, 0.5, 0.25, 1. / 3, 1. / 6})
	genBlock      = rapid.SampledFrom(Blocks())
	genActivation = rapid.SampledFrom([]graph.Activation{graph.ReLU, graph.SiLU})
	genRate       = rapid.SampledFrom([]float64{0, 0, 0.1, 0.2345})
	genStem       = rapid.Custom(func(t *rapid.T) Stem {
		return Stem{Type: StemType(rapid.IntRange(0, 2).Draw(t, "stem")), Width: rapid.IntRange(1, 40).Draw(t, "stem width")}
	})
)

var genAnyNet = rapid.Custom(func(t *rapid.T) AnyNet {
	n := AnyNet{Block: genBlock.Draw(t, "block"), Common: Common{Stem: genStem.Draw(t, "stem"), Activation: genActivation.Draw(t, "activation"), HeadWidth: rapid.SampledFrom([]int{0, 0, 24}).Draw(t, "head"), Dropout: genRate.Draw(t, "dropout")}}
	has := n.Block.Has()
	if has.SE {
		n.SE = rapid.SampledFrom([]float64{0, 0.25, 0.5, 1}).Draw(t, "se")
	}
	if has.Stride1x1 {
		n.Stride1x1 = rapid.Bool().Draw(t, "stride in the 1×1")
	}
	if has.Branch {
		n.DropPath = genRate.Draw(t, "drop path")
	}
	for range rapid.IntRange(1, 5).Draw(t, "stages") {
		s := Stage{Depth: rapid.IntRange(1, 6).Draw(t, "depth"), Width: rapid.IntRange(1, 100).Draw(t, "width"), Stride: rapid.IntRange(1, 3).Draw(t, "stride")}
		s.Bottleneck, s.GroupWidth = genBottleneck.Draw(t, "bottleneck"), rapid.IntRange(1, 40).Draw(t, "group width")
		n.Stages = append(n.Stages, has.only(s))
	}
	return n
})

var genRegNet = rapid.Custom(func(t *rapid.T) RegNet {
	n := genAnyNet.Draw(t, "like")
	r := RegNet{Depth: rapid.IntRange(1, 30).Draw(t, "depth"), W0: rapid.Float64Range(0.5, 64).Draw(t, "w0"), WA: rapid.Float64Range(0, 16).Draw(t, "wa"),
		WM: rapid.Float64Range(1.05, 3.5).Draw(t, "wm"), Stride: rapid.IntRange(1, 3).Draw(t, "stride"),
		Block: n.Block, Common: n.Common}
	s := r.Block.Has().only(Stage{Bottleneck: genBottleneck.Draw(t, "bottleneck"), GroupWidth: rapid.IntRange(1, 100).Draw(t, "group width")})
	r.Bottleneck, r.GroupWidth = s.Bottleneck, s.GroupWidth
	return r
})

var genEffNet = rapid.Custom(func(t *rapid.T) EffNet {
	n := EffNet{Common: Common{Stem: genStem.Draw(t, "stem"), SE: rapid.SampledFrom([]float64{0, 0.25, 0.1}).Draw(t, "se"), Activation: genActivation.Draw(t, "activation"), HeadWidth: rapid.SampledFrom([]int{0, 48}).Draw(t, "head"), DropPath: genRate.Draw(t, "drop path"), Dropout: genRate.Draw(t, "dropout")}}
	for range rapid.IntRange(1, 4).Draw(t, "stages") {
		n.Stages = append(n.Stages, EffStage{Depth: rapid.IntRange(1, 4).Draw(t, "depth"), Width: rapid.IntRange(1, 40).Draw(t, "width"),
			Stride: rapid.IntRange(1, 2).Draw(t, "stride"), Expand: rapid.SampledFrom([]float64{1, 2.5, 6}).Draw(t, "expand"), Kernel: rapid.SampledFrom([]int{1, 3, 5, 7}).Draw(t, "kernel")})
	}
	return n
})

var genSpec = rapid.Custom(func(t *rapid.T) Spec {
	s := Spec{Network: rapid.OneOf(
		rapid.Map(genAnyNet, func(n AnyNet) Network { return n }),
		rapid.Map(genRegNet, func(n RegNet) Network { return n }),
		rapid.Map(genEffNet, func(n EffNet) Network { return n }),
	).Draw(t, "network")}
	if rapid.Bool().Draw(t, "stated") {
		s.Resolution, s.Channels, s.Classes = rapid.IntRange(1, 40).Draw(t, "resolution"), rapid.IntRange(1, 4).Draw(t, "channels"), rapid.IntRange(1, 20).Draw(t, "classes")
	}
	return s
})

var genInput = rapid.Custom(func(t *rapid.T) Input {
	return Input{Channels: rapid.IntRange(1, 3).Draw(t, "channels"), Height: rapid.IntRange(1, 65).Draw(t, "height"), Width: rapid.IntRange(1, 65).Draw(t, "width"), Classes: rapid.IntRange(2, 12).Draw(t, "classes")}
})

// TestCountEqualsGraph: what the counting sink adds up, jumping over the
// repeated blocks of a stage, is the sum over the ops of the recorded graph,
// and the parameters counted are the sizes of the tensors.
func TestCountEqualsGraph(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, in := genSpec.Draw(t, "spec"), genInput.Draw(t, "input")
		k, err := spec.Complexity(in)
		if err != nil {
			t.Fatal(err)
		}
		g, err := spec.Graph(in)
		if err != nil {
			t.Fatal(err)
		}
		if sum := g.Complexity(); sum != k {
			t.Fatalf("counted %+v, the graph sums to %+v", k, sum)
		}
		var params int64
		names := map[string]bool{}
		for _, p := range g.Params {
			params += int64(p.Size())
			if names[p.Name] {
				t.Fatalf("two parameters are called %s", p.Name)
			}
			names[p.Name] = true
		}
		if params != k.Params {
			t.Fatalf("counted %d params, the tensors have %d", k.Params, params)
		}
		if out := g.Output(); out.Op != graph.OpLinear || out.C != in.Classes {
			t.Fatalf("the last node is %s of %d", out.Op, out.C)
		}
	})
}

// TestAdjusting: it is idempotent, keeps the network and its key, and leaves
// compatible numbers.
func TestAdjusting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, in := genSpec.Draw(t, "spec"), genInput.Draw(t, "input")
		once := spec.Adjusted()
		if diff := cmp.Diff(once, once.Adjusted()); diff != "" {
			t.Fatalf("adjusted twice, -once +twice:\n%s", diff)
		}
		if err := once.Validate(); err != nil {
			t.Fatalf("adjusted: %v", err)
		}
		if spec.Key() != once.Key() {
			t.Fatalf("keys differ:\n%s\n%s", spec.Key(), once.Key())
		}
		before, _ := spec.Complexity(in)
		after, err := once.Complexity(in)
		if err != nil || before != after {
			t.Fatalf("complexity %+v became %+v (%v)", before, after, err)
		}
		n, ok := spec.AnyNet()
		if _, eff := spec.Network.(EffNet); ok == eff {
			t.Fatalf("AnyNet: %t for %s", ok, spec.Family())
		}
		if !ok {
			return
		}
		same := spec
		same.Network = n
		if same.Key() != spec.Key() {
			t.Fatalf("the stages' key differs:\n%s\n%s", spec.Key(), same.Key())
		}
		if k := n.Complexity(in); k != before {
			t.Fatalf("the stages count %+v, the spec %+v", k, before)
		}
		has := n.Block.Has()
		for _, s := range n.Stages {
			if has.Groups && s.mid()%s.GroupWidth != 0 || has.Bottleneck && math.Round(float64(s.mid())*s.Bottleneck) != float64(s.Width) {
				t.Fatalf("%+v has a 3×3 of %d", s, s.mid())
			}
		}
	})
}

// TestAdjustedFormula compares with docs/method.md §2 as it is written there, in floats.
func TestAdjustedFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Stage{Depth: 1, Stride: 2, Width: rapid.IntRange(1, 3000).Draw(t, "width"), Bottleneck: rapid.SampledFrom([]float64{1, 2, 4, 0.5, 0.25}).Draw(t, "b"), GroupWidth: rapid.IntRange(1, 300).Draw(t, "g")}
		mid := math.Max(1, math.Floor(float64(s.Width)/s.Bottleneck))
		g := math.Min(float64(s.GroupWidth), mid)
		unit := g
		if m := 1 / s.Bottleneck; m > 1 {
			for math.Mod(unit, m) != 0 {
				unit += g
			}
		}
		mid = math.Max(unit, math.RoundToEven(mid/unit)*unit)
		want := Stage{Depth: 1, Stride: 2, Width: int(mid * s.Bottleneck), Bottleneck: s.Bottleneck, GroupWidth: int(g)}
		if got := s.Adjusted(); got != want {
			t.Fatalf("%+v became %+v, want %+v", s, got, want)
		}
	})
}

// TestRegNetWidths compares with eq. 2–4 of DDS as they are written there.
func TestRegNetWidths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRegNet.Draw(t, "regnet")
		r.Block, r.GroupWidth, r.Bottleneck = Bottleneck, 1, 1 // no adjustment
		var want []int
		for j := range r.Depth {
			u := r.W0 + r.WA*float64(j)
			s := math.RoundToEven(math.Log(u/r.W0) / math.Log(r.WM))
			want = append(want, max(8, int(math.RoundToEven(r.W0*math.Pow(r.WM, s)/8))*8))
		}
		n := AnyNet{Stages: r.AppendStages(nil)}
		if diff := cmp.Diff(want, n.Widths()); diff != "" {
			t.Fatalf("widths, -eq. 2–4 +stages:\n%s", diff)
		}
		for i := 1; i < len(n.Stages); i++ {
			if n.Stages[i].Width <= n.Stages[i-1].Width {
				t.Fatalf("stages %d and %d have widths %d and %d", i-1, i, n.Stages[i-1].Width, n.Stages[i].Width)
			}
		}
	})
}

// TestRoundTrip: a spec written as YAML or JSON reads back as itself.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genSpec.Draw(t, "spec")
		if rapid.Bool().Draw(t, "recipe") {
			s.Recipe = map[string]any{"epochs": 5, "lr": 0.1, "weight_decay": 5e-5, "nesterov": true, "schedule": "cosine", "decay_epochs": []any{1, 2.5}}
		}
		roundTrip(t, s)
		roundTrip(t, s.Adjusted())
	})
}

// FuzzParseSpec: whatever is in a file, reading it gives faults, or a valid spec that
// is the same network when it is written and read.
func FuzzParseSpec(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, seed := range []string{"family: regnet\ndepth: 22\nw0: 24\nwa: 24.48\nwm: 2.54\ngroup_width: 16\n", `{"family":"anynet","stages":[{"depth":1,"width":8,"group_width":8}]}`,
		"a: &a [*a]", "? [1]: 2", "- - -", "family: !!str effnet", "{a: |\n x}", "\ufeff", "[[[[[[", "a:\n\t- b"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		spec, err := ParseSpec(data, "fuzz.yaml")
		if err == nil {
			if err := spec.Validate(); err != nil {
				t.Fatalf("read without error, but %v", err)
			}
			text, err := spec.MarshalYAML()
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseSpec(text, "written.yaml")
			if err != nil || again.Key() != spec.Key() {
				t.Fatalf("written\n%s\nit is another network: %v", text, err)
			}
			return
		}
		var faults *strict.Error
		if !errors.As(err, &faults) || err.Error() == "" {
			t.Fatalf("%q is a %T", err, err)
		}
	})
}

// TestHalfLevels: s_j is rounded half to even, as in the published networks.
func TestHalfLevels(t *testing.T) {
	r := RegNet{Depth: 2, W0: 8, WA: 8, WM: 4, GroupWidth: 1, Bottleneck: 1} // s_1 = log 2 / log 4 = ½
	if got := r.AppendStages(nil); len(got) != 1 || got[0].Width != 8 || got[0].Depth != 2 {
		t.Errorf("%+v, want one stage of two blocks of width 8", got)
	}
}

// TestKeysDiffer: any number that changes the network changes its key.
func TestKeysDiffer(t *testing.T) {
	base := func() Spec {
		return AnyNet{Common: Common{Stem: Stem{SimpleStem, 32}, SE: 0.25, Activation: graph.ReLU, HeadWidth: 64, DropPath: 0.1, Dropout: 0.1},
			Stages: []Stage{{1, 32, 2, 1, 8}, {2, 64, 2, 1, 8}}}.Spec()
	}
	eff := func() Spec {
		return EffNet{Common: Common{Stem: Stem{SimpleStem, 32}, SE: 0.25, Activation: graph.SiLU, HeadWidth: 64}, Stages: []EffStage{{1, 16, 1, 1, 3}, {2, 24, 2, 6, 3}}}.Spec()
	}
	keys := map[string]string{}
	add := func(what string, s Spec) {
		if err := s.Validate(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if other, taken := keys[s.Key()]; taken {
			t.Errorf("%s and %s have one key: %s", what, other, s.Key())
		}
		keys[s.Key()] = what
	}
	add("base", base())
	for what, change := range map[string]func(*AnyNet){
		"linear":     func(n *AnyNet) { n.Block = BottleneckLinear },
		"stem":       func(n *AnyNet) { n.Stem.Type = CIFARStem },
		"stride 1×1": func(n *AnyNet) { n.Stride1x1 = true },
		"stem width": func(n *AnyNet) { n.Stem.Width = 16 },
		"se":         func(n *AnyNet) { n.SE = 0.5 },
		"activation": func(n *AnyNet) { n.Activation = graph.SiLU },
		"head":       func(n *AnyNet) { n.HeadWidth = 0 },
		"drop path":  func(n *AnyNet) { n.DropPath = 0 },
		"dropout":    func(n *AnyNet) { n.Dropout = 0 },
		"depth":      func(n *AnyNet) { n.Stages[0].Depth = 2 },
		"width":      func(n *AnyNet) { n.Stages[0].Width = 40 },
		"stride":     func(n *AnyNet) { n.Stages[0].Stride = 1 },
		"bottleneck": func(n *AnyNet) { n.Stages[0].Bottleneck = 2 },
		"group":      func(n *AnyNet) { n.Stages[0].GroupWidth = 16 },
		"stages":     func(n *AnyNet) { n.Stages = n.Stages[:1] },
	} {
		s := base()
		n := s.Network.(AnyNet)
		change(&n)
		s.Network = n
		add(what, s)
	}
	for what, change := range map[string]func(*Spec){
		"resolution": func(s *Spec) { s.Resolution = 32 }, "channels": func(s *Spec) { s.Channels = 1 }, "classes": func(s *Spec) { s.Classes = 10 },
	} {
		s := base()
		change(&s)
		add(what, s)
	}
	add("effnet", eff())
	for what, change := range map[string]func(*EffStage){
		"eff depth": func(s *EffStage) { s.Depth = 2 }, "eff width": func(s *EffStage) { s.Width = 24 }, "eff stride": func(s *EffStage) { s.Stride = 2 },
		"expand": func(s *EffStage) { s.Expand = 4 }, "kernel": func(s *EffStage) { s.Kernel = 5 },
	} {
		s := eff()
		change(&s.Network.(EffNet).Stages[0])
		add(what, s)
	}

	s := base()
	s.Recipe = map[string]any{"lr": 1}
	if s.Key() != base().Key() {
		t.Error("the recipe has a part in the key")
	}
}
