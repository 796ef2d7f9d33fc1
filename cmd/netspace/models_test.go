package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netspace/arch"
	"netspace/graph"
)

func TestModelsJSON(t *testing.T) {
	out, errs, status := netspace(t, "models", "--json")
	if status != exitOK || errs != "" {
		t.Fatalf("status %d, %s", status, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 40 {
		t.Fatalf("%d lines, want 40", len(lines))
	}
	for _, line := range lines {
		var l modelLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if k, err := l.Spec.Complexity(arch.Input{}); err != nil || k != l.Complexity || l.Spec.Input().Width != l.Resolution {
			t.Errorf("%s: the spec counts %+v (%v), the line says %+v", l.Model, k, err, l.Complexity)
		}
	}
}

func TestComplexityJSON(t *testing.T) {
	out, errs, status := netspace(t, "complexity", "--json", "RegNetX-400MF", "efficientnet_b1", "../../interop/testdata/resnet-56-cifar.pycls.yaml", "../../arch/testdata/anynet.good.yaml")
	if status != exitOK || errs != "" {
		t.Fatalf("status %d, %s", status, errs)
	}
	var lines []complexityLine
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var l complexityLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	if len(lines) != 4 {
		t.Fatalf("%d lines", len(lines))
	}
	if l := lines[0]; l != (complexityLine{"RegNetX-400MF", 224, 3, 1000, graph.Complexity{Flops: 397678568, Params: 5157512, Acts: 3143272}}) {
		t.Errorf("%+v", l)
	}
	if lines[1].Resolution != 240 {
		t.Errorf("EfficientNet-B1 at %d, published at 240", lines[1].Resolution)
	}
	if l := lines[2]; l.Flops != 125747850 || l.Resolution != 32 || l.Classes != 10 {
		t.Errorf("%+v", l)
	}
}

func TestModelCommandsText(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"models", "regnety_032"}, []string{"RegNetY-3.2GF", "21.1 %", "regnet_y_3_2gf, regnety_032"}},
		{[]string{"complexity", "resnet50"}, []string{"4,089,185,256", "25,557,032", "11,315,688"}},
		{[]string{"complexity", "resnet50", "--resolution", "32", "--channels", "1", "--classes", "10"}, []string{"1×32×32"}},
		{[]string{"explain", "RegNetY-3.2GF"}, []string{"1512×7×7", "8, 18", "→", "3,176,496,162"}},
		{[]string{"explain", "efficientnet_b0"}, []string{"effnet of 16 mbconv blocks in 7 stages", "385,825,092"}},
		{[]string{"fit", "ResNet-50", "regnetx_004"}, []string{"0.0855", "0.0000"}},
		{[]string{"scale", "regnetx_004", "--by", "4"}, []string{"# regnetx_004 scaled by 4, type d1_w8_g8_r1", "{depth: 14, width: 672,", "resolution: 240"}},
		{[]string{"convert", "regnetx_004"}, []string{"family: regnet\n", "wa: 24.48\n"}},
		{[]string{"convert", "regnetx_004", "--stages", "--classes", "10"}, []string{"family: anynet\n", "width: 384", "classes: 10\n"}},
		{[]string{"convert", "--schema"}, []string{`"$schema"`}},
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

// TestForeignModels: what a foreign file says beside the network goes to the log, once.
func TestForeignModels(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "spec.json")
	_, errs, status := netspace(t, "convert", "../../interop/testdata/anynet-saved.pycls.yaml", "--out", file)
	if status != exitOK || strings.Count(errs, "RNG_SEED") != 1 || !strings.Contains(errs, "wrote "+file) {
		t.Errorf("status %d, %s", status, errs)
	}
	if data, err := os.ReadFile(file); err != nil || !json.Valid(data) {
		t.Errorf("%v: %s", err, data)
	}
	before, _, _ := netspace(t, "complexity", "-q", "--json", "../../interop/testdata/anynet-saved.pycls.yaml")
	after, _, status := netspace(t, "complexity", "--json", file)
	if status != exitOK || after[strings.Index(after, `"resolution"`):] != before[strings.Index(before, `"resolution"`):] {
		t.Errorf("before %s after %s", before, after)
	}
	_, errs, _ = netspace(t, "complexity", "-q", "../../interop/testdata/searched.ini")
	if errs != "" {
		t.Errorf("-q says %s", errs)
	}
}

func TestExplainFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "w.svg")
	out, _, status := netspace(t, "explain", "regnetx_004", "--json", "--svg", file)
	if status != exitOK {
		t.Fatal(status)
	}
	var e explainLine
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatal(err)
	}
	if len(e.Line) != 22 || len(e.Sections) != 6 || e.Complexity.Flops != 397678568 || e.Adjusted[3].Built.Width != 384 {
		t.Errorf("%+v", e)
	}
	data, err := os.ReadFile(file)
	if err != nil || strings.Count(string(data), "<title>block ") != 22 {
		t.Errorf("%v\n%s", err, data)
	}
}

func TestScaleJSON(t *testing.T) {
	out, errs, status := netspace(t, "scale", "efficientnet_b0", "--by", "2", "--type", "dwr", "--json")
	if status != exitOK || errs != "" {
		t.Fatalf("status %d, %s", status, errs)
	}
	var l scaleLine
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		t.Fatal(err)
	}
	if k, err := l.Spec.Complexity(arch.Input{}); err != nil || k != l.Complexity || l.Resolution != 252 || l.Unscaled.Flops != 385825092 {
		t.Errorf("%+v counts %+v (%v)", l, k, err)
	}
}

// TestWrongModels: every wrong request has status 2, says what is wrong, and writes nothing.
func TestWrongModels(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"complexity"}, "requires at least 1 arg"},
		{[]string{"complexity", "regnetx_005"}, "nearest names are"},
		{[]string{"complexity", "nowhere.yaml"}, "no such file"},
		{[]string{"complexity", "../../arch/testdata/many.bad.yaml"}, "many.bad.yaml:3: stem.type: cifr"},
		{[]string{"complexity", "resnet50", "--resolution", "0"}, "--resolution 0: must be at least 1"},
		{[]string{"complexity", "resnet50", "--resolution", "100000"}, "resolution: 100000: must be a whole number from 1 to 8192"},
		{[]string{"explain", "../../interop/testdata/ini-missing.bad.ini"}, "did you mean slope?"},
		{[]string{"models", "foo"}, "no such model"},
		{[]string{"scale", "resnet50"}, "--by is missing"},
		{[]string{"scale", "resnet50", "--by", "-1"}, "must be more than 0"},
		{[]string{"scale", "resnet50", "--by", "2", "--type", "dx"}, "a type is letters of d, w, g, r"},
		{[]string{"scale", "resnet50", "--by", "1e9", "--type", "w", "-o", file}, "must be a whole number from 1 to 32768"},
		{[]string{"convert", "efficientnet_b0", "--stages", "-o", file}, "has no other form"},
		{[]string{"convert"}, "accepts 1 arg"},
		{[]string{"fit", "resnet50", "regnetz"}, "nearest names"},
	} {
		_, errs, status := netspace(t, c.args...)
		if status != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%v: status %d, want 2 and %q in: %s", c.args, status, c.want, errs)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Errorf("%s was written", file)
	}
}
