package space

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"netspace/arch"
	"netspace/metric"
	"netspace/strict"
)

// sameSpace compares all that a space is, but not where it was read.
var sameSpace = cmp.Options{cmpopts.IgnoreUnexported(Space{}, Parameter{}, Rule{}), cmpopts.EquateEmpty()}

// roundTrip writes a space and reads it back: the same space, the same samples.
func roundTrip(t fataler, s *Space) {
	t.Helper()
	text, err := s.MarshalYAML()
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	back, err := Parse(text, "written.yaml")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if diff := cmp.Diff(s, back, sameSpace); diff != "" {
		t.Fatalf("-before +after:\n%s\n%s", diff, text)
	}
	again, err := back.MarshalYAML()
	if err != nil || string(again) != string(text) {
		t.Fatalf("written again, %v:\n%s\nwas\n%s", err, again, text)
	}
	cfg := Config{Seed: 5, Input: arch.Input{Channels: 1, Height: 16, Width: 16, Classes: 4}, Effort: 300, Workers: 1}
	a, _, errA := s.Sample(context.Background(), cfg, 5)
	b, _, errB := back.Sample(context.Background(), cfg, 5)
	if !reflect.DeepEqual(a, b) || (errA == nil) != (errB == nil) {
		t.Fatalf("samples differ, %v and %v:\n%s", errA, errB, text)
	}
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func TestSpacesAreWrittenAndReadBack(t *testing.T) {
	names := Names()
	good, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, good...) {
		s, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, s)
	}
}

// drawSpace is any space of the language. Many a rule refuses all networks: such
// spaces are written and read as well.
var drawSpace = rapid.Custom(func(t *rapid.T) *Space {
	family := rapid.SampledFrom(families).Draw(t, "family")
	text := rapid.SampledFrom([]string{"plain", "with: a colon", "# hash", "true", "12", "~", "two\nlines", "\"quoted\" 'both'", "ünï", "- dash", "tab\there", " blanks ", "{a: b}", "!tag", "\x01"})
	s := &Space{Name: text.Draw(t, "name"), Family: family, About: text.Draw(t, "about")}
	if rapid.Bool().Draw(t, "derived") {
		s.Bases = []string{text.Draw(t, "base"), "anynetx-a"}
	}
	optional := func(name string, v float64) *float64 {
		if rapid.Bool().Draw(t, name) {
			return nil
		}
		return &v
	}
	s.Network = Template{
		Block:      rapid.SampledFrom([]string{"", "X", "Y", "bottleneck", "bottleneck-linear"}).Draw(t, "block"),
		Stem:       Stem{rapid.SampledFrom([]string{"", "cifar", "simple"}).Draw(t, "stem"), rapid.SampledFrom([]int{0, 8}).Draw(t, "stem width")},
		Stages:     rapid.IntRange(0, 3).Draw(t, "stages"),
		Activation: rapid.SampledFrom([]string{"", "silu", "relu"}).Draw(t, "activation"),
		SE:         optional("se", 0.3), DropPath: optional("drop path", 0.05), Dropout: optional("dropout", 1e-3),
	}
	if rapid.Bool().Draw(t, "head") {
		s.Network.HeadWidth = new(rapid.IntRange(0, 64).Draw(t, "head width"))
	}
	if rapid.Bool().Draw(t, "strides") {
		s.Network.Strides = []int{rapid.IntRange(1, 2).Draw(t, "stride")}
	}
	stages := s.Network.Stages
	if stages == 0 {
		stages = defaultStages
	}
	for _, d := range definitions {
		if !strings.Contains(d.families, family) || !d.required && rapid.IntRange(0, 3).Draw(t, "has "+d.name) > 0 {
			continue
		}
		if family == familyRegNet {
			d.stage = -1
		}
		q := Parameter{Name: d.name, Shared: d.stage < 0 || rapid.Bool().Draw(t, "shared")}
		n := 1
		if !q.Shared && rapid.Bool().Draw(t, "one for each stage") {
			n = stages
		}
		for range n {
			q.Priors = append(q.Priors, drawPrior(t, d))
		}
		s.Parameters = append(s.Parameters, q)
	}
	s.Parameters = rapid.Permutation(s.Parameters).Draw(t, "order")
	if rapid.Bool().Draw(t, "recipe") {
		s.Parameters = append(s.Parameters, Parameter{Name: "recipe.lr", Shared: true, Priors: []Prior{{Kind: LogUniform, Min: 1e-3, Max: 0.30000000000000004}}})
	}
	for range rapid.IntRange(0, 3).Draw(t, "rules") {
		r := Rule{Kind: RuleKind(rapid.IntRange(0, len(ruleNames)-1).Draw(t, "rule")), Name: rapid.SampledFrom([]string{"", "a: name"}).Draw(t, "rule name")}
		q := rapid.SampledFrom(s.Parameters).Draw(t, "parameter")
		r.Parameter = q.Name
		switch r.Kind {
		case Expression:
			r.Parameter, r.Expression = "", rapid.SampledFrom([]string{"blocks <= 30", "all(stages, .depth < 40) # not many", "flops_M < 1e6 and \"a\" != \"b\" or true", "true"}).Draw(t, "expression")
		case InRange:
			r.Range = rapid.SampledFrom([]metric.Range{{Min: 0, Max: 64}, {Min: 1, Max: math.Inf(1)}, {Min: 0.1, Max: 12345678}, {Min: -1, Max: 2048}, {Min: 0, Max: math.Inf(1)}}).Draw(t, "range")
		case In:
			r.Values = rapid.SampledFrom([][]float64{{1, 2, 4, 8}, {0.25}, {1e9, 16, 1024, 3}}).Draw(t, "values")
		}
		if r.Kind != Expression && !q.Shared && rapid.Bool().Draw(t, "except") {
			r.Except = rapid.SampledFrom([][]int{{Last}, {1}, {1, Last}, {2}}).Draw(t, "excepted")
		}
		s.Rules = append(s.Rules, r)
	}
	if rapid.Bool().Draw(t, "regime") {
		s.Regime = Regime{Bounds: metric.Bounds{metric.Flops: {Min: 0, Max: 5e12}, metric.Acts: {Min: 1, Max: math.Inf(1)}}, Rules: []string{"params_M <= 3 + 5.5 * flops_B + 1000"}}
	}
	return s
})

