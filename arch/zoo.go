package arch

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"netspace/graph"
	"netspace/strict"
)

// Model is a published network of the zoo.
type Model struct {
	Name           string   // as in the paper: "RegNetX-400MF"
	Aliases        []string // the names of torchvision and timm, and other spellings
	Spec           Spec     // its Resolution is stated where it is not 224
	Resolution     int      // pixels, of training, and of the published complexity and error
	PublishedError float64  // ImageNet top-1 error in percent
	// The published complexity, rounded to one decimal: flops in units of
	// 10^9, params and acts in units of 10^6.
	Rounded Rounded
	// How it was trained for the published error, by the recipe of docs/method.md §5
	// over 100 epochs, but for the ResNeSts.
	Training Training
}

// Rounded is a complexity in giga-flops, mega-params and mega-acts.
type Rounded struct {
	Flops  float64 `json:"flops_g"`
	Params float64 `json:"params_m"`
	Acts   float64 `json:"acts_m"`
}

// Training holds the settings that differ between the published models.
type Training struct {
	Batch       int     `json:"batch"`
	LR          float64 `json:"lr"`
	WeightDecay float64 `json:"weight_decay"`
}

// The tables hold the networks published with DDS (RegNet, and the baselines
// trained under the same recipe), one line each, by growing flops.

var regnets = []struct {
	name    string
	net     RegNet
	rounded Rounded
	err     float64
	trained Training
}{
	{"RegNetX-200MF", RegNet{Depth: 13, W0: 24, WA: 36.44, WM: 2.49, GroupWidth: 8}, Rounded{0.2, 2.7, 2.2}, 31.1, Training{1024, 0.8, 5e-5}},
	{"RegNetX-400MF", RegNet{Depth: 22, W0: 24, WA: 24.48, WM: 2.54, GroupWidth: 16}, Rounded{0.4, 5.2, 3.1}, 27.4, Training{1024, 0.8, 5e-5}},
	{"RegNetX-600MF", RegNet{Depth: 16, W0: 48, WA: 36.97, WM: 2.24, GroupWidth: 24}, Rounded{0.6, 6.2, 4.0}, 25.9, Training{1024, 0.8, 5e-5}},
	{"RegNetX-800MF", RegNet{Depth: 16, W0: 56, WA: 35.73, WM: 2.28, GroupWidth: 16}, Rounded{0.8, 7.3, 5.1}, 24.8, Training{1024, 0.8, 5e-5}},
	{"RegNetX-1.6GF", RegNet{Depth: 18, W0: 80, WA: 34.01, WM: 2.25, GroupWidth: 24}, Rounded{1.6, 9.2, 7.9}, 23.0, Training{1024, 0.8, 5e-5}},
	{"RegNetX-3.2GF", RegNet{Depth: 25, W0: 88, WA: 26.31, WM: 2.25, GroupWidth: 48}, Rounded{3.2, 15.3, 11.4}, 21.7, Training{512, 0.4, 5e-5}},
	{"RegNetX-4.0GF", RegNet{Depth: 23, W0: 96, WA: 38.65, WM: 2.43, GroupWidth: 40}, Rounded{4.0, 22.1, 12.2}, 21.4, Training{512, 0.4, 5e-5}},
	{"RegNetX-6.4GF", RegNet{Depth: 17, W0: 184, WA: 60.83, WM: 2.07, GroupWidth: 56}, Rounded{6.5, 26.2, 16.4}, 20.8, Training{512, 0.4, 5e-5}},
	{"RegNetX-8.0GF", RegNet{Depth: 23, W0: 80, WA: 49.56, WM: 2.88, GroupWidth: 120}, Rounded{8.0, 39.6, 14.1}, 20.7, Training{512, 0.4, 5e-5}},
	{"RegNetX-12GF", RegNet{Depth: 19, W0: 168, WA: 73.36, WM: 2.37, GroupWidth: 112}, Rounded{12.1, 46.1, 21.4}, 20.3, Training{512, 0.4, 5e-5}},
	{"RegNetX-16GF", RegNet{Depth: 22, W0: 216, WA: 55.59, WM: 2.1, GroupWidth: 128}, Rounded{15.9, 54.3, 25.5}, 20.0, Training{512, 0.4, 5e-5}},
	{"RegNetX-32GF", RegNet{Depth: 23, W0: 320, WA: 69.86, WM: 2.0, GroupWidth: 168}, Rounded{31.7, 107.8, 36.3}, 19.5, Training{256, 0.2, 5e-5}},
	{"RegNetY-200MF", RegNet{Depth: 13, W0: 24, WA: 36.44, WM: 2.49, GroupWidth: 8, Common: Common{SE: 0.25}}, Rounded{0.2, 3.2, 2.2}, 29.7, Training{1024, 0.8, 5e-5}},
	{"RegNetY-400MF", RegNet{Depth: 16, W0: 48, WA: 27.89, WM: 2.09, GroupWidth: 8, Common: Common{SE: 0.25}}, Rounded{0.4, 4.3, 3.9}, 25.9, Training{1024, 0.8, 5e-5}},
	{"RegNetY-600MF", RegNet{Depth: 15, W0: 48, WA: 32.54, WM: 2.32, GroupWidth: 16, Common: Common{SE: 0.25}}, Rounded{0.6, 6.1, 4.3}, 24.5, Training{1024, 0.8, 5e-5}},
	{"RegNetY-800MF", RegNet{Depth: 14, W0: 56, WA: 38.84, WM: 2.4, GroupWidth: 16, Common: Common{SE: 0.25}}, Rounded{0.8, 6.3, 5.2}, 23.7, Training{1024, 0.8, 5e-5}},
	{"RegNetY-1.6GF", RegNet{Depth: 27, W0: 48, WA: 20.71, WM: 2.65, GroupWidth: 24, Common: Common{SE: 0.25}}, Rounded{1.6, 11.2, 8.0}, 22.1, Training{1024, 0.8, 5e-5}},
	{"RegNetY-3.2GF", RegNet{Depth: 21, W0: 80, WA: 42.63, WM: 2.66, GroupWidth: 24, Common: Common{SE: 0.25}}, Rounded{3.2, 19.4, 11.3}, 21.1, Training{512, 0.4, 5e-5}},
	{"RegNetY-4.0GF", RegNet{Depth: 22, W0: 96, WA: 31.41, WM: 2.24, GroupWidth: 64, Common: Common{SE: 0.25}}, Rounded{4.0, 20.6, 12.3}, 20.6, Training{512, 0.4, 5e-5}},
	{"RegNetY-6.4GF", RegNet{Depth: 25, W0: 112, WA: 33.22, WM: 2.27, GroupWidth: 72, Common: Common{SE: 0.25}}, Rounded{6.4, 30.6, 16.4}, 20.1, Training{512, 0.4, 5e-5}},
	{"RegNetY-8.0GF", RegNet{Depth: 17, W0: 192, WA: 76.82, WM: 2.19, GroupWidth: 56, Common: Common{SE: 0.25}}, Rounded{8.0, 39.2, 18.0}, 20.1, Training{512, 0.4, 5e-5}},
	{"RegNetY-12GF", RegNet{Depth: 19, W0: 168, WA: 73.36, WM: 2.37, GroupWidth: 112, Common: Common{SE: 0.25}}, Rounded{12.1, 51.8, 21.4}, 19.7, Training{512, 0.4, 5e-5}},
	{"RegNetY-16GF", RegNet{Depth: 18, W0: 200, WA: 106.23, WM: 2.48, GroupWidth: 112, Common: Common{SE: 0.25}}, Rounded{15.9, 83.6, 23.0}, 19.6, Training{256, 0.2, 5e-5}},
	{"RegNetY-32GF", RegNet{Depth: 20, W0: 232, WA: 115.89, WM: 2.53, GroupWidth: 232, Common: Common{SE: 0.25}}, Rounded{32.3, 145.0, 30.3}, 19.1, Training{256, 0.2, 5e-5}},
}

