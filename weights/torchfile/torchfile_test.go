package torchfile

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/weights/safetensors"
)

// floats reads the floating-point tensors of a file.
func floats(t *testing.T, f *safetensors.File) map[string][]float32 {
	t.Helper()
	all := map[string][]float32{}
	for _, x := range f.Tensors {
		if !x.DType.Float() {
			continue
		}
		v := make([]float32, x.Len())
		if err := x.CopyFloat32(v); err != nil {
			t.Fatal(err)
		}
		all[x.Name+fmt.Sprint(x.Shape)] = v
	}
	return all
}

// The files are of testdata/make.py.
func TestFilesOfPyTorch(t *testing.T) {
	ones := slices.Repeat([]float32{1}, 24)
	want := map[string][]float32{
		"a[3 4]": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, "transposed[4 3]": {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}, "part[4]": {4, 5, 6, 7},
		"half[2]": {0.5, -2}, "brain[1]": {1.5}, "double[1]": {0.1}, "parameter[1]": {7}, "last[2 3 2 2]": ones,
	}
	for _, name := range []string{"zip.pth", "legacy.pth"} {
		f, err := ReadFile("testdata/" + name)
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(want, floats(t, f)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if x, ok := f.Tensor("num_batches_tracked"); !ok || x.DType != safetensors.I64 || !bytes.Equal(x.Data, []byte{5, 0, 0, 0, 0, 0, 0, 0}) {
			t.Errorf("%s: num_batches_tracked is %+v", name, x)
		}
	}
}

func TestCheckpoint(t *testing.T) {
	f, err := ReadFile("testdata/checkpoint.pth")
	if err != nil {
		t.Fatal(err)
	}
	if got := floats(t, f); f.Metadata["state"] != "model_state" || len(got) != 1 || got["w[12]"][11] != 11 {
		t.Errorf("from %q: %v", f.Metadata["state"], got)
	}
	f, err = ReadFile("testdata/metadata.pth")
	if err != nil || len(f.Tensors) != 5 {
		t.Errorf("a state_dict with its attributes: %v, %v", f, err)
	}
}

// A whole module is code to be run, not tensors.
func TestModuleIsRefused(t *testing.T) {
	_, err := ReadFile("testdata/module.pth")
	var bad *FormatError
	if !errors.As(err, &bad) || bad.File == "" || !strings.Contains(bad.Reason, "torch.nn.modules.batchnorm.BatchNorm2d, which is not read") {
		t.Error(err)
	}
}

// zipped is a file of torch.save with the given pickle and one storage of 4 floats, "0".
func zipped(t testing.TB, pickle string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range map[string]string{"x/data.pkl": pickle, "x/data/0": strings.Repeat("\x00", 16)} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const (
	storage0 = "(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04tQ"
	rebuild  = "ctorch._utils\n_rebuild_tensor_v2\n("
)

// view is a dictionary of one tensor of storage 0: offset, shape and strides are given as pickled.
func view(offset, shape, stride string) string {
	return "\x80\x02}U\x01w" + rebuild + storage0 + offset + shape + stride + "\x89}tRs."
}

func TestHostileFiles(t *testing.T) {
	deep := strings.Repeat("]", 100000)
	for name, c := range map[string]struct{ pickle, want string }{
		"calls a function":        {"\x80\x02cos\nsystem\nU\x02ls\x85R.", "os.system, which is not read"},
		"by its other opcode":     {"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R.", "posix.system, which is not read"},
		"builds by INST":          {"\x80\x02(U\x02lsios\nsystem\n.", "opcode 0x69"},
		"by extension registry":   {"\x80\x02\x82\x01.", "opcode 0x82"},
		"calls a class's method":  {"\x80\x02ccollections\nOrderedDict.update\n)R.", "OrderedDict.update, which is not read"},
		"calls a text":            {"\x80\x02U\x02ls)R.", "calls what is no function"},
		"makes a dict of more":    {"\x80\x02ccollections\nOrderedDict\n]\x85R.", "in a way that is not read"},
		"sets attributes":         {"\x80\x02]}b.", "sets attributes of what has none"},
		"cut short":               {"\x80\x02}", "cut short"},
		"claims much text":        {"\x80\x02X\xff\xff\xff\xff", "cut short"},
		"no value":                {"\x80\x02.", "ends with 0 values"},
		"pops nothing":            {"\x80\x020.", "where none is"},
		"no mark":                 {"\x80\x02}e.", "lacks a mark"},
		"gets what is not there":  {"\x80\x02h\x07.", "did not make"},
		"deep":                    {"\x80\x02" + deep + ".", "ends with 100000 values"},
		"no tensors":              {"\x80\x02}U\x01wK\x01s.", "no dictionary of tensors"},
		"itself":                  {"\x80\x02}q\x00U\x01wh\x00s.", "no dictionary of tensors"},
		"past the end":            {view("K\x01", "K\x04\x85", "K\x01\x85"), "does not fit its storage of 4 elements"},
		"negative offset":         {view("J\xff\xff\xff\xff", "K\x01\x85", "K\x01\x85"), "does not fit"},
		"negative stride":         {view("K\x03", "K\x02\x85", "J\xff\xff\xff\xff\x85"), "does not fit"},
		"one element many times":  {view("K\x00", "M\xff\xff\x85", "K\x00\x85"), "does not fit"},
		"shape that overflows":    {view("K\x00", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x04\x86", "K\x00K\x01\x86"), "does not fit"},
		"stride that overflows":   {view("K\x00", "K\x03\x85", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"), "does not fit"},
		"the same name twice":     {"\x80\x02}(U\x01w" + rebuild + storage0 + "K\x00K\x01\x85K\x01\x85\x89}tRU\x01w" + rebuild + storage0 + "K\x00K\x01\x85K\x01\x85\x89}tRu.", "twice"},
		"a storage of two types":  {"\x80\x02}U\x01w" + storage0 + "0(U\x07storagectorch\nHalfStorage\nU\x010U\x03cpuK\x04tQs.", "two types"},
		"a storage that is no id": {"\x80\x02K\x01Q.", "no storage"},
	} {
		b := zipped(t, c.pickle)
		_, err := Read(bytes.NewReader(b), int64(len(b)))
		var bad *FormatError
		if !errors.As(err, &bad) || !strings.Contains(bad.Reason, c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	b := zipped(t, view("K\x00", "K\x02K\x02\x86", "K\x01K\x02\x86"))
	if f, err := Read(bytes.NewReader(b), int64(len(b))); err != nil || len(f.Tensors) != 1 {
		t.Errorf("the same without a fault: %v", err)
	}
}

// Whatever bytes come, there is an error or a file whose tensors can be read, in memory that the input bounds.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.pth")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(zipped(f, view("K\x00", "K\x02K\x02\x86", "K\x01K\x02\x86")))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, x := range got.Tensors {
			if len(x.Data) != x.Len()*x.DType.Size() {
				t.Fatalf("tensor %s %v of %d bytes", x.Name, x.Shape, len(x.Data))
			}
		}
	})
}

// FuzzPickle leaves the container out of the way.
func FuzzPickle(f *testing.F) {
	f.Add([]byte(view("K\x00", "K\x02K\x02\x86", "K\x01K\x02\x86")))
	f.Add([]byte("\x80\x02ccollections\nOrderedDict\n)R."))
	f.Fuzz(func(t *testing.T, b []byte) {
		root, _, err := unpickle(b)
		if err == nil {
			_, _, _ = stateOf(root)
			_ = describe(root)
		}
	})
}
