package space

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"netspace/arch"
	"netspace/graph"
	"netspace/metric"
)

var published = Regime{Bounds: metric.Bounds{metric.Flops: {Min: 360e6, Max: 400e6}}}

func mustLoad(t testing.TB, name string) *Space {
	t.Helper()
	s, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// text of a population and its report: what must not change.
func text(t testing.TB, networks []Network, r Report) string {
	t.Helper()
	var b strings.Builder
	for _, n := range networks {
		spec, err := n.Spec.MarshalYAML()
		if err != nil {
			t.Fatal(err)
		}
		b.Write(spec)
		for _, d := range n.Asked {
			b.WriteString(d.Name + " " + metric.FormatNumber(d.Value) + "\n")
		}
	}
	report, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b.String() + string(report)
}

func TestWorkersChangeNothing(t *testing.T) {
	for _, name := range []string{"anynetx-e", "regnetx", "testdata/good/everything.yaml", "testdata/good/lr-sweep.yaml"} {
		s := mustLoad(t, name)
		cfg := Config{Seed: 3}
		if s.Regime.Bounds[metric.Flops].IsZero() && name != "testdata/good/lr-sweep.yaml" {
			cfg.Regime = published
		}
		var first string
		for _, workers := range []int{1, 2, 64} {
			cfg.Workers = workers
			networks, r, err := s.Sample(context.Background(), cfg, 40)
			if err != nil {
				t.Fatal(err)
			}
			got := text(t, networks, r)
			if first == "" {
				first = got
			}
			if got != first {
				t.Errorf("%s: other bytes with %d workers:\n%s", name, workers, cmp.Diff(first, got))
			}
		}
	}
}

// TestWorkersChangeNoFailure: where sampling gives up depends on them neither.
func TestWorkersChangeNoFailure(t *testing.T) {
	s := mustLoad(t, "regnetx")
	for _, effort := range []int64{1, 777, 100_000} {
		var first string
		for _, workers := range []int{1, 3, 64} {
			networks, r, err := s.Sample(context.Background(), Config{Regime: published, Workers: workers, Effort: effort}, 1000)
			var few *TooFewError
			if !errors.As(err, &few) || r.Candidates > effort {
				t.Fatalf("%d candidates, %v", r.Candidates, err)
			}
			got := text(t, networks, r) + err.Error()
			if first == "" {
				first = got
			}
			if got != first {
				t.Errorf("effort %d: otherwise with %d workers:\n%s", effort, workers, cmp.Diff(first, got))
			}
		}
	}
}

func TestMoreBeginsWithFewer(t *testing.T) {
	s := mustLoad(t, "anynetx-d")
	few, _, err := s.Sample(context.Background(), Config{Regime: published}, 20)
	if err != nil {
		t.Fatal(err)
	}
	// More candidates than a tenth of the effort: patience starts anew with each network.
	many, r, err := s.Sample(context.Background(), Config{Regime: published, Effort: 30_000}, 200)
	if err != nil || r.Candidates < 5000 {
		t.Fatalf("%d candidates, %v", r.Candidates, err)
	}
	if diff := cmp.Diff(text(t, few, Report{}), text(t, many[:20], Report{})); diff != "" {
		t.Error(diff)
	}
	other, _, err := s.Sample(context.Background(), Config{Regime: published, Seed: 1}, 20)
	if err != nil {
		t.Fatal(err)
	}
	if other[0].Spec.Key() == few[0].Spec.Key() && other[1].Spec.Key() == few[1].Spec.Key() {
		t.Error("another seed gives the same networks")
	}
}

// TestBytes pins populations. It fails on a platform that draws differently,
// and when a change of the program changes the networks of a seed, which is
// worth a line in the changelog.
func TestBytes(t *testing.T) {
	for name, want := range map[string]uint64{
		"anynetx-a": 0x5c6dee001d11a65b, "anynetx-e": 0xbb8e0df6fe8da3dc, "regnetx": 0x2927bc51ea2df4e4,
		"testdata/good/everything.yaml": 0x7a36f1ec221ef473, "testdata/good/lr-sweep.yaml": 0xdf2b8410f9d4eae1,
	} {
		networks, _, err := mustLoad(t, name).Sample(context.Background(), Config{Regime: Regime{Bounds: metric.Bounds{metric.Flops: {Min: 1e6, Max: 2e9}}}}, 50)
		if err != nil {
			t.Fatal(err)
		}
		h := fnv.New64a()
		for _, n := range networks {
			h.Write([]byte(n.Spec.Key()))
			for _, d := range n.Asked {
				h.Write([]byte(d.Name + metric.FormatNumber(d.Value)))
			}
		}
		if got := h.Sum64(); got != want {
			t.Errorf("%s: hash of the networks is %#x, want %#x", name, got, want)
		}
	}
}

// TestNetworksKeepTheRules checks what is returned from the outside, with the
// public functions of package arch, for every built-in space.
func TestNetworksKeepTheRules(t *testing.T) {
	in := arch.Input{Channels: 1, Height: 28, Width: 28, Classes: 10}
	for _, name := range Names() {
		s := mustLoad(t, name)
		for stages := 3; stages <= 6; stages++ {
			cfg := Config{Input: in, Network: Template{Stages: stages, Stem: Stem{"cifar", 16}, Activation: "silu"}, Regime: Regime{Bounds: metric.Bounds{metric.Flops: {Min: 3e6, Max: 9e6}}}, Seed: uint64(stages), Workers: 1}
			networks, _, err := s.Sample(context.Background(), cfg, 5)
			if err != nil {
				t.Errorf("%s, %d stages: %v", name, stages, err)
				continue
			}
			seen := map[string]bool{}
			for _, n := range networks {
				a, ok := n.Spec.AnyNet()
				if !ok || len(a.Stages) != stages || a.Activation != graph.SiLU || a.Stem != (arch.Stem{Type: arch.CIFARStem, Width: 16}) {
					t.Errorf("%s: %v", name, n.Spec)
				}
				c, err := n.Spec.Complexity(in)
				if err != nil || c != n.Complexity || c.Flops < 3e6 || c.Flops > 9e6 {
					t.Errorf("%s: complexity %v, counted from outside %v, %v", name, n.Complexity, c, err)
				}
				if seen[n.Spec.Key()] {
					t.Errorf("%s: twice %s", name, n.Spec.Key())
				}
				seen[n.Spec.Key()] = true
				checkAsked(t, name, n)
				if diff := cmp.Diff(n.Spec, n.Spec.Adjusted()); diff != "" {
					t.Errorf("%s: is not adjusted: %s", name, diff)
				}
				if strings.HasPrefix(name, "anynety") != (a.SE == 0.25) && strings.HasPrefix(name, "anynet") {
					t.Errorf("%s: se %v", name, a.SE)
				}
			}
		}
	}
}

// checkAsked checks the rules of the paper's ladder on what was asked for.
func checkAsked(t *testing.T, name string, n Network) {
	t.Helper()
	v := map[string][]float64{}
	for _, d := range n.Asked {
		if _, field, ok := strings.Cut(d.Name, "]."); ok {
			v[field] = append(v[field], d.Value)
		}
	}
	if !strings.HasPrefix(name, "anynet") {
		r := n.Spec.Network.(arch.RegNet)
		if r.SkipsLevel() || r.Levels() != len(r.AppendStages(nil)) {
			t.Errorf("%s: %+v skips a level", name, r)
		}
		if strings.HasSuffix(name, "restricted") && (r.WM < 2 || r.Depth < 12 || r.Depth > 28 || r.Bottleneck != 1) {
			t.Errorf("%s: %+v", name, r)
		}
		return
	}
	_, rung, _ := strings.Cut(name, "-")
	same := func(v []float64) bool { return monotone(v, func(a, b float64) bool { return a == b }) }
	depths := v["depth"]
	if rung == "e-free-last" && len(depths) > 0 {
		depths = depths[:len(depths)-1]
	}
	if rung[0] >= 'b' && rung[0] <= 'e' && !same(v["bottleneck"]) && len(rung) != len("depthwise") ||
		strings.ContainsAny(rung[:1], "cde") && rung != "depthwise" && !same(v["group_width"]) ||
		strings.ContainsAny(rung[:1], "de") && rung != "depthwise" && !monotone(v["width"], le) ||
		rung[0] == 'e' && !monotone(depths, le) {
		t.Errorf("%s: %v", name, n.Asked)
	}
}

func TestDuplicatesAreNetworks(t *testing.T) {
	// Group widths of 8 and 16 are one network where the 3×3 has 8 channels.
	s := mustParse(t, "family: anynet\nnetwork: {stages: 1}\nparameters: {depth: {uniform: 1..3}, width: 8, bottleneck: 1, group_width: {values: [8, 16, 32]}}")
	networks, r, err := s.Sample(context.Background(), Config{Effort: 10_000}, 3)
	if err != nil || len(networks) != 3 {
		t.Fatalf("%d networks, %v", len(networks), err)
	}
	networks, r, err = s.Sample(context.Background(), Config{Effort: 10_000}, 5)
	var few *TooFewError
	if !errors.As(err, &few) || len(networks) != 3 || r.Networks != 3 || few.Report.Networks != 3 {
		t.Fatalf("%d networks, %v", len(networks), err)
	}
	if r.Candidates != r.Duplicates+3 || r.Candidates > 2000 {
		t.Errorf("%d duplicates in %d candidates", r.Duplicates, r.Candidates)
	}
	if e := r.EffectiveSize; e.Low > 3 || e.High < 3 || e.Value < 2.8 || e.Value > 3.2 {
		t.Errorf("three equally likely networks have the effective size %v", e)
	}
	for _, want := range []string{"only 3 of 5 networks", "gave up after 1000 without a new one", "gave a network that was there already"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestRecipeAndResolutionAreIdentity(t *testing.T) {
	s := mustParse(t, "family: anynet\nnetwork: {stages: 1}\nparameters: {depth: 1, width: 8, bottleneck: 1, group_width: 8, resolution: {values: [16, 32]}, recipe.lr: {values: [0.1, 0.2]}, recipe.epochs: {uniform: 1..2, multiple: 1}}")
	networks, _, err := s.Sample(context.Background(), Config{}, 8)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range networks {
		c, err := n.Spec.Complexity(arch.Input{})
		if err != nil || c != n.Complexity || n.Spec.Resolution == 0 {
			t.Errorf("%v: %v, %v, %v", n.Spec, c, n.Complexity, err)
		}
		if _, whole := n.Spec.Recipe["epochs"].(int); !whole || n.Spec.Recipe["lr"] == nil {
			t.Errorf("recipe %v", n.Spec.Recipe)
		}
	}
	if s := networks[0].String(); !strings.Contains(s, "recipe.lr=0.") || !strings.Contains(s, "1×8/b1/g8") {
		t.Error(s)
	}
}

// TestEmptySpaceEnds asks for what does not exist.
func TestEmptySpaceEnds(t *testing.T) {
	at := time.Now()
	networks, r, err := mustLoad(t, "regnetx").Sample(context.Background(), Config{Regime: Regime{Bounds: metric.Bounds{metric.Flops: {Max: 1e6}, metric.Params: {Max: 1e3}}}, Effort: 2_000_000}, 10)
	var few *TooFewError
	if !errors.As(err, &few) || len(networks) != 0 {
		t.Fatalf("%d networks, %v", len(networks), err)
	}
	if r.Candidates != 200_000 {
		t.Errorf("%d candidates, of an effort of 2000000 a tenth", r.Candidates)
	}
	for _, want := range []string{"no network in 2", "gave up after 200000 without a new one", "no quantisation level skipped rejects 9", "flops ..1M rejects 100 %", "flops of what was counted: 1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "params ..1000 rejects") {
		t.Errorf("%v\nblames a bound that nothing reached", err)
	}
	if d := time.Since(at); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("enough")
	cfg := Config{Regime: Regime{Bounds: metric.Bounds{metric.Flops: {Min: 1, Max: 2}}}, Progress: func(int, int64) { cancel(stop) }}
	if _, _, err := mustLoad(t, "anynetx-a").Sample(ctx, cfg, 10); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestBadConfigs(t *testing.T) {
	s := mustLoad(t, "regnetx")
	for want, cfg := range map[string]Config{
		"network.stages: 99: must be from 1 to 12":        {Network: Template{Stages: 99}},
		"network.block: Q: must be X, Y, R, V, VR":        {Network: Template{Block: "Q"}},
		"regime.rules: flosp > 1: unknown name flosp":     {Regime: Regime{Rules: []string{"flosp > 1"}}},
		"must be one stride for all stages of a regnet":   {Network: Template{Strides: []int{1, 2, 2, 2}}},
		"-1 workers and an effort of 0":                   {Workers: -1},
		"network.stem.type: round: must be simple, cifar": {Network: Template{Stem: Stem{Type: "round"}}},
	} {
		if _, _, err := s.Sample(context.Background(), cfg, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestCandidatesAllocateNothing holds for every check and both families.
func TestCandidatesAllocateNothing(t *testing.T) {
	for _, name := range []string{"anynetx-e", "regnetx-restricted", "testdata/good/everything.yaml"} {
		p, err := mustLoad(t, name).Sampler(Config{Regime: Regime{Bounds: metric.Bounds{metric.Flops: {Min: 1e6, Max: 2e9}}}})
		if err != nil {
			t.Fatal(err)
		}
		k := newChunk(p)
		k.kept = make([]uint64, 0, 1000)
		if n := testing.AllocsPerRun(3, func() { k.from, k.to = 0, 1000; k.run() }); n > 0 {
			t.Errorf("%s: %v allocations in 1000 candidates", name, n)
		}
		if len(k.kept) == 0 {
			t.Errorf("%s: nothing kept", name)
		}
	}
}

// TestGuide compares the quick search with the plain one.
func TestGuide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Float64Range(0, 1), 4, 60).Draw(t, "weights")
		var c class
		for i, w := range weights {
			c.table.add(float64(i), w*w*w)
		}
		d, total := single(c)
		if total == 0 {
			t.Skip()
		}
		u := rapid.Float64Range(0, 1-0x1p-53).Draw(t, "u")
		want := d.pick(u, 0)
		d.makeGuide()
		if got := d.pick(u, 0); got != want {
			t.Fatalf("pick(%v) = %d, without guide %d", u, got, want)
		}
		if c.table.weights[want] == 0 {
			t.Fatalf("pick(%v) = %d, which has no weight", u, want)
		}
	})
}