// The ResNets have widths 256…2048 and bottleneck ratio b; the group width
// doubles with every stage from the one given.
var resnets = []struct {
	name    string
	depths  [4]int
	b, g    int
	rounded Rounded
	err     float64
	trained Training
}{
	{"ResNet-50", [4]int{3, 4, 6, 3}, 4, 64, Rounded{4.1, 25.6, 11.3}, 23.2, Training{256, 0.2, 5e-5}},
	{"ResNet-101", [4]int{3, 4, 23, 3}, 4, 64, Rounded{7.8, 44.5, 16.4}, 21.4, Training{256, 0.2, 5e-5}},
	{"ResNet-152", [4]int{3, 8, 36, 3}, 4, 64, Rounded{11.5, 60.2, 22.8}, 20.9, Training{256, 0.2, 5e-5}},
	{"ResNeXt-50", [4]int{3, 4, 6, 3}, 2, 4, Rounded{4.2, 25.0, 14.6}, 21.9, Training{256, 0.2, 5e-5}},
	{"ResNeXt-101", [4]int{3, 4, 23, 3}, 2, 4, Rounded{8.0, 44.2, 21.4}, 20.7, Training{256, 0.2, 5e-5}},
	{"ResNeXt-152", [4]int{3, 8, 36, 3}, 2, 4, Rounded{11.7, 60.0, 29.9}, 20.4, Training{256, 0.2, 5e-5}},
}

