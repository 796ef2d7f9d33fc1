package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// idxBytes is an IDX file of bytes.
func idxBytes(data []byte, dims ...int) []byte {
	b := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	return append(b, data...)
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// noise is n bytes that are the same every time and do not repeat.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(mix(seed<<32 + uint64(i)))
	}
	return b
}

func cycle(n, classes int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % classes)
	}
	return b
}

const (
	testTrain, testTest = 50, 20
	testH, testW        = 5, 7
	testClasses         = 4
)

// idxFolder makes a small data set of IDX files.
func idxFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "train-images-idx3-ubyte.gz", gzipped(t, idxBytes(noise(testTrain*testH*testW, 1), testTrain, testH, testW)))
	write(t, dir, "train-labels-idx1-ubyte", idxBytes(cycle(testTrain, testClasses), testTrain))
	write(t, dir, "t10k-images-idx3-ubyte", idxBytes(noise(testTest*testH*testW, 2), testTest, testH, testW))
	write(t, dir, "t10k-labels-idx1-ubyte.gz", gzipped(t, idxBytes(cycle(testTest, testClasses), testTest)))
	return dir
}

func open(t testing.TB, path string, o Options) *Data {
	t.Helper()
	if o.Cache == "" {
		o.Cache = t.TempDir()
	}
	d, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func pixels(t testing.TB, s Split, i, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if err := s.Image(i, b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestIDXSplits(t *testing.T) {
	const size = testH * testW
	all := noise(testTrain*size, 1)
	dir := idxFolder(t)
	for _, c := range []struct {
		o                Options
		train, val       int
		firstVal, images int
	}{
		{Options{}, 45, 5, 45, 45},
		{Options{Val: 20}, 30, 20, 30, 30},
		{Options{Train: 10, Val: 20}, 10, 20, 30, 10},
		{Options{Val: -1}, 50, 0, 0, 50},
		{Options{Val: -1, NoCache: true}, 50, 0, 0, 50},
	} {
		d := open(t, dir, c.o)
		if d.Train.Len() != c.train || d.Test.Len() != testTest || d.Info.MomentImages != c.images {
			t.Errorf("%+v: %d for training, %d for test, normalised by %d", c.o, d.Train.Len(), d.Test.Len(), d.Info.MomentImages)
		}
		if c.val == 0 {
			if d.Val != nil {
				t.Errorf("%+v: there are validation images", c.o)
			}
		} else {
			if d.Val.Len() != c.val {
				t.Errorf("%+v: %d for validation", c.o, d.Val.Len())
			}
			for i := range c.val {
				j := c.firstVal + i
				if !bytes.Equal(pixels(t, d.Val, i, size), all[j*size:(j+1)*size]) || d.Val.Label(i) != j%testClasses {
					t.Errorf("%+v: validation image %d is not training image %d", c.o, i, j)
				}
			}
		}
		for i := range c.train {
			if !bytes.Equal(pixels(t, d.Train, i, size), all[i*size:(i+1)*size]) || d.Train.Label(i) != i%testClasses {
				t.Errorf("%+v: training image %d is another", c.o, i)
			}
		}
		mean, std := moments(all[:c.train*size])
		if in := d.Info; in.Channels != 1 || in.Height != testH || in.Width != testW || in.Classes != testClasses ||
			math.Abs(float64(in.Mean[0])-mean) > 1e-6 || math.Abs(float64(in.Std[0])-std) > 1e-6 {
			t.Errorf("%+v: %+v, mean and deviation should be %v, %v", c.o, in, mean, std)
		}
	}
}

func moments(b []byte) (mean, std float64) {
	for _, v := range b {
		mean += float64(v) / 255
	}
	mean /= float64(len(b))
	for _, v := range b {
		std += (float64(v)/255 - mean) * (float64(v)/255 - mean)
	}
	return mean, math.Sqrt(std / float64(len(b)))
}

func TestIDXErrors(t *testing.T) {
	const size = testH * testW
	good := idxBytes(noise(testTrain*size, 1), testTrain, testH, testW)
	zipped := gzipped(t, good)
	flipped := bytes.Clone(zipped)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	broken := bytes.Clone(zipped)
	broken[30] = 0xff
	broken[31] = 0xff
	broken[32] = 0xff
	zeros := gzipped(t, idxBytes(nil, 0, 5, 5))
	images, labels := "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"
	for _, c := range []struct {
		name, file string
		data       []byte
		want       string
	}{
		{"truncated gzip", images, zipped[:len(zipped)/2], "truncated: the header announces 1766 bytes"},
		{"truncated plain", images, good[:900], "truncated: the header announces 1766 bytes, it ends after 900"},
		{"truncated header", images, good[:9], "truncated: it ends within the header"},
		{"truncated gzip header", images, zipped[:5], "truncated"},
		{"empty", images, nil, "truncated: it ends within the header"},
		{"checksum", images, flipped, "damaged gzip: checksum does not match"},
		{"corrupt", images, broken, "damaged gzip"},
		{"gzip header", images, append([]byte{0x1f, 0x8b, 9}, zipped[3:]...), "damaged gzip: header is wrong"},
		{"longer", images, gzipped(t, append(bytes.Clone(good), 0)), "longer than the 1766 bytes that its header announces"},
		{"magic", images, append([]byte("PK\x03\x04"), good[4:]...), "not an IDX file: it begins with 50 4b 03 04"},
		{"type", images, append([]byte{0, 0, 13, 3}, good[4:]...), "elements of type 0x0d"},
		{"dimensions", images, append([]byte{0, 0, 8, 7}, good[4:]...), "7 dimensions"},
		{"zero", images, zeros, "a dimension is 0"},
		{"huge", images, idxBytes(nil, 1<<30, 1<<30, 5), "a dimension of 1073741824 makes more than"},
		{"wide", images, idxBytes(nil, testTrain, 5, 5000), "at most 4096×4096"},
		{"channels", images, idxBytes(nil, testTrain, 2, 5, 5), "2 channels"},
		{"labels for images", images, idxBytes(noise(testTrain, 1), testTrain), "images have 3 dimensions"},
		{"images for labels", labels, good, "labels have 1 dimension, this has 3"},
		{"counts", labels, idxBytes(cycle(49, 4), 49), "49 labels, but"},
		{"truncated labels", labels, idxBytes(cycle(49, 4), 50), "truncated: the header announces 58 bytes, it ends after 57"},
		{"one class", labels, idxBytes(make([]byte, 50), 50), "all labels are 0"},
		{"shape of test", "t10k-images-idx3-ubyte", idxBytes(noise(testTest*36, 1), testTest, 6, 6), "6×6 pixels, but those for training have 1 of 5×7"},
		{"label of test", "t10k-labels-idx1-ubyte.gz", idxBytes(cycle(testTest, 5), testTest), "image 4 has label 4, but the training images have labels 0 to 3"},
	} {
		for _, memory := range []bool{false, true} {
			dir := idxFolder(t)
			file := write(t, dir, c.file, c.data)
			cache := t.TempDir()
			_, err := Open(dir, Options{Cache: cache, NoCache: memory})
			var format *FormatError
			if !errors.As(err, &format) {
				t.Errorf("%s: error %v", c.name, err)
				continue
			}
			if format.File != file || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %q should name %s and say %q", c.name, err, file, c.want)
			}
			if names, _ := fileNames(cache); strings.Contains(strings.Join(names, " "), ".tmp") {
				t.Errorf("%s: left %v in the cache", c.name, names)
			}
		}
	}
}

func TestIDXMissingFiles(t *testing.T) {
	for _, c := range []struct{ remove, want string }{
		{"train-labels-idx1-ubyte", "there is no file of the labels of these images"},
		{"t10k-images-idx3-ubyte", "there is no file of the images that these labels are of"},
		{"train-images-idx3-ubyte.gz", "there is no file of training images"},
	} {
		dir := idxFolder(t)
		if err := os.Remove(filepath.Join(dir, c.remove)); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir, Options{NoCache: true})
		var format *FormatError
		if !errors.As(err, &format) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("without %s: error %v, should say %q", c.remove, err, c.want)
		}
	}
	dir := idxFolder(t)
	for _, f := range []string{"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz"} {
		if err := os.Remove(filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	if d := open(t, dir, Options{}); d.Test != nil {
		t.Error("there are test images without their files")
	}
}

// Several data sets in one folder, as EMNIST has it; 4 dimensions; a validation set.
func TestIDXVariants(t *testing.T) {
	dir := t.TempDir()
	rgb := noise(6*3*4*4, 3)
	first := write(t, dir, "letters-train-images-idx4-ubyte", idxBytes(rgb, 6, 3, 4, 4))
	write(t, dir, "letters-train-labels-idx1-ubyte", idxBytes(cycle(6, 3), 6))
	write(t, dir, "letters-val-images.idx4-ubyte", idxBytes(rgb[:3*48], 3, 3, 4, 4))
	write(t, dir, "letters-val-labels.idx1-ubyte", idxBytes(cycle(3, 3), 3))
	write(t, dir, "digits-train-images-idx3-ubyte", idxBytes(noise(4*9, 1), 4, 3, 3))
	write(t, dir, "digits-train-labels-idx1-ubyte", idxBytes(cycle(4, 2), 4))
	_, err := Open(dir, Options{NoCache: true})
	if err == nil || !strings.Contains(err.Error(), `"digits-", "letters-"`) {
		t.Errorf("error %v should name the data sets", err)
	}
	d := open(t, first, Options{})
	if d.Info.Channels != 3 || d.Train.Len() != 6 || d.Val.Len() != 3 {
		t.Errorf("%+v, %d and %d images", d.Info, d.Train.Len(), d.Val.Len())
	}
	if !bytes.Equal(pixels(t, d.Train, 1, 48), rgb[48:96]) {
		t.Error("image 1 is another")
	}
	if d := open(t, first, Options{Val: 2}); d.Train.Len() != 6 || d.Val.Len() != 2 {
		t.Errorf("%d and %d images", d.Train.Len(), d.Val.Len())
	}
}

func TestOptionErrors(t *testing.T) {
	dir := idxFolder(t)
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Train: 46}, "train 46: it has 50 training images, of which 5 are held out"},
		{Options{Train: 31, Val: 20}, "train 31: it has 50 training images, of which 20 are held out"},
		{Options{Val: 50}, "val 50: it has 50 training images"},
		{Options{Train: -1}, "train -1"},
		{Options{Val: -2}, "val -2"},
		{Options{Resolution: 5000}, "resolution 5000: must be between 1 and 4096"},
		{Options{MaxCorrupt: 2}, "max corrupt 2"},
		{Options{CacheLimit: -1}, "cache limit -1"},
	} {
		c.o.NoCache = true
		_, err := Open(dir, c.o)
		var option *OptionError
		if !errors.As(err, &option) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, should say %q", c.o, err, c.want)
		}
	}
}