func drawPrior(t *rapid.T, d definition) Prior {
	lo := map[string]float64{"wm": 1.5, "bottleneck": 1}[d.name]
	if lo == 0 {
		lo = 1
	}
	step, most := 1.0, 8.0
	if !d.whole {
		step = rapid.SampledFrom([]float64{0.1, 0.5, 1}).Draw(t, "step")
	}
	if d.name == "se" || d.name == "drop_path" || d.name == "dropout" {
		lo, step, most = 0.1, 0.1, 0.5
	}
	kind := Kind(rapid.IntRange(0, len(kindNames)-1).Draw(t, "kind"))
	if d.name == "bottleneck" && kind != Values {
		kind = PowerOfTwo
	}
	p := Prior{Kind: kind, Min: lo, Max: most, Multiple: step}
	switch kind {
	case Values:
		p = Prior{Kind: Values, Values: []float64{lo}}
		if rapid.Bool().Draw(t, "two values") {
			p.Values = append(p.Values, lo*2)
			if rapid.Bool().Draw(t, "weights") {
				p.Weights = []float64{0.1, 12345678}
			}
		}
	case PowerOfTwo:
		p.Min, p.Max, p.Multiple = max(1, math.Exp2(math.Ceil(math.Log2(lo)))), 8, 0
		if most < 1 {
			p.Min, p.Max = 0.125, 0.5
		}
	case PowerOfTwoOrLogUniform:
		p.Min, p.Max, p.Multiple = 2, 8, 4
		if most < 1 {
			p.Min, p.Max, p.Multiple = 0.125, 0.5, 0.25
		}
	case Uniform, LogUniform:
		if !d.whole && rapid.Bool().Draw(t, "continuous") {
			p.Multiple = 0
		}
	case Normal, LogNormal:
		if rapid.Bool().Draw(t, "centre") {
			p.Center = new(rapid.SampledFrom([]float64{0.7, 3, 40}).Draw(t, "at"))
		}
		if rapid.Bool().Draw(t, "std") {
			p.Std = rapid.SampledFrom([]float64{0.1, 1.0 / 3, 5}).Draw(t, "deviation")
		}
	}
	if p.Multiple == 0.1 && lo == 1.5 || p.Multiple == 1 && lo == 1.5 {
		p.Multiple = 0.5
	}
	return p
}

func TestAnySpaceIsWrittenAndReadBack(t *testing.T) {
	written := 0
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpace.Draw(t, "space")
		err := s.Validate()
		if err != nil {
			var e *strict.Error
			if !errors.As(err, &e) {
				t.Fatalf("%v", err)
			}
			return // of rules that do not fit the parameters
		}
		written++
		roundTrip(t, s)
	})
	if written < 10 {
		t.Errorf("only %d of the drawn spaces were valid", written)
	}
}