// The EfficientNets share strides, expansion ratios and kernels.
var effnets = []struct {
	name       string
	stem       int
	depths     [7]int
	widths     [7]int
	head       int
	resolution int
	rounded    Rounded
	err        float64
	trained    Training
}{
	{"EfficientNet-B0", 32, [7]int{1, 2, 2, 3, 3, 4, 1}, [7]int{16, 24, 40, 80, 112, 192, 320}, 1280, 224, Rounded{0.4, 5.3, 6.7}, 24.9, Training{256, 0.4, 1e-5}},
	{"EfficientNet-B1", 32, [7]int{2, 3, 3, 4, 4, 5, 2}, [7]int{16, 24, 40, 80, 112, 192, 320}, 1280, 240, Rounded{0.7, 7.8, 10.9}, 24.1, Training{256, 0.4, 1e-5}},
	{"EfficientNet-B2", 32, [7]int{2, 3, 3, 4, 4, 5, 2}, [7]int{16, 24, 48, 88, 120, 208, 352}, 1408, 260, Rounded{1.0, 9.1, 13.8}, 23.5, Training{256, 0.4, 1e-5}},
	{"EfficientNet-B3", 40, [7]int{2, 3, 3, 5, 5, 6, 2}, [7]int{24, 32, 48, 96, 136, 232, 384}, 1536, 300, Rounded{1.8, 12.2, 23.8}, 22.5, Training{256, 0.4, 1e-5}},
	{"EfficientNet-B4", 48, [7]int{2, 4, 4, 6, 6, 8, 2}, [7]int{24, 32, 56, 112, 160, 272, 448}, 1792, 380, Rounded{4.4, 19.3, 49.5}, 21.4, Training{128, 0.2, 1e-5}},
	{"EfficientNet-B5", 48, [7]int{3, 5, 5, 7, 7, 9, 3}, [7]int{24, 40, 64, 128, 176, 304, 512}, 2048, 456, Rounded{10.3, 30.4, 98.9}, 21.7, Training{64, 0.1, 1e-5}},
}

// The ResNeSts (Zhang et al., 2020) have widths 256…2048, bottleneck ratio 4 and one cardinal group.
// Flops and acts are counted here: the paper states the flops of the first two at 224 pixels, with
// one more for every element that is normalised, and no acts. They were trained over 270
// epochs with label smoothing, mixup, AutoAugment and DropBlock.
var resnests = []struct {
	name       string
	stem       int
	depths     [4]int
	resolution int
	rounded    Rounded
	err        float64
	trained    Training
}{
	{"ResNeSt-50", 64, [4]int{3, 4, 6, 3}, 224, Rounded{5.4, 27.5, 15.1}, 18.9, Training{8192, 3.2, 1e-4}},
	{"ResNeSt-101", 128, [4]int{3, 4, 23, 3}, 256, Rounded{13.3, 48.3, 29.9}, 17.2, Training{4096, 1.6, 1e-4}},
	{"ResNeSt-200", 128, [4]int{3, 24, 36, 3}, 320, Rounded{35.5, 70.2, 84.7}, 16.1, Training{2048, 0.8, 1e-4}},
	{"ResNeSt-269", 128, [4]int{3, 30, 48, 8}, 416, Rounded{77.3, 110.9, 175.2}, 15.5, Training{2048, 0.8, 1e-4}},
}

// Zoo lists the 40 published models: the RegNets X and Y, the ResNets and
// ResNeXts, the EfficientNets, the ResNeSts, each by growing flops.
func Zoo() []Model {
	models := make([]Model, 0, len(regnets)+len(resnets)+len(effnets)+len(resnests))
	add := func(name string, net Network, resolution int, r Rounded, err float64, t Training) {
		m := Model{Name: name, Aliases: aliases(name), Spec: Spec{Network: net}, Resolution: resolution, PublishedError: err, Rounded: r, Training: t}
		if resolution != ImageNet.Width {
			m.Spec.Resolution = resolution
		}
		models = append(models, m)
	}
	for _, r := range regnets {
		n := r.net
		n.Bottleneck, n.Stride, n.Activation = 1, defaultStride, graph.ReLU
		n.Stem = Stem{Type: SimpleStem, Width: defaultStemWidth}
		add(r.name, n, ImageNet.Width, r.rounded, r.err, r.trained)
	}
	for _, r := range resnets {
		n := AnyNet{Common: Common{Stem: Stem{Type: ResNetStem, Width: 64}, Activation: graph.ReLU}}
		for i, d := range r.depths {
			n.Stages = append(n.Stages, Stage{Depth: d, Width: 256 << i, Stride: min(i+1, 2), Bottleneck: float64(r.b), GroupWidth: r.g << i})
		}
		add(r.name, n, ImageNet.Width, r.rounded, r.err, r.trained)
	}
	strides, expand, kernels := [7]int{1, 2, 2, 2, 1, 2, 1}, [7]float64{1, 6, 6, 6, 6, 6, 6}, [7]int{3, 3, 5, 3, 5, 5, 3}
	for _, e := range effnets {
		n := EffNet{Common: Common{Stem: Stem{Type: SimpleStem, Width: e.stem}, SE: defaultEffSE, Activation: graph.SiLU, HeadWidth: e.head}}
		for i := range e.depths {
			n.Stages = append(n.Stages, EffStage{Depth: e.depths[i], Width: e.widths[i], Stride: strides[i], Expand: expand[i], Kernel: kernels[i]})
		}
		add(e.name, n, e.resolution, e.rounded, e.err, e.trained)
	}
	for _, r := range resnests {
		n := AnyNet{Block: SplitAttention, Common: Common{Stem: Stem{Type: DeepStem, Width: r.stem}, Radix: DefaultRadix, Activation: graph.ReLU}}
		for i, d := range r.depths {
			n.Stages = append(n.Stages, Stage{Depth: d, Width: 256 << i, Stride: min(i+1, 2), Bottleneck: 4, GroupWidth: 64 << i})
		}
		add(r.name, n, r.resolution, r.rounded, r.err, r.trained)
	}
	return models
}

