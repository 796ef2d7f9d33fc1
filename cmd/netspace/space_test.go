package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netspace/arch"
	"netspace/metric"
	"netspace/space"
)

func TestSpaceText(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"space"}, []string{"anynetx-a ", "regnety-restricted ", "anynetvr-e-free-last "}},
		{[]string{"space", "anynetx-a"}, []string{"log-uniform 8..1024, multiples of 8", "degrees of freedom  16", "10^18.27 = 1846757322198614016"}},
		{[]string{"space", "anynetx-e"}, []string{"derived from anynetx-d < anynetx-c < anynetx-b < anynetx-a", "non-decreasing depth  by construction", "degrees of freedom  10"}},
		{[]string{"space", "anynetx-a", "--block", "VR", "--stages", "3", "--activation", "silu", "--stem", "cifar:16", "--strides", "1,2,2"}, []string{"vanilla-residual blocks, 3 stages, strides 1 2 2, cifar stem of width 16, silu", "degrees of freedom  6"}},
		{[]string{"space", "regnetx", "--flops", "360M..400M", "--rule", "blocks < 20"}, []string{"no quantisation level skipped  tested", "flops 360M..400M", "blocks < 20", "settings            about 10^"}},
		{[]string{"space", "regnetx", "--flops", "1..2"}, []string{"fewer than 10^", "none of 400000 settings"}},
		{[]string{"space", "anynetx-b", "--yaml"}, []string{"base: anynetx-a\nrules:\n  - {equal: bottleneck}\n"}},
		{[]string{"space", "--schema"}, []string{`"$schema"`}},
	} {
		out, errs, status := netspace(t, c.args...)
		if status != exitOK || errs != "" {
			t.Errorf("%v: status %d, %s", c.args, status, errs)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%v: no %q in\n%s", c.args, want, out)
			}
		}
	}
}