// What a file may not say, a program may not say either.
func TestValidateFindsWhatReadersFind(t *testing.T) {
	width := Parameter{Name: "width", Priors: []Prior{{Kind: LogUniform, Min: 8, Max: 64, Multiple: 8}}}
	depth := Parameter{Name: "depth", Priors: []Prior{{Kind: Uniform, Min: 1, Max: 4, Multiple: 1}}}
	plain := Template{Block: "R"}
	for _, c := range []struct {
		parts []Change
		want  string
	}{
		{[]Change{plain, depth}, "parameters.width: is missing"},
		{[]Change{plain, depth, Parameter{Name: "width", Priors: []Prior{{Kind: Uniform, Min: 1, Max: 9}}}}, "parameters.width: uniform 1..9, continuous: must have a multiple"},
		{[]Change{plain, depth, Parameter{Name: "widht", Priors: width.Priors}}, "did you mean width?"},
		{[]Change{plain, depth, Parameter{Name: "width"}}, "parameters.width: must have one prior"},
		{[]Change{plain, depth, width, Parameter{Name: "resolution", Priors: []Prior{Fixed(32)}}}, "parameters.resolution: must be shared"},
		{[]Change{plain, depth, Parameter{Name: "width", Priors: []Prior{Fixed(8), {Kind: Uniform, Min: 64, Max: 8, Multiple: 8}}}}, "parameters.width[1]: uniform 64..8, multiples of 8: is empty"},
		{[]Change{plain, depth, Parameter{Name: "width", Priors: []Prior{{Kind: Values, Values: []float64{math.NaN()}}}}}, "finite"},
		{[]Change{plain, depth, Parameter{Name: "width", Priors: []Prior{{Kind: 77}}}}, "no known kind"},
		{[]Change{plain, depth, width, Rule{Kind: 99}}, "rules[0]"},
		{[]Change{plain, depth, width, Between("width", 9, 8)}, "rules[0]: width in 9..8: is empty"},
		{[]Change{plain, depth, width, Where("stages[0].width +")}, "rules"},
		{[]Change{plain, depth, width, Rule{Kind: Equal, Parameter: "width", Except: []int{0}}}, "excepts stage 0"},
		{[]Change{plain, depth, width, Rule{Kind: Equal, Parameter: "wdith"}}, "did you mean width?"},
		{[]Change{plain, depth, width, Regime{Bounds: metric.Bounds{metric.Flops: {Min: 5, Max: 1}}}}, "regime.flops: 5..1: is empty"},
		{[]Change{Template{Block: "Q"}, depth, width}, "network.block: Q"},
		{[]Change{plain, depth, width, Named("")}, "name: is missing"},
		{[]Change{plain, depth, width, Named("\xff")}, "UTF-8"},
	} {
		_, err := New("made", "anynet", c.parts...)
		var e *strict.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v; want %q", err, c.want)
		}
	}
	if _, err := New("made", "resnet"); err == nil || !strings.Contains(err.Error(), "family: resnet") {
		t.Errorf("%v", err)
	}
	if _, err := (&Space{}).Sampler(Config{}); err == nil {
		t.Error("an empty space is sampled")
	}
}

// Deriving in Go and in a file is the same, and leaves the base alone.
func TestWithIsWhatAFileSays(t *testing.T) {
	base, err := Load("anynetx-c")
	if err != nil {
		t.Fatal(err)
	}
	before, err := base.MarshalYAML()
	if err != nil {
		t.Fatal(err)
	}
	want, err := Parse([]byte(`
base: anynetx-c
network: {stages: 3}
parameters:
  width: {uniform: 8..64, multiple: 8}
rules:
  - {non-decreasing: width}
  - {range: {depth: ..8}}
  - stages[1].width <= 4 * stages[0].width
regime: {flops: ..100M}
`), "mine.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := base.With(Named("mine"), Template{Stages: 3},
		Parameter{Name: "width", Priors: []Prior{{Kind: Uniform, Min: 8, Max: 64, Multiple: 8}}},
		Rule{Kind: NonDecreasing, Parameter: "width"}, Between("depth", 0, 8), Where("stages[1].width <= 4 * stages[0].width"),
		Regime{Bounds: metric.Bounds{metric.Flops: {Max: 100e6}}})
	if err != nil {
		t.Fatal(err)
	}
	want.About, got.About = "", ""
	if diff := cmp.Diff(want, got, sameSpace); diff != "" {
		t.Errorf("-file +program:\n%s", diff)
	}
	roundTrip(t, got)
	if after, err := base.MarshalYAML(); err != nil || string(after) != string(before) {
		t.Errorf("the base was changed: %v\n%s", err, after)
	}
	if _, err := base.With(Rule{Kind: Increasing, Parameter: "colour"}); err == nil {
		t.Error("a rule about nothing is accepted")
	}
}

// The text of a written space is pleasant to read.
func TestWrittenSpace(t *testing.T) {
	s, err := Load("testdata/good/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.MarshalYAML()
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/everything.written.yaml"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(text), "\n")); diff != "" {
		t.Errorf("UPDATE=1 writes it anew:\n%s", diff)
	}
	if slices.Contains(Names(), fmt.Sprint(s.Name)) {
		t.Error("a test space is built in")
	}
}

func TestRegimesInJSON(t *testing.T) {
	for want, r := range map[string]Regime{
		`{}`:                   {},
		`{"rules":["acts<1"]}`: {Rules: []string{"acts<1"}},
		`{"flops":"4M..5M","acts":"1000..","rules":["acts<1","true"]}`: {
			Bounds: metric.Bounds{metric.Flops: {Min: 4e6, Max: 5e6}, metric.Acts: {Min: 1000, Max: math.Inf(1)}}, Rules: []string{"acts<1", "true"},
		},
	} {
		var got bytes.Buffer
		e := json.NewEncoder(&got)
		e.SetEscapeHTML(false)
		if err := e.Encode(r); err != nil || strings.TrimSpace(got.String()) != want {
			t.Errorf("%s, %v, want %s", &got, err, want)
		}
		var again Regime
		if err := json.Unmarshal([]byte(want), &again); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%s is read as %v, %v", want, again, err)
		}
	}
}
