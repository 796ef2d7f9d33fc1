package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// smallNet writes the spec file of a network that timm and torchvision have, and weights for it.
func smallNet(t *testing.T) (spec, weights string) {
	t.Helper()
	dir := t.TempDir()
	spec, weights = filepath.Join(dir, "net.yaml"), filepath.Join(dir, "w.safetensors")
	if err := os.WriteFile(spec, []byte("family: regnet\ndepth: 3\nw0: 16\nwa: 8\nwm: 2\ngroup_width: 8\nse: 0.25\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "init", spec, "-o", weights, "--channels", "1", "--classes", "4")
	return spec, weights
}

func TestExport(t *testing.T) {
	spec, w := smallNet(t)
	dir := t.TempDir()
	export := func(weights, out string, flags ...string) string {
		t.Helper()
		path := filepath.Join(dir, out)
		stdout := must(t, append([]string{"export", spec, "--weights", weights, "-o", path, "--json"}, flags...)...)
		var line exportLine
		if err := json.Unmarshal([]byte(stdout), &line); err != nil {
			t.Fatal(err)
		}
		if line.Classes != 4 || line.Input[0] != 1 || line.Files[0] != path {
			t.Errorf("%s: %+v, want 4 classes and one channel, as the weights have", out, line)
		}
		return path
	}
	same := func(a, b string) bool {
		x, err := os.ReadFile(a)
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(x) == string(y)
	}
	plain := export(w, "pycls.safetensors")
	for _, n := range []string{"timm", "torchvision"} {
		foreign := export(w, n+".safetensors", "--names", n)
		if same(foreign, plain) {
			t.Errorf("the names of %s are those of pycls", n)
		}
		if back := export(foreign, "back.safetensors"); !same(back, plain) {
			t.Errorf("%s: the tensors do not come back as they were", n)
		}
	}
	export(w, "net.pt.py")
	if beside := filepath.Join(dir, "net.safetensors"); !same(beside, plain) {
		t.Errorf("%s has other weights", beside)
	}
	folded, kept := export(w, "folded.onnx"), export(w, "kept.onnx", "--fold-bn=false")
	if same(folded, kept) {
		t.Error("--fold-bn=false changes nothing")
	}

	// A network tells what weights are worth under any names.
	data := []string{"--data", tinyImages(t), "--engine", "reference"}
	own, foreign := must(t, append([]string{"eval", spec, "--weights", w}, data...)...), must(t, append([]string{"eval", spec, "--weights", filepath.Join(dir, "timm.safetensors")}, data...)...)
	if own != foreign {
		t.Errorf("evaluated under the names of timm: %q, of pycls: %q", foreign, own)
	}
}

func TestExportRequestErrors(t *testing.T) {
	spec, w := smallNet(t)
	basic := filepath.Join(t.TempDir(), "basic.yaml")
	if err := os.WriteFile(basic, []byte("{family: anynet, block: basic, stages: [{depth: 1, width: 8}]}"), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "init", basic, "-o", basic+".safetensors")
	out := filepath.Join(t.TempDir(), "net")
	for _, c := range []struct{ want, args string }{
		{"--weights is missing", spec + " -o " + out + ".onnx"},
		{"-o FILE is missing", spec + " --weights " + w},
		{"must end in .onnx, .safetensors or .pt.py", spec + " --weights " + w + " -o " + out + ".pth"},
		{"must be one of pycls, timm, torchvision", spec + " --weights " + w + " -o " + out + ".safetensors --names keras"},
		{"--names is of files that end in .safetensors", spec + " --weights " + w + " -o " + out + ".onnx --names timm"},
		{"--softmax is of files that end in .onnx", spec + " --weights " + w + " -o " + out + ".pt.py --softmax"},
		{"state no mean and std", spec + " --weights " + w + " -o " + out + ".onnx --normalise"},
		{"timm has no such network", basic + " --weights " + basic + ".safetensors -o " + out + ".safetensors --names timm"},
		{"the weights are not of this network", basic + " --weights " + w + " -o " + out + ".onnx"},
		{"would be written over", spec + " --weights " + w + " -o " + strings.TrimSuffix(w, ".safetensors") + ".pt.py"},
	} {
		_, stderr, status := netspace(t, append([]string{"export"}, strings.Fields(c.args)...)...)
		if status != 2 || !strings.Contains(stderr, c.want) {
			t.Errorf("export %s: status %d, %q; want 2 and %q", c.args, status, stderr, c.want)
		}
		if left, _ := filepath.Glob(out + "*"); left != nil {
			t.Errorf("export %s left %v", c.args, left)
		}
	}
}
