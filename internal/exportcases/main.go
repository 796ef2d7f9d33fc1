// Command exportcases writes what make test-export checks: networks of every block, stem, head
// and family as spec files, weights for them in which no statistic is at its default, images of two
// numbers and two sizes, and the logits that the engine computes.
//
//	exportcases DIR
//
// Each case is a folder of DIR; DIR/cases.json lists them, and the names that libraries give
// the tensors of the published networks.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"netspace/arch"
	"netspace/engine"
	"netspace/engine/engines"
	"netspace/graph"
	"netspace/weights"
	"netspace/weights/safetensors"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: exportcases DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "exportcases:", err)
		os.Exit(1)
	}
}

// testCase is a network to export.
type testCase struct {
	Name        string `json:"name"`
	Model       string `json:"model"`       // a published network, or the spec file
	Torchvision string `json:"torchvision"` // the function of torchvision that makes the same network; "": none does
	spec        arch.Spec
	sizes       [2][2]int // height and width
}

// listing is the names and shapes of a published network's tensors in torchvision.
type listing struct {
	Model   string           `json:"model"`
	Tensors map[string][]int `json:"tensors"`
}

func run(dir string) error {
	eng, err := engines.Open(engines.Config{})
	if err != nil {
		return err
	}
	cases := append(small(), published()...)
	for i, c := range cases {
		if c.Model == "" {
			cases[i].Model = filepath.Join(dir, c.Name, "net.json")
		}
		if err := write(filepath.Join(dir, c.Name), c, eng); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	names, err := listings()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(map[string]any{"cases": cases, "torchvision": names}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cases.json"), text, 0o644)
}

// small lists networks of few parameters: every kind of block under every stem, with all that it can have.
func small() []testCase {
	var cases []testCase
	add := func(name string, net arch.Network) {
		cases = append(cases, testCase{Name: name, spec: arch.Spec{Network: net, Channels: 1 + 2*(len(cases)%2), Classes: 10}, sizes: [2][2]int{{33, 32}, {24, 41}}})
	}
	for i, stem := range []arch.StemType{arch.SimpleStem, arch.CIFARStem, arch.ResNetStem, arch.DeepStem} {
		for k, block := range arch.Blocks() {
			plain := arch.AnyNet{Block: block, Common: arch.Common{Stem: arch.Stem{Type: stem, Width: 16}, Activation: graph.ReLU}, Stages: []arch.Stage{
				{Depth: 1, Width: 16, Stride: 1, Bottleneck: 1, GroupWidth: 8}, {Depth: 3, Width: 24, Stride: 2, Bottleneck: 1, GroupWidth: 8},
			}}
			plain.Adjust()
			add(fmt.Sprintf("%s-%d", block, i), plain)
			if k%3 != i {
				continue
			}
			full := plain
			full.SE, full.Activation, full.HeadWidth, full.DropPath, full.Dropout, full.Stride1x1 = 0.25, graph.SiLU, 40, 0.2, 0.1, k%2 == 0
			full.Stages = []arch.Stage{{Depth: 2, Width: 24, Stride: 2, Bottleneck: 0.5, GroupWidth: 3}, {Depth: 2, Width: 32, Stride: 2, Bottleneck: 2, GroupWidth: 4}}
			full.Adjust()
			add(fmt.Sprintf("%s-everything", block), full)
		}
		add(fmt.Sprintf("effnet-%d", i), arch.EffNet{
			Common: arch.Common{Stem: arch.Stem{Type: stem, Width: 16}, SE: 0.25, Activation: graph.SiLU, HeadWidth: 64 * (i % 2), DropPath: 0.2},
			Stages: []arch.EffStage{{Depth: 2, Width: 16, Stride: 1, Expand: 1, Kernel: 3}, {Depth: 2, Width: 24, Stride: 2, Expand: 6, Kernel: 5}},
		})
		add(fmt.Sprintf("regnet-%d", i), arch.RegNet{
			Depth: 8, W0: 16, WA: 10, WM: 2, GroupWidth: 8, Bottleneck: 1, Stride: 2,
			Common: arch.Common{Stem: arch.Stem{Type: stem, Width: 32}, SE: 0.25 * float64(i%2), Activation: graph.ReLU},
		})
	}
	return cases
}

// published lists networks that torchvision makes: by the name of a function there, or for ResNets
// by block and groups, with one block a stage and ten classes to keep them small.
func published() []testCase {
	var cases []testCase
	add := func(name, torchvision, model string, spec arch.Spec) {
		cases = append(cases, testCase{Name: name, Torchvision: torchvision, Model: model, spec: spec, sizes: [2][2]int{{64, 64}, {96, 80}}})
	}
	for _, model := range []string{"regnet_x_800mf", "regnet_y_400mf", "efficientnet_b0"} {
		m, _ := arch.Published(model)
		add(model, model, model, m.Spec)
	}
	for _, r := range []struct {
		name        string
		block       arch.BlockType
		width, b, g int
	}{{"resnet-basic", arch.Basic, 64, 0, 0}, {"resnet-bottleneck", arch.Bottleneck, 256, 4, 64}, {"resnext-bottleneck", arch.Bottleneck, 256, 2, 4}} {
		net := arch.AnyNet{Block: r.block, Common: arch.Common{Stem: arch.Stem{Type: arch.ResNetStem, Width: 64}, Activation: graph.ReLU}}
		for i := range 4 {
			net.Stages = append(net.Stages, arch.Stage{Depth: 1, Width: r.width << i, Stride: min(i+1, 2), Bottleneck: float64(r.b), GroupWidth: r.g << i})
		}
		add(r.name, r.name, "", arch.Spec{Network: net, Channels: 3, Classes: 10})
	}
	return cases
}

// listings are the tensors of the published networks that torchvision has.
func listings() ([]listing, error) {
	var all []listing
	for _, m := range arch.Zoo() {
		g, err := m.Spec.Graph(m.Spec.Input())
		if err != nil {
			return nil, err
		}
		names, err := weights.Torchvision.Of(g)
		var none *weights.UnnamedError
		if errors.As(err, &none) {
			continue
		}
		if err != nil {
			return nil, err
		}
		l := listing{m.Aliases[0], map[string][]int{}}
		for _, set := range []engine.Set{engine.Params, engine.Buffers} {
			for _, e := range weights.Entries(g, set) {
				l.Tensors[names(e.Name)] = e.Shape
			}
		}
		all = append(all, l)
	}
	return all, nil
}

// write writes a case: net.json, weights.safetensors, and per number and size of images SIZE-N.safetensors.
func write(dir string, c testCase, eng engine.Engine) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.Marshal(c.spec)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "net.json"), text, 0o644); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(1, 2))
	in := c.spec.Input()
	var file *safetensors.File
	for k, size := range c.sizes {
		in.Height, in.Width = size[0], size[1]
		g, err := c.spec.Graph(in)
		if err != nil {
			return err
		}
		if file == nil {
			file = lively(weights.Initial(g, 1, false), r)
			setting := weights.Setting{Mean: []float32{0.5, 0.4, 0.3}[:in.Channels], Std: []float32{0.25, 0.2, 0.3}[:in.Channels], Height: size[0], Width: size[1]}
			setting.Put(file.Metadata)
			if err := safetensors.WriteFile(filepath.Join(dir, "weights.safetensors"), file); err != nil {
				return err
			}
		}
		for _, n := range []int{1, 3} {
			if err := compute(filepath.Join(dir, fmt.Sprintf("%d-%d.safetensors", k, n)), g, file, n, eng, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// lively moves the statistics and the scales of initial weights away from where they begin.
func lively(f *safetensors.File, r *rand.Rand) *safetensors.File {
	for i, t := range f.Tensors {
		v := make([]float32, t.Len())
		if err := t.CopyFloat32(v); err != nil {
			panic("exportcases: " + err.Error()) // initial weights are float32
		}
		for k := range v {
			switch {
			case strings.HasSuffix(t.Name, ".running_mean") || strings.HasSuffix(t.Name, ".bias"):
				v[k] = 0.6*r.Float32() - 0.3
			case strings.HasSuffix(t.Name, ".running_var") || len(t.Shape) == 1:
				v[k] = 0.5 + r.Float32()
			}
		}
		f.Tensors[i] = safetensors.Float32(t.Name, t.Shape, v)
	}
	return f
}

// compute draws n images in [0,1] and writes them and the logits of what they normalise to.
func compute(file string, g *graph.Graph, f *safetensors.File, n int, eng engine.Engine, r *rand.Rand) (err error) {
	p, err := eng.Compile(g, engine.Options{Batch: n, Inference: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := weights.Load(p, g, f); err != nil {
		return err
	}
	s, err := weights.ReadSetting(f)
	if err != nil {
		return err
	}
	in := g.Input()
	plane := in.H * in.W
	images := make([]float32, n*in.C*plane)
	normal, logits := make([]float32, len(images)), make([]float32, n*g.Output().C)
	for i := range images {
		c := i / plane % in.C
		images[i] = r.Float32()
		normal[i] = (images[i] - s.Mean[c]) / s.Std[c]
	}
	if err := p.Forward(normal, logits, engine.Evaluate, 0); err != nil {
		return err
	}
	return safetensors.WriteFile(file, &safetensors.File{Tensors: []safetensors.Tensor{
		safetensors.Float32("images", []int{n, in.C, in.H, in.W}, images),
		safetensors.Float32("normalised", []int{n, in.C, in.H, in.W}, normal),
		safetensors.Float32("logits", []int{n, g.Output().C}, logits),
	}})
}
