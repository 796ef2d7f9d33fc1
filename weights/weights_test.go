package weights

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/engine"
	"netspace/engine/reference"
	"netspace/graph"
	"netspace/weights/safetensors"
)

// fresh is a program of g as an engine makes it.
func fresh(t *testing.T, g *graph.Graph) engine.Program {
	t.Helper()
	p, err := reference.New().Compile(g, engine.Options{Batch: 1})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// content is what a program holds in its parameters and BN statistics.
func content(t *testing.T, p engine.Program, g *graph.Graph) *safetensors.File {
	t.Helper()
	f, err := Of(p, g, engine.Params, engine.Buffers)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What Initial writes is what Initialize sets, and Of copies it out as it was.
func TestInitialIsWhatInitializeSets(t *testing.T) {
	g := wideNet(t)
	start, loaded := fresh(t, g), fresh(t, g)
	f := Initial(g, 3, true)
	if err := errors.Join(Initialize(start, g, 3, true), Load(loaded, g, f)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.Tensors, content(t, start, g).Tensors); diff != "" {
		t.Error("initialised:", diff)
	}
	if diff := cmp.Diff(f.Tensors, content(t, loaded, g).Tensors); diff != "" {
		t.Error("loaded:", diff)
	}
}

func TestLoadNamesAllFaultsAndChangesNothing(t *testing.T) {
	g := wideNet(t)
	p := fresh(t, g)
	before := content(t, p, g)
	f := Initial(g, 1, false)
	at := func(name string) *safetensors.Tensor {
		i := slices.IndexFunc(f.Tensors, func(x safetensors.Tensor) bool { return x.Name == name })
		if i < 0 {
			t.Fatalf("no tensor %s", name)
		}
		return &f.Tensors[i]
	}
	at("stem.conv.weight").Name = "stem.convolution.weight"
	at("stem.bn.weight").Shape = []int{2, 64}
	at("head.fc.bias").DType = safetensors.I32
	at("stem.bn.running_var").Name = "stem.bn.variance"
	f.Tensors = append(f.Tensors,
		safetensors.Tensor{Name: "stem.bn.num_batches_tracked", DType: safetensors.I64, Data: make([]byte, 8)},
		safetensors.Float32("moment1/head.fc.bias", []int{1}, []float32{1}))
	err := Load(p, g, f)
	var wrong *MismatchError
	if !errors.As(err, &wrong) {
		t.Fatalf("error %v; want a *MismatchError", err)
	}
	want := []Fault{
		{Kind: Missing, Name: "stem.conv.weight", Want: []int{128, 3, 3, 3}},
		{Kind: Misshapen, Name: "stem.bn.weight", Has: []int{2, 64}, Want: []int{128}},
		{Kind: Mistyped, Name: "head.fc.bias", DType: safetensors.I32},
		{Kind: Missing, Name: "stem.bn.running_var", Want: []int{128}},
		{Kind: Unexpected, Name: "stem.convolution.weight"},
		{Kind: Unexpected, Name: "stem.bn.variance"},
	}
	if diff := cmp.Diff(want, wrong.Faults); diff != "" {
		t.Error(diff)
	}
	text := "the weights are not of this network: stem.conv.weight is missing; stem.bn.weight is [2 64], not [128]; " +
		"head.fc.bias is I32, not floating point; stem.bn.running_var is missing; " +
		"stem.convolution.weight is not in the network; stem.bn.variance is not in the network"
	if err.Error() != text {
		t.Errorf("%v; want %s", err, text)
	}
	if diff := cmp.Diff(before, content(t, p, g)); diff != "" {
		t.Error("the program changed:", diff)
	}
	for range 10 {
		wrong.Faults = append(wrong.Faults, Fault{Kind: Missing, Name: "x"})
	}
	if s := err.Error(); !strings.HasSuffix(s, "; x is missing; and 8 more") {
		t.Error(s)
	}
}

// Without any BN statistics, as PyTorch's parameters() give them, the program's stay.
func TestLoadWithoutStatistics(t *testing.T) {
	g := wideNet(t)
	p := fresh(t, g)
	mean := make([]float32, 128)
	fill(mean, 5)
	if err := p.Set(engine.Buffers, "stem.bn.running_mean", mean); err != nil {
		t.Fatal(err)
	}
	f := Initial(g, 1, false)
	f.Tensors = slices.DeleteFunc(f.Tensors, func(x safetensors.Tensor) bool { return strings.Contains(x.Name, "running_") })
	if err := Load(p, g, f); err != nil {
		t.Fatal(err)
	}
	x, _ := content(t, p, g).Tensor("stem.bn.running_mean")
	got := make([]float32, 128)
	if err := x.CopyFloat32(got); err != nil || !slices.Equal(got, mean) {
		t.Errorf("%v, %v; want what it was", got, err)
	}
}

// A set written under other names comes back from them, whatever else the file has.
func TestNames(t *testing.T) {
	g := wideNet(t)
	from, to := fresh(t, g), fresh(t, g)
	if err := Initialize(from, g, 1, false); err != nil {
		t.Fatal(err)
	}
	f := content(t, to, g) // zeros
	if err := Append(f, from, g, engine.Params, Prefix("ema/")); err != nil {
		t.Fatal(err)
	}
	if err := Restore(to, g, engine.Params, f, Prefix("ema/")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(content(t, from, g), content(t, to, g)); diff != "" {
		t.Error(diff)
	}
	err := Restore(to, g, engine.Params, f, Prefix("moment1/"))
	var wrong *MismatchError
	if !errors.As(err, &wrong) || len(wrong.Faults) != len(g.Params) || wrong.Faults[0].Name != "moment1/stem.conv.weight" {
		t.Errorf("error %v; want every parameter missing", err)
	}
}

func TestSettingRoundTrip(t *testing.T) {
	s := Setting{Mean: []float32{0.1, 1. / 3, 1e-9}, Std: []float32{1, 2, math.SmallestNonzeroFloat32}, BNEpsilon: 1. / 3}
	f := &safetensors.File{Metadata: map[string]string{"format": PyTorch}}
	if got, err := ReadSetting(f); err != nil || got.Mean != nil || got.Std != nil || got.BNEpsilon != 0 {
		t.Errorf("%+v, %v; want nothing stated", got, err)
	}
	s.Put(f.Metadata)
	got, err := ReadSetting(f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, got); diff != "" {
		t.Error(diff)
	}
	for key, text := range map[string]string{"mean": "[0.1 x]", "std": "{1}", "bn_epsilon": "small"} {
		_, err := ReadSetting(&safetensors.File{Metadata: map[string]string{key: text}})
		if err == nil || !strings.Contains(err.Error(), key+` "`+text+`"`) {
			t.Errorf("%s %q: error %v", key, text, err)
		}
	}
}
