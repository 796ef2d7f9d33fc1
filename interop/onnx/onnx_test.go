package onnx

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"netspace/arch"
	"netspace/graph"
	"netspace/weights"
	"netspace/weights/safetensors"
)

// What models compute is checked against the engine in ONNX Runtime by make test-export.

// fields gives the fields of a message: numbers as varints, the rest as their bytes.
func fields(t *testing.T, m []byte, number protowire.Number) (bytes [][]byte, numbers []uint64) {
	t.Helper()
	for len(m) > 0 {
		f, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		m = m[n:]
		size := protowire.ConsumeFieldValue(f, kind, m)
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		if f == number {
			switch kind {
			case protowire.BytesType:
				b, _ := protowire.ConsumeBytes(m)
				bytes = append(bytes, b)
			case protowire.VarintType:
				v, _ := protowire.ConsumeVarint(m)
				numbers = append(numbers, v)
			}
		}
		m = m[size:]
	}
	return bytes, numbers
}

func written(t *testing.T, g *graph.Graph, f *safetensors.File, o Options) (model, network []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, g, f, o); err != nil {
		t.Fatal(err)
	}
	graphs, _ := fields(t, b.Bytes(), modelGraph)
	if len(graphs) != 1 {
		t.Fatalf("%d graphs", len(graphs))
	}
	return b.Bytes(), graphs[0]
}

// ops lists the kinds of a graph's nodes.
func ops(t *testing.T, network []byte) []string {
	nodes, _ := fields(t, network, graphNode)
	var kinds []string
	for _, n := range nodes {
		kind, _ := fields(t, n, nodeOp)
		kinds = append(kinds, string(kind[0]))
	}
	return kinds
}

func TestOps(t *testing.T) {
	spec, err := arch.ParseSpec([]byte("{family: anynet, block: bottleneck-preact, activation: silu, drop_path: 0.1, dropout: 0.1, stem: {type: resnet, width: 8}, stages: [{depth: 1, width: 8, stride: 1, group_width: 8}], channels: 1, classes: 3}"), "")
	if err != nil {
		t.Fatal(err)
	}
	g, err := spec.Graph(spec.Input())
	if err != nil {
		t.Fatal(err)
	}
	f := weights.Initial(g, 1, false)
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{}, "Conv Sigmoid Mul MaxPool BatchNormalization Sigmoid Mul Conv Sigmoid Mul Conv Sigmoid Mul Conv Add BatchNormalization Sigmoid Mul GlobalAveragePool Flatten Gemm"},
		{Options{KeepBN: true, Softmax: true, Mean: []float32{1}, Std: []float32{1}}, "Sub Div Conv BatchNormalization Sigmoid Mul MaxPool BatchNormalization Sigmoid Mul Conv BatchNormalization Sigmoid Mul Conv BatchNormalization Sigmoid Mul Conv Add BatchNormalization Sigmoid Mul GlobalAveragePool Flatten Gemm Softmax"},
	} {
		_, network := written(t, g, f, c.options)
		if diff := cmp.Diff(c.want, strings.Join(ops(t, network), " ")); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.options, diff)
		}
	}
}

func TestModelStatesWhatItIs(t *testing.T) {
	g, f := normedConv(t)
	model, network := written(t, g, f, Options{Metadata: map[string]string{"b": "2", "a": "1"}})
	opsets, _ := fields(t, model, modelOpset)
	if _, v := fields(t, opsets[0], opsetVersion); !slices.Equal(v, []uint64{Opset}) {
		t.Errorf("opset %v", v)
	}
	entries, _ := fields(t, model, modelMetadata)
	var text []string
	for _, e := range entries {
		k, _ := fields(t, e, entryKey)
		v, _ := fields(t, e, entryValue)
		text = append(text, string(k[0])+"="+string(v[0]))
	}
	if !slices.Equal(text, []string{"a=1", "b=2"}) {
		t.Errorf("metadata %v", text)
	}
	inputs, _ := fields(t, network, graphInput)
	if !bytes.Contains(inputs[0], []byte("N")) || !bytes.Contains(inputs[0], []byte("H")) || !bytes.Contains(inputs[0], []byte("W")) {
		t.Errorf("the input %q has no symbolic sizes", inputs[0])
	}
}