func TestMissing(t *testing.T) {
	_, err := Open("fashion-mnits", Options{})
	var missing *MissingError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "fashion-mnist") {
		t.Errorf("error %v should name what is known", err)
	}
	dir := t.TempDir()
	var format *FormatError
	if _, err := Open(dir, Options{}); !errors.As(err, &format) || format.File != dir {
		t.Errorf("error of an empty folder: %v", err)
	}
	file := write(t, dir, "x.txt", []byte("hello"))
	if _, err := Open(file, Options{}); !errors.As(err, &format) || format.File != file {
		t.Errorf("error of a foreign file: %v", err)
	}
}

// The data set of Debian's package, where it is installed.
func TestFashionMNIST(t *testing.T) {
	if _, err := os.Stat(knownSets()[0].path); err != nil {
		t.Skip("dataset-fashion-mnist is not installed")
	}
	d := open(t, "fashion_mnist", Options{Train: 55000, Val: 5000})
	in := d.Info
	if in.Name != "fashion-mnist" || in.Channels != 1 || in.Height != 28 || in.Width != 28 || in.Classes != 10 || len(in.Labels) != 10 {
		t.Errorf("%+v", in)
	}
	if d.Train.Len() != 55000 || d.Val.Len() != 5000 || d.Test.Len() != 10000 {
		t.Errorf("%d, %d, %d images", d.Train.Len(), d.Val.Len(), d.Test.Len())
	}
	// The published mean and deviation of its training images.
	if math.Abs(float64(in.Mean[0])-0.286) > 1e-3 || math.Abs(float64(in.Std[0])-0.353) > 1e-3 {
		t.Errorf("mean %v, deviation %v", in.Mean, in.Std)
	}
	count := make([]int, 10)
	for i := range d.Test.Len() {
		count[d.Test.Label(i)]++
	}
	for c, n := range count {
		if n != 1000 {
			t.Errorf("%d test images of class %d", n, c)
		}
	}
	// The first training images: ankle boot, T-shirt, T-shirt, dress.
	for i, want := range []int{9, 0, 0, 3} {
		if got := d.Train.Label(i); got != want {
			t.Errorf("image %d has label %d, not %d", i, got, want)
		}
	}
}

