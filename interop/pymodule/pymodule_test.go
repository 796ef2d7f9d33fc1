package pymodule

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/arch"
	"netspace/graph"
)

var update = flag.Bool("update", false, "rewrite the golden files; inspect the difference before committing it")

// What modules compute is checked against the engine by make test-export.
func TestWrite(t *testing.T) {
	for file, c := range map[string]struct {
		spec    string
		options Options
	}{
		"regnet.py": {"{family: regnet, depth: 6, w0: 16, wa: 12, wm: 2, group_width: 8, se: 0.25, drop_path: 0.1, dropout: 0.2, channels: 1, classes: 3}",
			Options{Name: "a RegNet", Weights: "net.safetensors", Mean: []float32{0.5}, Std: []float32{0.25}, Classes: []string{"one", `"two"`, "three"}}},
		"effnet.py": {"{family: effnet, stem: {type: resnet, width: 16}, head_width: 24, stages: [{depth: 2, width: 16, stride: 2, expand: 1, kernel: 3}, {depth: 2, width: 16, stride: 1, expand: 2, kernel: 5}]}",
			Options{Name: "net.yaml", Weights: "net.safetensors"}},
	} {
		spec, err := arch.ParseSpec([]byte(c.spec), "net.yaml")
		if err != nil {
			t.Fatal(err)
		}
		g, err := spec.Graph(spec.Input())
		if err != nil {
			t.Fatal(err)
		}
		got, err := Write(g, c.options)
		if err != nil {
			t.Fatal(err)
		}
		golden := "testdata/" + file
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got; -update rewrites it):\n%s", file, diff)
		}
	}
}

func TestNoChainOfBlocks(t *testing.T) {
	var r graph.Recorder
	x := r.Input(3, 8, 8)
	x = r.Conv(graph.Name{Part: "stem.conv"}, x, graph.Conv{Out: 4, Kernel: 1, Stride: 1, Groups: 1})
	y := r.Conv(graph.Name{Stage: 1, Block: 1, Part: "a"}, x, graph.Conv{Out: 4, Kernel: 1, Stride: 1, Groups: 1})
	y = r.Conv(graph.Name{Stage: 1, Block: 2, Part: "a"}, y, graph.Conv{Out: 4, Kernel: 1, Stride: 1, Groups: 1})
	r.Linear(graph.Name{Part: "head.fc"}, r.GlobalPool(r.Add(x, y)), 2)
	g, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(g, Options{}); err == nil || !strings.Contains(err.Error(), "s1.b2") {
		t.Errorf("a block that reads past the one before: %v", err)
	}
}