func TestSpaceJSON(t *testing.T) {
	out, _, status := netspace(t, "space", "anynetx-d", "--json")
	var r struct {
		Name       string
		Freedom    int `json:"degrees_of_freedom"`
		Parameters []space.ParameterDescription
		Rules      []space.RuleDescription
		Size       struct {
			Exact    bool
			Settings json.Number
			Log10    space.Estimate
		}
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || status != exitOK {
		t.Fatalf("status %d, %v\n%s", status, err, out)
	}
	if r.Name != "anynetx-d" || r.Freedom != 10 || len(r.Parameters) != 4 || len(r.Rules) != 3 || !r.Size.Exact || r.Size.Settings == "" || r.Size.Log10.Value < 13 {
		t.Errorf("%+v", r)
	}
	for _, args := range [][]string{{"space", "--json"}, {"space", "regnetx", "--flops", "1..2", "--json"}} {
		out, _, status := netspace(t, args...)
		for line := range strings.Lines(out) {
			if !json.Valid([]byte(line)) || status != exitOK {
				t.Errorf("%v: status %d, %s", args, status, line)
			}
		}
	}
}

func TestSampleJSON(t *testing.T) {
	out, errs, status := netspace(t, "sample", "regnety", "-n", "7", "--flops", "4M..6M", "--stages", "3", "--stem", "cifar:16", "--resolution", "28", "--channels", "1", "--classes", "10", "--seed", "3", "--json", "--stats")
	if status != exitOK || errs != "" {
		t.Fatalf("status %d\n%s", status, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 8 {
		t.Fatalf("%d lines, want 7 networks and the statistics", len(lines))
	}
	in := arch.Input{Channels: 1, Height: 28, Width: 28, Classes: 10}
	for _, line := range lines[:7] {
		var n sampledNetwork
		if err := json.Unmarshal([]byte(line), &n); err != nil {
			t.Fatal(err)
		}
		c, err := n.Spec.Complexity(in)
		if err != nil || c != (n.Complexity) || c.Flops < 4e6 || c.Flops > 6e6 {
			t.Errorf("%s: %v, %v", line, c, err)
		}
	}
	var s struct{ Stats space.Report }
	if err := json.Unmarshal([]byte(lines[7]), &s); err != nil || s.Stats.Networks != 7 || len(s.Stats.Tests) != 3 || s.Stats.Complexity[metric.Flops].Min < 4e6 {
		t.Errorf("%v, %s", err, lines[7])
	}
}

func TestSampleText(t *testing.T) {
	out, errs, status := netspace(t, "sample", "anynetx-e", "-n", "3", "--flops", "360M..400M", "--stats")
	if status != exitOK || errs != "" {
		t.Fatalf("status %d\n%s", status, errs)
	}
	for _, want := range []string{"FLOPS", "3 networks from", "non-decreasing width  by construction", "flops 360M..400M", "MEDIAN", "effective size  over"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestSampleFiles(t *testing.T) {
	dir := t.TempDir()
	population, plot := filepath.Join(dir, "population"), filepath.Join(dir, "plot.svg")
	args := []string{"sample", "../../space/testdata/good/everything.yaml", "-n", "12", "--out", population, "--plot", plot}
	out, errs, status := netspace(t, args...)
	if status != exitOK || out != "" || !strings.Contains(errs, "12 networks of everything are in "+population) {
		t.Fatalf("status %d, %q\n%s", status, out, errs)
	}
	f, err := os.Open(filepath.Join(population, space.TableName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 13 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows[1:] {
		spec, err := arch.LoadSpec(filepath.Join(population, row[0]))
		if err != nil {
			t.Fatal(err)
		}
		c, err := spec.Complexity(arch.Input{})
		if err != nil || row[2] != jsonText(t, c.Flops) || row[3] != jsonText(t, c.Params) || row[4] != jsonText(t, c.Acts) {
			t.Errorf("%v: %v, %v", row, c, err)
		}
	}
	svg, err := os.ReadFile(plot)
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		if _, err := d.Token(); err != nil {
			if err.Error() != "EOF" {
				t.Errorf("the plot is no XML: %v", err)
			}
			break
		}
	}
	for _, want := range []string{"everything: 12 networks", "flops", "stages[2].width", "drop_path"} {
		if !bytes.Contains(svg, []byte(want)) {
			t.Errorf("the plot has no %s", want)
		}
	}
	if _, errs, status := netspace(t, args...); status != exitUsage || !strings.Contains(errs, "is not empty: it holds 000.yaml") {
		t.Errorf("again: status %d\n%s", status, errs)
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSpaceUsage(t *testing.T) {
	absent, recipe := filepath.Join(t.TempDir(), "absent"), filepath.Join(t.TempDir(), "sweep.yaml")
	sweep := "base: regnetx\nparameters:\n  recipe.warmup_epochs: 7\n  recipe.lrr: {log-uniform: 0.01..1}\n  recipe.momentum: {values: [0.9, 2]}\n  recipe.epochs: {uniform: 1..3}\n"
	if err := os.WriteFile(recipe, []byte(sweep), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"sample", "anynetx-z"}, "nearest names are anynetx-"},
		{[]string{"space", "../../space/testdata/bad/rules.yaml"}, "rules.yaml:15: rules[2].range: width: must name one parameter"},
		{[]string{"sample", "regnetx", "--flops", "400M..360M"}, "its lower end is the larger one"},
		{[]string{"sample", "regnetx", "--flops", "much"}, "is not a range (as 360M..400M"},
		{[]string{"sample", "regnetx", "-n", "0"}, "-n 0: must be at least 1"},
		{[]string{"sample", "regnetx", "--stem", "cifar:wide"}, "the width must be a whole number"},
		{[]string{"sample", "regnetx", "--stem", "round"}, "must be simple, cifar, resnet or deep"},
		{[]string{"sample", "regnetx", "--block", "Q"}, "must be X, Y, R, V, VR"},
		{[]string{"sample", "regnetx", "--stages", "77"}, "--stages 77: must be from 1 to 12"},
		{[]string{"sample", "regnetx", "--resolution", "0"}, "--resolution 0: must be from 1 to 8192"},
		{[]string{"sample", "regnetx", "--rule", "flosp < 3"}, "did you mean flops?"},
		{[]string{"sample", "regnetx", "--flops", "..1000", "--effort", "100000", "--out", absent}, "no network in 1"},
		{[]string{"sample", "regnetx", "--plot", "plot.png"}, "must end in .svg"},
		{[]string{"sample", recipe}, "sweep.yaml:4: parameters.recipe.lrr: 0.01: is not a known field (did you mean lr?)"},
		{[]string{"space", recipe}, "sweep.yaml:5: parameters.recipe.momentum: 2: must be a number in"},
		{[]string{"space", recipe}, "sweep.yaml:6: parameters.recipe.epochs: "},
		{[]string{"sample"}, "accepts 1 arg"},
		{[]string{"space", "--yaml"}, "--yaml needs the name of a space"},
	} {
		out, errs, status := netspace(t, c.args...)
		if status != exitUsage || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%v: status %d, want %q in\n%s%s", c.args, status, c.want, errs, out)
		}
	}
	if _, err := os.Stat(absent); !os.IsNotExist(err) {
		t.Errorf("a failed sample left something: %v", err)
	}
}