func FuzzIDX(f *testing.F) {
	good := idxBytes(noise(2*9, 1), 2, 3, 3)
	f.Add(good)
	f.Add(good[:20])
	f.Add(append(bytes.Clone(good), 1))
	f.Add(gzipped(f, good))
	f.Add(gzipped(f, good)[:25])
	f.Add(idxBytes(nil, 1<<30, 1<<30, 1<<30))
	f.Add([]byte{0, 0, 8, 1, 0, 0, 0, 2, 0, 1})
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		labels, err := newIDX(bytes.NewReader(idxBytes([]byte{0, 1}, 2)), "labels")
		if err != nil {
			t.Fatal(err)
		}
		images, err := newIDX(bytes.NewReader(data), "images")
		var b bytes.Buffer
		if err == nil {
			if images.dims[0]*images.dims[len(images.dims)-1] > 1<<20 {
				t.Skip("a large buffer for one image")
			}
			err = copyIDX(&b, "", images, labels, 0)
		}
		if err != nil {
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("error %v of type %T", err, err)
			}
			return
		}
		s, err := parseStore(b.Bytes(), "")
		if err != nil {
			t.Fatal(err)
		}
		if s.len() != 2 || s.label(1) != 1 {
			t.Errorf("%d images", s.len())
		}
		plain := data
		if data[0] == 0x1f {
			gz, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if plain, err = io.ReadAll(gz); err != nil {
				t.Fatal(err)
			}
		}
		if p, _ := s.at(1, nil); !bytes.HasSuffix(plain, p.pix) {
			t.Error("pixels are others")
		}
	})
}