// normedConv is a convolution of one channel with bias, its BN, and a classifier.
func normedConv(t *testing.T) (*graph.Graph, *safetensors.File) {
	t.Helper()
	r := graph.Recorder{BNEpsilon: 0.25}
	x := r.Conv(graph.Name{Part: "c"}, r.Input(1, 2, 2), graph.Conv{Out: 2, Kernel: 1, Stride: 1, Groups: 1, Bias: true})
	x = r.BatchNorm(graph.Name{Part: "n"}, x, graph.BatchNorm{})
	r.Linear(graph.Name{Part: "fc"}, r.GlobalPool(x), 2)
	g, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	one := func(name string, a, b float32, shape ...int) safetensors.Tensor {
		return safetensors.Float32(name, shape, []float32{a, b})
	}
	return g, &safetensors.File{Tensors: []safetensors.Tensor{
		one("c.weight", 3, -1, 2, 1, 1, 1), one("c.bias", 0.5, 2, 2), one("n.weight", 2, 4, 2), one("n.bias", 1, -1, 2),
		one("n.running_mean", 1, 0, 2), one("n.running_var", 0.75, 3.75, 2),
		safetensors.Float32("fc.weight", []int{2, 2}, make([]float32, 4)), one("fc.bias", 0, 0, 2),
	}}
}

func TestFolding(t *testing.T) {
	g, f := normedConv(t)
	_, network := written(t, g, f, Options{})
	tensors, _ := fields(t, network, graphInitializer)
	got := map[string][]float32{}
	for _, x := range tensors {
		name, _ := fields(t, x, tensorName)
		raw, _ := fields(t, x, tensorRaw)
		for b := raw[0]; len(b) > 0; b = b[4:] {
			got[string(name[0])] = append(got[string(name[0])], math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
	}
	// √(variance + ε) is 1 and 2.
	want := map[string][]float32{"c.weight": {6, -2}, "c.bias": {2*(0.5-1) + 1, 2*2 - 1}, "fc.weight": {0, 0, 0, 0}, "fc.bias": {0, 0}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A convolution that something else reads too keeps its BN apart.
func TestSharedConvolutionIsNotFolded(t *testing.T) {
	var r graph.Recorder
	x := r.Conv(graph.Name{Part: "c"}, r.Input(1, 2, 2), graph.Conv{Out: 1, Kernel: 1, Stride: 1, Groups: 1})
	y := r.BatchNorm(graph.Name{Part: "n"}, x, graph.BatchNorm{})
	r.Linear(graph.Name{Part: "fc"}, r.GlobalPool(r.Add(x, y)), 2)
	g, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	_, network := written(t, g, weights.Initial(g, 1, false), Options{})
	if got, want := strings.Join(ops(t, network), " "), "Conv BatchNormalization Add GlobalAveragePool Flatten Gemm"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFaults(t *testing.T) {
	g, f := normedConv(t)
	for name, change := range map[string]func(*safetensors.File, *Options){
		"n.running_var [2] is missing":  func(f *safetensors.File, _ *Options) { f.Tensors[5].Name = "x" },
		"c.weight [2 1 1 1] is missing": func(f *safetensors.File, _ *Options) { f.Tensors[0].Shape = []int{1, 2, 1, 1} },
		"are not of 1 channels":         func(_ *safetensors.File, o *Options) { o.Mean = []float32{1, 2} },
	} {
		file, o := &safetensors.File{Tensors: slices.Clone(f.Tensors)}, Options{}
		change(file, &o)
		if err := Write(&bytes.Buffer{}, g, file, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
}
