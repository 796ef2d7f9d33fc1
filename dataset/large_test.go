package dataset

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

// largeSet says how many images the sets of TestLargeSets have; make test-images sets it to 200,000.
const (
	largeSet    = "NETSPACE_LARGE_SET"
	fewImages   = 1000
	largeShard  = 10_000 // images
	largeBudget = 220    // bytes of the heap for each image of a large set, beside what any set takes
	anySet      = 96 << 20
)

// opened is what a process found that opened a data set.
type opened struct {
	Images   int
	Open     float64 // seconds
	Speed    float64 // images per second of one goroutine
	Heap     uint64  // bytes in use after an epoch
	Resident uint64  // most bytes, with mapped files
	Order    uint64  // what the first batches hold
}

// Sets of many images are opened and read in memory that hardly grows with their number, from folders, archives and Parquet files; a
// second opening makes nothing anew.
func TestLargeSets(t *testing.T) {
	if path := os.Getenv("DATASET_LARGE"); path != "" {
		n, _ := strconv.ParseInt(os.Getenv("DATASET_IMAGES"), 10, 64)
		openLarge(t, path, n)
		return
	}
	n, _ := strconv.Atoi(cmp.Or(os.Getenv(largeSet), strconv.Itoa(fewImages)))
	var orders []uint64
	for _, kind := range []string{"folder", "tar", "parquet"} {
		dir, cache := t.TempDir(), t.TempDir()
		begin := time.Now()
		size := writeLarge(t, dir, kind, n)
		t.Logf("%s: %d images, %d MiB, written in %.1f s", kind, n, size>>20, time.Since(begin).Seconds())
		for _, what := range []string{"first", "second"} {
			before := cacheTimes(t, cache)
			o := largeProcess(t, dir, cache, n)
			t.Logf("%s, %s opening: %.2f s, %.0f images/s, heap %.1f MiB, resident at most %.1f MiB", kind, what, o.Open, o.Speed, float64(o.Heap)/(1<<20), float64(o.Resident)/(1<<20))
			if o.Images != n {
				t.Errorf("%s: %d images", kind, o.Images)
			}
			if most := uint64(anySet + largeBudget*n); o.Heap > most {
				t.Errorf("%s, %s opening: %d bytes in the heap, more than %d", kind, what, o.Heap, most)
			}
			if what == "second" && (len(before) == 0 || !slices.Equal(before, cacheTimes(t, cache))) {
				t.Errorf("%s: the second opening wrote to the cache", kind)
			}
			orders = append(orders, o.Order)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	// The names in the archives are those in the folder.
	if o := slices.Compact(slices.Clone(orders)); len(o) != 2 || orders[0] != orders[2] {
		t.Errorf("batches of folder, tar and Parquet: %x", orders)
	}
}

// writeLarge writes n images in 10 classes and returns their size.
func writeLarge(t *testing.T, dir, kind string, n int) (size int64) {
	t.Helper()
	name := func(i int) string { return fmt.Sprintf("class%d/%06d.jpg", i%10, i) }
	photo := func(i int) []byte { // small, of varied size, like no other: that the images are many is what matters
		m := image.NewRGBA(image.Rect(0, 0, 40+i%9, 40+i%7))
		copy(m.Pix, noise(len(m.Pix), uint64(i)))
		return encodeJPEG(t, m)
	}
	for from := 0; from < n; from += largeShard {
		to := min(from+largeShard, n)
		var b bytes.Buffer
		switch kind {
		case "folder":
			for i := from; i < to; i++ {
				if i < 10 {
					if err := os.Mkdir(filepath.Join(dir, fmt.Sprint("class", i)), 0o755); err != nil {
						t.Fatal(err)
					}
				}
				data := photo(i)
				if err := os.WriteFile(filepath.Join(dir, name(i)), data, 0o644); err != nil {
					t.Fatal(err)
				}
				size += int64(len(data))
			}
			continue
		case "tar":
			w := tar.NewWriter(&b)
			for i := from; i < to; i++ {
				data := photo(i)
				if err := w.WriteHeader(&tar.Header{Name: name(i), Mode: 0o644, Size: int64(len(data))}); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(data); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		case "parquet":
			var rows []hubRow
			for i := from; i < to; i++ {
				rows = append(rows, hubRow{hubImage{Bytes: photo(i)}, int64(i % 10)})
			}
			b.Write(hub(t, rows, nil, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(1000)))
		}
		size += int64(b.Len())
		write(t, dir, fmt.Sprintf("train-%05d.%s", from/largeShard, kind), b.Bytes())
	}
	return size
}

// largeProcess opens a set in a process of its own.
func largeProcess(t *testing.T, dir, cache string, n int) (o opened) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestLargeSets$")
	child.Env = append(os.Environ(), "DATASET_LARGE="+dir, "DATASET_CACHE="+cache, fmt.Sprint("DATASET_IMAGES=", n))
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	line, _, _ := bytes.Cut(out, []byte("\n"))
	if err := json.Unmarshal(line, &o); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return o
}

// openLarge is what the process does: it opens a set of n images, which are decoded each time since there is room for them
// encoded only, and reads some of an epoch.
func openLarge(t *testing.T, path string, n int64) {
	const batches, batch = 20, 50
	start := time.Now()
	d, err := Open(path, Options{Cache: os.Getenv("DATASET_CACHE"), CacheLimit: 3000 * n, Val: -1, Resolution: 32})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	o := opened{Images: d.Train.Len(), Open: time.Since(start).Seconds()}
	it := NewLoader(d.Train, d.Info, LoaderOptions{Batch: batch, Shuffle: true, Seed: 1, Augment: Augment{ResizedCrop: true, Flip: true}}).Epoch(0, 0)
	defer it.Close()
	start = time.Now()
	for range batches {
		b, err := it.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, index := range b.Index {
			o.Order = mix(o.Order ^ uint64(index)<<32 ^ uint64(b.Labels[i]))
		}
	}
	o.Speed = batches * batch / time.Since(start).Seconds()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	o.Heap = m.HeapInuse
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		fields := strings.Fields(rest)
		if len(fields) > 0 {
			kib, _ := strconv.ParseUint(fields[0], 10, 64)
			o.Resident = kib << 10
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(string(text))
}

// cacheTimes lists the files of a cache and when they were written.
func cacheTimes(t *testing.T, dir string) (times []string) {
	t.Helper()
	for _, name := range cacheFiles(t, dir) {
		st, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, fmt.Sprint(name, " ", st.ModTime().UnixNano()))
	}
	return times
}
