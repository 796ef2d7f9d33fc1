package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// raw makes a file of a header and data as they are.
func raw(header string, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

// The bytes are those of the format's description.
func TestBytes(t *testing.T) {
	var b bytes.Buffer
	err := Write(&b, &File{
		Metadata: map[string]string{"format": "pt"},
		Tensors:  []Tensor{Float32("w", []int{1, 2}, []float32{1, -2}), {Name: "n", DType: I64, Data: []byte("\xfd\xff\xff\xff\xff\xff\xff\xff")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"format":"pt"},"n":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]}}`
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	want := raw(header, "\xfd\xff\xff\xff\xff\xff\xff\xff\x00\x00\x80\x3f\x00\x00\x00\xc0")
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Error(diff)
	}
}

// Headers as other writers make them: any order of keys and tensors, no
// metadata, no padding.
func TestReadsOthersFiles(t *testing.T) {
	f, err := Parse(raw(`{"b":{"data_offsets":[4,6],"shape":[1],"dtype":"F16"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"e":{"dtype":"U8","shape":[0,3],"data_offsets":[6,6]}}`, "\x00\x00\x80\x3f\x00\x3e"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float32{}
	for _, name := range []string{"a", "b"} {
		x, ok := f.Tensor(name)
		v := make([]float32, 1)
		if err := x.CopyFloat32(v); !ok || err != nil {
			t.Fatal(name, ok, err)
		}
		got[name] = v[0]
	}
	if diff := cmp.Diff(map[string]float32{"a": 1, "b": 1.5}, got); diff != "" {
		t.Error(diff)
	}
	if _, ok := f.Tensor("c"); ok {
		t.Error("found a tensor that is not there")
	}
}

func TestMalformed(t *testing.T) {
	entry := func(s string) []byte { return raw(`{"w":`+s+`}`, "12345678") }
	for want, data := range map[string][]byte{
		"ends within the 8-byte header length":           []byte("1234567"),
		"more than the format's 104857600":               []byte("\xff\xff\xff\xff\x00\x00\x00\x00{}"),
		"ends within the header of 9 bytes: truncated":   append(binary.LittleEndian.AppendUint64(nil, 9), "{}"...),
		"does not begin with {":                          raw("[1]", ""),
		"not valid JSON":                                 raw(`{"w":}`, ""),
		"something follows the header's object":          raw(`{} x`, ""),
		`"w" is stated twice`:                            raw(`{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, "12"),
		`unknown dtype "F4"`:                             entry(`{"dtype":"F4","shape":[2],"data_offsets":[0,8]}`),
		"wants dtype, shape and two data_offsets":        entry(`{"dtype":"F32","shape":[2]}`),
		"unknown field":                                  entry(`{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}`),
		"span 8 bytes, F32 [3] takes 12":                 entry(`{"dtype":"F32","shape":[3],"data_offsets":[0,8]}`),
		"negative size in shape":                         entry(`{"dtype":"F32","shape":[-2,-1],"data_offsets":[0,8]}`),
		"is too large":                                   entry(`{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}`),
		"begins at 4 of the data, not at 0":              entry(`{"dtype":"F32","shape":[1],"data_offsets":[4,8]}`),
		"4 bytes follow the last tensor":                 entry(`{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`),
		"ends within tensor w: truncated":                entry(`{"dtype":"F32","shape":[3],"data_offsets":[0,12]}`),
		"cannot unmarshal":                               entry(`{"dtype":"F32","shape":[1.5],"data_offsets":[0,6]}`),
		"begins at 0 of the data, not at 4":              raw(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, "1234"),
		"header is not valid JSON of the format: __meta": raw(`{"__metadata__":{"a":1}}`, ""),
	} {
		_, err := Parse(data)
		var bad *FormatError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for want, tensors := range map[string][]Tensor{
		"a second tensor named":   {Float32("w", nil, []float32{1}), Float32("w", nil, []float32{1})},
		"do not fit":              {Float32("w", []int{2}, []float32{1})},
		`named "__metadata__"`:    {Float32("__metadata__", nil, []float32{1})},
		`1 bytes do not fit "F4"`: {{Name: "w", DType: "F4", Data: []byte{1}}},
	} {
		if err := Write(&bytes.Buffer{}, &File{Tensors: tensors}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
}

func TestFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.safetensors")
	want := &File{Metadata: map[string]string{"a": "ü<&>\n"}, Tensors: []Tensor{Float32("w", []int{3}, []float32{1, 2, float32(math.NaN())})}}
	if err := WriteFile(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := WriteFile(path, &File{Tensors: []Tensor{{Name: "x"}}}); err == nil {
		t.Error("an impossible tensor was written")
	}
	if again, err := ReadFile(path); err != nil || !cmp.Equal(got, again) {
		t.Errorf("a failed write changed the file: %v", err)
	}
	if _, err := ReadFile(path + ".no"); err == nil {
		t.Error("read a file that is not there")
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &File{Metadata: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "metadata")}
		names := rapid.SliceOfDistinct(rapid.StringN(1, 20, -1).Filter(func(s string) bool { return s != metadata && validText(s) }), rapid.ID[string]).Draw(t, "names")
		for k, v := range f.Metadata {
			if !validText(k) || !validText(v) {
				delete(f.Metadata, k)
			}
		}
		for _, name := range names {
			shape := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 3).Draw(t, "shape")
			x := Tensor{Name: name, DType: rapid.SampledFrom([]DType{F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, Bool}).Draw(t, "dtype"), Shape: shape}
			x.Data = rapid.SliceOfN(rapid.Byte(), x.Len()*x.DType.Size(), x.Len()*x.DType.Size()).Draw(t, "data")
			f.Tensors = append(f.Tensors, x)
		}
		var b bytes.Buffer
		if err := Write(&b, f); err != nil {
			t.Fatal(err)
		}
		got, err := Parse(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Tensors) != len(f.Tensors) || fmt.Sprint(got.Metadata) != fmt.Sprint(f.Metadata) {
			t.Fatalf("%d tensors and %v; want %d and %v", len(got.Tensors), got.Metadata, len(f.Tensors), f.Metadata)
		}
		for _, want := range f.Tensors {
			x, _ := got.Tensor(want.Name)
			if x.DType != want.DType || fmt.Sprint(x.Shape) != fmt.Sprint(want.Shape) || !bytes.Equal(x.Data, want.Data) {
				t.Fatalf("%q: %+v; want %+v", want.Name, x, want)
			}
		}
	})
}

// Names in JSON are UTF-8; what is not becomes U+FFFD.
func validText(s string) bool { return strings.ToValidUTF8(s, "") == s }

func FuzzParse(f *testing.F) {
	f.Add(raw(`{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "1234"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		total := 0
		for _, x := range file.Tensors {
			if len(x.Data) != x.Len()*x.DType.Size() {
				t.Errorf("%s: %d bytes for %v %v", x.Name, len(x.Data), x.DType, x.Shape)
			}
			total += len(x.Data)
		}
		if total > len(data) {
			t.Errorf("%d bytes of tensors in a file of %d", total, len(data))
		}
		var b bytes.Buffer
		if err := Write(&b, file); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Tensors) != len(file.Tensors) || !maps.Equal(again.Metadata, file.Metadata) {
			t.Errorf("%d tensors and %v; written and read %d and %v", len(file.Tensors), file.Metadata, len(again.Tensors), again.Metadata)
		}
		for _, want := range file.Tensors {
			x, ok := again.Tensor(want.Name)
			if !ok || x.DType != want.DType || !slices.Equal(x.Shape, want.Shape) || !bytes.Equal(x.Data, want.Data) {
				t.Errorf("%q: %+v; written and read %+v", want.Name, want, x)
			}
		}
	})
}

// Every binary16 widens to its value.
func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		sign, exp, frac := 1.0, h>>10&0x1f, float64(h&0x3ff)
		if h&0x8000 != 0 {
			sign = -1
		}
		want := sign * math.Ldexp(1+frac/1024, exp-15)
		switch {
		case exp == 0:
			want = sign * math.Ldexp(frac/1024, -14)
		case exp == 31 && frac == 0:
			want = math.Inf(int(sign))
		case exp == 31:
			want = math.NaN()
		}
		if got := float64(half(uint16(h))); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Fatalf("%#04x is %v; want %v", h, got, want)
		}
	}
}

func TestConversions(t *testing.T) {
	v := make([]float32, 1)
	double := Tensor{Name: "d", DType: F64, Shape: []int{1}, Data: binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.1))}
	if err := double.CopyFloat32(v); err != nil || v[0] != 0.1 {
		t.Errorf("F64: %v, %v", v, err)
	}
	brain := Tensor{Name: "b", DType: BF16, Shape: []int{1}, Data: []byte{0xc0, 0x3f}}
	if err := brain.CopyFloat32(v); err != nil || v[0] != 1.5 {
		t.Errorf("BF16: %v, %v", v, err)
	}
	n := Tensor{Name: "n", DType: I64, Shape: []int{2}, Data: make([]byte, 16)}
	if err := n.CopyFloat32(make([]float32, 2)); err == nil {
		t.Error("integers were taken for floats")
	}
	if err := double.CopyFloat32(make([]float32, 2)); err == nil {
		t.Error("one element was copied to two")
	}
}

// Of what is no file of tensors, however large, only the beginning is read.
func TestOtherFilesAreRefusedByTheirBeginning(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, []byte("\x7fELF"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 1<<40); err != nil {
		t.Skip(err) // the file system has no holes
	}
	for file, want := range map[string]string{large: "not a safetensors file", dir: "is a folder, not a file", os.DevNull: "is a device, not a file"} {
		_, err := ReadFile(file)
		var bad *FormatError
		if !errors.As(err, &bad) || bad.File != file || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
