package weights

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/weights/safetensors"
)

func TestReadFileTellsFormatsApart(t *testing.T) {
	f, err := ReadFile("torchfile/testdata/zip.pth")
	if err != nil || len(f.Tensors) != 9 {
		t.Errorf("of PyTorch: %v, %v", f, err)
	}
	path := filepath.Join(t.TempDir(), "w.pth") // names do not matter
	want := &safetensors.File{Metadata: map[string]string{}, Tensors: []safetensors.Tensor{safetensors.Float32("w", []int{1}, []float32{1})}}
	if err := safetensors.WriteFile(path, want); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadFile(path); err != nil || cmp.Diff(want.Tensors, got.Tensors) != "" {
		t.Errorf("safetensors: %v, %v", got, err)
	}
	if _, err := ReadFile("read.go"); err == nil || !strings.Contains(err.Error(), "not a safetensors file") {
		t.Errorf("something else: %v", err)
	}
	if _, err := ReadFile("torchfile"); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder: %v", err)
	}
}

func TestSwapRedBlue(t *testing.T) {
	g := graphOf(t, "{family: regnet, depth: 4, w0: 16, wa: 8, wm: 2, group_width: 8}")
	f := Initial(g, 1, false)
	for _, n := range Namings() {
		file := under(t, f, g, n)
		once, err := SwapRedBlue(file, g)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := SwapRedBlue(once, g)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(file.Tensors, twice.Tensors); diff != "" {
			t.Errorf("%s: twice is not as before: %s", n, diff)
		}
		got, _, err := Translate(once, g)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range got.Tensors {
			if want := f.Tensors[i].Data; i > 0 && !slices.Equal(x.Data, want) {
				t.Errorf("%s: %s changed", n, x.Name)
			}
		}
		const plane = 4 * 9
		was, is := f.Tensors[0].Data, got.Tensors[0].Data
		for k := 0; k < len(was); k += 3 * plane {
			if !slices.Equal(is[k:k+plane], was[k+2*plane:k+3*plane]) || !slices.Equal(is[k+plane:k+2*plane], was[k+plane:k+2*plane]) {
				t.Fatalf("%s: the first convolution is not the other way round", n)
			}
		}
	}
	gray := graphOf(t, "{family: regnet, depth: 4, w0: 16, wa: 8, wm: 2, group_width: 8, channels: 1}")
	if _, err := SwapRedBlue(Initial(gray, 1, false), gray); err == nil {
		t.Error("images of one channel have an order of colours")
	}
}

func TestFreshHead(t *testing.T) {
	spec := "{family: regnet, depth: 4, w0: 16, wa: 8, wm: 2, group_width: 8, classes: "
	ten, seven := graphOf(t, spec+"10}"), graphOf(t, spec+"7}")
	for _, n := range Namings() {
		file := under(t, Initial(ten, 1, false), ten, n)
		got, had, err := FreshHead(file, seven, 5)
		if err != nil || had != 10 {
			t.Fatalf("%s: had %d, %v", n, had, err)
		}
		translated, _, err := Translate(got, seven)
		if err != nil {
			t.Fatal(err)
		}
		body, fresh := index(Initial(ten, 1, false)), index(Initial(seven, 5, false))
		for _, x := range translated.Tensors {
			want := body[x.Name]
			if strings.HasPrefix(x.Name, "head.") {
				want = fresh[x.Name]
			}
			if diff := cmp.Diff(want, x); diff != "" {
				t.Errorf("%s: %s", n, diff)
			}
		}
		if same, had, err := FreshHead(file, ten, 5); err != nil || had != 0 || same != file {
			t.Errorf("%s: for as many classes it had %d, %v", n, had, err)
		}
	}
}
