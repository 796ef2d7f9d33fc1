package dataset

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func cacheFiles(t testing.TB, dir string) []string {
	t.Helper()
	names, err := fileNames(dir)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// touch replaces a file, with a time of change of its own.
func touch(t testing.TB, file string, data []byte, at time.Time) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
}

// A data set is decoded once, and again when a file has changed.
func TestCache(t *testing.T) {
	const size = testH * testW
	dir, cache := idxFolder(t), filepath.Join(t.TempDir(), "new", "cache")
	images := filepath.Join(dir, "train-images-idx3-ubyte.gz")
	first := func() []byte {
		d := open(t, dir, Options{Cache: cache})
		return pixels(t, d.Train, 0, size)
	}
	want := first()
	files := cacheFiles(t, cache)
	if len(files) != 2 { // training and test images
		t.Errorf("the cache holds %v", files)
	}
	st, err := os.Stat(images)
	if err != nil {
		t.Fatal(err)
	}
	// Garbage of the same size and time is not read.
	touch(t, images, make([]byte, st.Size()), st.ModTime())
	if !bytes.Equal(first(), want) {
		t.Error("the cached images are others")
	}
	// Other images are, and replace the old ones.
	other := noise(testTrain*size, 9)
	touch(t, images, gzipped(t, idxBytes(other, testTrain, testH, testW)), st.ModTime().Add(time.Second))
	if !bytes.Equal(first(), other[:size]) {
		t.Error("changed images are not read")
	}
	if now := cacheFiles(t, cache); len(now) != 2 {
		t.Errorf("the cache holds %v", now)
	}
	// Another resolution is another file.
	open(t, dir, Options{Cache: cache, Resolution: 4})
	if now := cacheFiles(t, cache); len(now) != 4 {
		t.Errorf("the cache holds %v", now)
	}
}

// A damaged cache file is made anew.
func TestDamagedCache(t *testing.T) {
	const size = testH * testW
	dir, cache := idxFolder(t), t.TempDir()
	open(t, dir, Options{Cache: cache})
	want := noise(testTrain*size, 1)[:size]
	for _, name := range cacheFiles(t, cache) {
		file := filepath.Join(cache, name)
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		flip := func(at int) []byte {
			b := bytes.Clone(good)
			b[at] ^= 1
			return b
		}
		n := len(good)
		labels := int(binary.LittleEndian.Uint64(good[n-storeFooter:]))
		for _, bad := range [][]byte{nil, good[:10], good[:n/2], good[:n-1], append(bytes.Clone(good), 0),
			flip(0), flip(n - 1), flip(n - 10), flip(n - 20), flip(n - 32), flip(n - 100), flip(labels), flip(labels + 2*testTest), make([]byte, n)} {
			// A new file, not the old one rewritten: that one is still mapped.
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			write(t, cache, name, bad)
			d := open(t, dir, Options{Cache: cache})
			if !bytes.Equal(pixels(t, d.Train, 0, size), want) || d.Test.Label(1) != 1 {
				t.Errorf("%s of %d bytes gives other images", name, len(bad))
			}
			if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, good) {
				t.Errorf("%s of %d bytes was not made anew: %v", name, len(bad), err)
			}
		}
	}
}

// Where the cache cannot be written the images are kept in memory.
func TestNoCacheFolder(t *testing.T) {
	const size = testH * testW
	dir := idxFolder(t)
	file := write(t, t.TempDir(), "file", nil)
	full := t.TempDir() // a folder where the cache file should be renamed to
	open(t, dir, Options{Cache: full})
	for _, name := range cacheFiles(t, full) {
		if err := os.Remove(filepath.Join(full, name)); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(full, name), "x", nil)
	}
	for _, cache := range []string{filepath.Join(file, "below"), file, full} {
		d := open(t, dir, Options{Cache: cache})
		if !bytes.Equal(pixels(t, d.Train, 0, size), noise(testTrain*size, 1)[:size]) {
			t.Errorf("cache %s: image 0 is another", cache)
		}
	}
	for _, name := range cacheFiles(t, full) {
		if strings.HasSuffix(name, ".tmp") {
			t.Errorf("left %s", name)
		}
	}
}

// Processes that decode the same files at once do not disturb each other.
func TestCacheRace(t *testing.T) {
	const size = testH * testW
	dir, cache := idxFolder(t), t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			d, err := Open(dir, Options{Cache: cache})
			if err != nil {
				t.Error(err)
				return
			}
			b := make([]byte, size)
			if err := d.Train.Image(3, b); err != nil || !bytes.Equal(b, noise(4*size, 1)[3*size:]) {
				t.Errorf("image 3 is another: %v", err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if now := cacheFiles(t, cache); len(now) != 2 {
		t.Errorf("the cache holds %v", now)
	}
}

func TestDefaultCache(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	if got := DefaultCache(); got != filepath.Join(dir, "netspace") {
		t.Errorf("%s", got)
	}
	open(t, idxFolder(t), Options{Cache: DefaultCache()})
	if len(cacheFiles(t, filepath.Join(dir, "netspace"))) != 2 {
		t.Error("the cache is elsewhere")
	}
	t.Setenv("XDG_CACHE_HOME", "not/absolute")
	if got := DefaultCache(); strings.Contains(got, "not/absolute") {
		t.Errorf("%s is relative", got)
	}
}

// Sums and sizes of images survive a store, also where sizes vary.
func TestStoreOfVariedSizes(t *testing.T) {
	pics := []picture{{noise(3*2*5, 1), 2, 5}, {noise(3*4*4, 2), 4, 4}, {noise(3, 3), 1, 1}}
	s, err := inMemory("x", func(w io.Writer, source string, _ bool) error {
		sw := newStoreWriter(w, 3, 0, 0)
		for i, p := range pics {
			if err := sw.add(1000*i, p); err != nil {
				return err
			}
		}
		return sw.finish(source)
	}, parseStore)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pics {
		got, err := s.at(i, nil)
		if err != nil || got.h != p.h || got.w != p.w || !bytes.Equal(got.pix, p.pix) || s.label(i) != 1000*i {
			t.Errorf("image %d: %v %dx%d, label %d", i, err, got.h, got.w, s.label(i))
		}
	}
	var green []byte
	for _, p := range pics[:2] {
		n := p.h * p.w
		green = append(green, p.pix[n:2*n]...)
	}
	mean, std := moments(green)
	m, sd, n := s.moments(2)
	if d := float64(m[1]) - mean; d > 1e-6 || d < -1e-6 || n != 2 {
		t.Errorf("mean %v, not %v, over %d", m[1], mean, n)
	}
	if d := float64(sd[1]) - std; d > 1e-6 || d < -1e-6 {
		t.Errorf("deviation %v, not %v", sd[1], std)
	}
	if _, err := parseStore(s.data, "y"); err == nil {
		t.Error("a store of other files is taken")
	}
}