// aliases derives the names that other libraries give a model of the zoo.
func aliases(name string) []string {
	family, size, _ := strings.Cut(name, "-")
	switch family {
	case "RegNetX", "RegNetY":
		letter := strings.ToLower(family[len(family)-1:])
		var mega float64 // flops in 10^6
		var unit string
		fmt.Sscanf(size, "%f%s", &mega, &unit)
		short := strings.TrimSuffix(strings.TrimSuffix(size, "GF"), ".0") + "GF"
		if unit == "MF" {
			short = size
		} else {
			mega *= 1000
		}
		torchvision := "regnet_" + letter + "_" + strings.ToLower(strings.ReplaceAll(short, ".", "_"))
		timm := fmt.Sprintf("regnet%s_%03.0f", letter, mega/100)
		out := []string{torchvision, timm}
		if short != size {
			out = append(out, family+"-"+short)
		}
		return out
	case "ResNet":
		return []string{"resnet" + size}
	case "ResNeXt":
		return []string{"resnext" + size + "_32x4d", name + "-32x4d", "resnext" + size}
	case "ResNeSt":
		kind := "e" // timm's letter for a stem of 128 channels
		if size == "50" {
			kind = "d"
		}
		return []string{"resnest" + size, "resnest" + size + kind}
	case "EfficientNet":
		return []string{"efficientnet_" + strings.ToLower(size), "EN-" + size}
	}
	return nil
}

// normal is what names are compared by: case, hyphens and underscores do not matter.
func normal(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "_") }

// Published finds a model of the zoo by any of its names, in any case.
func Published(name string) (Model, bool) {
	want := normal(name)
	for _, m := range Zoo() {
		if normal(m.Name) == want {
			return m, true
		}
		for _, a := range m.Aliases {
			if normal(a) == want {
				return m, true
			}
		}
	}
	return Model{}, false
}

// Lookup finds a network by a name of the zoo or by the path of a spec file.
// The error for what is neither has the nearest names of the zoo.
func Lookup(model string) (Spec, error) {
	if m, ok := Published(model); ok {
		return m.Spec, nil
	}
	if !looksLikeFile(model) {
		return Spec{}, unknownModel(model)
	}
	spec, err := LoadSpec(model)
	if errors.Is(err, fs.ErrNotExist) {
		return Spec{}, fmt.Errorf("model %s: there is no such file", model)
	}
	return spec, err
}

func looksLikeFile(model string) bool {
	switch strings.ToLower(filepath.Ext(model)) {
	case ".yaml", ".yml", ".json", ".ini":
		return true
	}
	return strings.ContainsAny(model, `/\`)
}

func unknownModel(model string) error {
	var names []string
	spelling := map[string]string{} // to the name that is shown
	for _, m := range Zoo() {
		for _, n := range append([]string{m.Name}, m.Aliases...) {
			key := normal(n)
			if _, seen := spelling[key]; !seen {
				spelling[key] = n
				names = append(names, key)
			}
		}
	}
	near := strict.Nearest(normal(model), names, 3)
	for i, n := range near {
		near[i] = spelling[n]
	}
	if len(near) > 0 {
		return fmt.Errorf("model %s: no such model in the zoo, and no file; the nearest names are %s", model, strings.Join(near, ", "))
	}
	return fmt.Errorf("model %s: no such model in the zoo, and no file; see netspace models", model)
}
