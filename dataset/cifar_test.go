package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// cifarFolder makes a small data set; each file has n records.
func cifarFolder(t testing.TB, k cifarKind, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i, f := range append(k.train, k.test...) {
		var b []byte
		for j := range n {
			head := make([]byte, k.head)
			head[k.head-1] = byte((i*n + j) % k.classes)
			b = append(append(b, head...), noise(cifarPixels, uint64(i*n+j))...)
		}
		write(t, dir, f, b)
	}
	return dir
}

func TestCIFAR(t *testing.T) {
	for _, k := range cifarKinds() {
		dir := cifarFolder(t, k, 3)
		names := ""
		for i := range k.classes {
			names += fmt.Sprintf("class-%d\n", i)
		}
		write(t, dir, k.labels, []byte(names+"\n"))
		n := 3 * len(k.train)
		d := open(t, dir, Options{Val: 1})
		in := d.Info
		if in.Channels != 3 || in.Height != 32 || in.Width != 32 || in.Classes != k.classes || len(in.Labels) != k.classes || in.Labels[1] != "class-1" || in.Photos {
			t.Errorf("%s: %+v", k.name, in)
		}
		if d.Train.Len() != n-1 || d.Val.Len() != 1 || d.Test.Len() != 3 {
			t.Errorf("%s: %d, %d, %d images", k.name, d.Train.Len(), d.Val.Len(), d.Test.Len())
		}
		for i := range n - 1 {
			if !bytes.Equal(pixels(t, d.Train, i, cifarPixels), noise(cifarPixels, uint64(i))) || d.Train.Label(i) != i%k.classes {
				t.Errorf("%s: image %d is another", k.name, i)
			}
		}
		if !bytes.Equal(pixels(t, d.Test, 2, cifarPixels), noise(cifarPixels, uint64(n+2))) || d.Test.Label(2) != (n+2)%k.classes {
			t.Errorf("%s: test image 2 is another", k.name)
		}
		small := open(t, dir, Options{Resolution: 24})
		if small.Info.Height != 24 || small.Info.Width != 24 {
			t.Errorf("%s: %+v", k.name, small.Info)
		}
		want := picture{make([]byte, 3*24*24), 24, 24}
		src := picture{noise(cifarPixels, 1), 32, 32}
		new(resizer).resize(want, src, 3, whole(src))
		if !bytes.Equal(pixels(t, small.Train, 1, 3*24*24), want.pix) {
			t.Errorf("%s: image 1 is not resized", k.name)
		}
	}
}

// The archive unpacks into a folder of its own.
func TestCIFARNested(t *testing.T) {
	k := cifarKinds()[0]
	dir := t.TempDir()
	for _, f := range k.train {
		write(t, filepath.Join(dir, k.folder), f, append([]byte{1}, noise(cifarPixels, 1)...))
	}
	d := open(t, dir, Options{})
	if d.Train.Len() != 4 || d.Val.Len() != 1 || d.Test != nil || d.Info.Labels != nil {
		t.Errorf("%d, %d images, test %v", d.Train.Len(), d.Val.Len(), d.Test)
	}
}

func TestCIFARErrors(t *testing.T) {
	k := cifarKinds()[0]
	record := append([]byte{9}, noise(cifarPixels, 1)...)
	bad := bytes.Clone(record)
	bad[0] = 10
	for _, c := range []struct {
		file string
		data []byte
		want string
	}{
		{"data_batch_3.bin", record[:3000], "at byte 0: truncated: 3000 bytes are not a whole number of CIFAR-10 records of 3073 bytes"},
		{"data_batch_3.bin", append(bytes.Clone(record), 1), "at byte 3073: truncated"},
		{"data_batch_3.bin", nil, "truncated: 0 bytes"},
		{"test_batch.bin", append(bytes.Clone(record), bad...), "at byte 3073: label 10; CIFAR-10 has labels 0 to 9"},
		{"batches.meta.txt", []byte("cat\ndog\n"), "2 names of classes, 10 are needed"},
	} {
		dir := cifarFolder(t, k, 2)
		file := write(t, dir, c.file, c.data)
		_, err := Open(dir, Options{NoCache: true})
		var format *FormatError
		if !errors.As(err, &format) || format.File != file || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, should say %q", c.file, err, c.want)
		}
	}
	dir := t.TempDir()
	write(t, dir, "data_batch_1.bin", record)
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "data_batch_2.bin: CIFAR-10 is incomplete") {
		t.Errorf("error %v of an incomplete set", err)
	}
}
