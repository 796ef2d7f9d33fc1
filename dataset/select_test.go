package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netspace/internal/seeded"
)

// damagedFolder has 60 small photographs, some of which are damaged: names are those whose damage shows when
// they are decoded, in the order of the data set.
func damagedFolder(t testing.TB) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	for i := range 60 {
		write(t, dir, fmt.Sprintf("%c/%d.png", 'a'+i%3, i), rgb(t, 10+i%4, 12, uint64(i)))
	}
	list, _, err := listFolders(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 3, 4, 9, 10, 30, 31, 50, 51, 58, 59} {
		name := list.path(i)
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if i%10 == 1 { // shows in the header
			data = data[:20]
		} else {
			data = data[:len(data)-40]
			names = append(names, name)
		}
		write(t, dir, list.files[i].id.name, data)
	}
	return dir, names
}

// same reports how the first n images of a split differ from those of all from place at on.
func same(t *testing.T, what string, s Split, n int, all Split, at int, size int) {
	t.Helper()
	if s.Len() != n {
		t.Fatalf("%s: %d images, not %d", what, s.Len(), n)
	}
	for i := range n {
		if s.Label(i) != all.Label(at+i) || !bytes.Equal(pixels(t, s, i, size), pixels(t, all, at+i, size)) {
			t.Fatalf("%s: image %d is another", what, i)
		}
	}
}

// What a selection of images gives is what decoding all gives, wherever damaged images are, and whatever the
// cache holds.
func TestSelectionsAreOfAllImages(t *testing.T) {
	dir, _ := damagedFolder(t)
	const share = 0.2 // 12 images; 11 are damaged
	all := open(t, dir, Options{Val: -1, Resolution: 8, MaxCorrupt: share, NoCache: true})
	n, size := all.Train.Len(), 3*8*8
	if n != 49 {
		t.Fatalf("%d images", n)
	}
	rng := seeded.Rand(t)
	grown := t.TempDir() // a cache that serves all of them
	for range 20 {
		train, val := 1+rng.IntN(30), rng.IntN(18)
		if val == 0 {
			val = -1
		}
		want := open(t, dir, Options{Train: train, Val: -1, Resolution: 8, MaxCorrupt: share, CacheLimit: 1, NoCache: true})
		fresh := t.TempDir()
		for _, c := range []struct {
			what string
			o    Options
		}{
			{"fresh", Options{Cache: fresh}}, {"again", Options{Cache: fresh}}, {"grown", Options{Cache: grown}},
			{"memory", Options{NoCache: true}}, {"not kept", Options{CacheLimit: 1, Cache: fresh}},
		} {
			o := c.o
			o.Train, o.Val, o.Resolution, o.MaxCorrupt = train, val, 8, share
			what := fmt.Sprintf("%s, %d and %d", c.what, train, val)
			d := open(t, dir, o)
			if fmt.Sprint(d.Info) != fmt.Sprint(want.Info) {
				t.Errorf("%s: %+v, not %+v", what, d.Info, want.Info)
			}
			same(t, what, d.Train, train, all.Train, 0, size)
			if val > 0 {
				same(t, what, d.Val, val, all.Train, n-val, size)
			}
		}
	}
	if names := cacheFiles(t, grown); len(names) != 2 {
		t.Errorf("the cache holds %v", names)
	}
}

// Only what a selection uses is decoded: damage elsewhere does not show, and the cache holds no more.
func TestSelectionsDecodeNoMore(t *testing.T) {
	dir, damaged := damagedFolder(t)
	cache := t.TempDir()
	o := Options{Train: 5, Val: 2, Resolution: 8, MaxCorrupt: 0.2, Cache: cache}
	seen := func() (names []string) {
		for _, e := range open(t, dir, o).Corrupt() {
			if !strings.Contains(e.Reason, "truncated") { // those whose header is damaged are known of all
				names = append(names, e.File)
			}
		}
		return names
	}
	// Of places 0 to 9 four are damaged, and the last two.
	want := append(damaged[:3:3], damaged[len(damaged)-2:]...)
	for range 2 {
		if got := seen(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("damaged:\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	images := map[int]bool{}
	for _, name := range cacheFiles(t, cache) {
		s, err := openBlock(filepath.Join(cache, name), "", parseStore)
		if err != nil {
			t.Fatal(err)
		}
		images[s.Images] = true
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(images) != 2 || !images[5] || !images[2] {
		t.Errorf("the cache holds so many images: %v", images)
	}
	// First and last images never meet: damaged ones may leave too few.
	for _, c := range [][2]int{{40, 9}, {40, 10}} {
		o := Options{Train: c[0], Val: c[1], Resolution: 8, MaxCorrupt: 0.2, NoCache: true}
		d, err := Open(dir, o)
		if c[1] == 9 {
			if err != nil {
				t.Fatal(err)
			}
			d.Close()
		} else if err == nil || !strings.Contains(err.Error(), "it has 49 training images, of which 10") {
			t.Errorf("%v: %v", c, err)
		}
	}
	// A cache of all images serves every selection.
	o.Train, o.Val, o.Cache = 0, -1, t.TempDir()
	open(t, dir, o)
	o.Train, o.Val = 5, 2
	open(t, dir, o)
	if names := cacheFiles(t, o.Cache); len(names) != 1 {
		t.Errorf("the cache holds %v", names)
	}
}

// More images than there are files are refused before any is read.
func TestSelectionsThatFilesCannotGive(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	for _, part := range []string{"flat", "parts/train", "parts/val"} {
		for i := range 20 {
			write(t, dir, fmt.Sprintf("%s/%c/%d.png", part, 'a'+i%2, i), nil) // would all be damaged
		}
	}
	for _, c := range []struct {
		folder     string
		train, val int
		want       string
	}{
		{"flat", 15, 6, "train 15: it has 20 training images, of which 6 are held out"},
		{"flat", 0, 20, "val 20: it has 20 training images to hold them out of"},
		{"flat", 19, 0, "train 19: it has 20 training images, of which 2 are held out"},
		{"parts", 21, 0, "train 21: it has 20 training images"},
	} {
		_, err := Open(filepath.Join(dir, c.folder), Options{Train: c.train, Val: c.val, Cache: cache})
		var option *OptionError
		if !errors.As(err, &option) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %d and %d: %v; want %q", c.folder, c.train, c.val, err, c.want)
		}
	}
}

// Test images are decoded when they are asked for, and only counted else; so are validation images that nobody wants.
func TestPartsThatAreNotRead(t *testing.T) {
	dir := t.TempDir()
	for _, part := range []string{"train", "val", "test"} {
		for i := range 20 {
			data := rgb(t, 6, 6, uint64(i))
			if part != "train" {
				data = data[:len(data)-30]
			}
			write(t, dir, fmt.Sprintf("%s/%c/%d.png", part, 'a'+i%2, i), data)
		}
	}
	o := Options{Train: 10, Val: -1, NoTest: true, Cache: t.TempDir()}
	d := open(t, dir, o)
	if d.Test != nil || d.Val != nil || d.TestImages != 20 || d.Train.Len() != 10 {
		t.Errorf("test %v of %d images, val %v, %d training images", d.Test, d.TestImages, d.Val, d.Train.Len())
	}
	for _, c := range []Options{{NoTest: false, Val: -1}, {NoTest: true, Val: 5}} {
		c.Cache = o.Cache
		if _, err := Open(dir, c); err == nil || !strings.Contains(err.Error(), "of 20 images are damaged") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if d := open(t, idxFolder(t), Options{NoTest: true}); d.Test != nil || d.TestImages != testTest {
		t.Errorf("%d test images", d.TestImages)
	}
}

// What a process that was killed while it decoded left is removed by the next one, which begins anew.
func TestKilledWhileDecoding(t *testing.T) {
	if dir := os.Getenv("DATASET_KILLED"); dir != "" {
		Open(dir, Options{Cache: os.Getenv("DATASET_CACHE"), Progress: func(done, _ int) {
			fmt.Println("decoded", done)
			select {}
		}})
		return
	}
	dir, cache := smallFolder(t, 30), t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKilledWhileDecoding$")
	child.Env = append(os.Environ(), "DATASET_KILLED="+dir, "DATASET_CACHE="+cache)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	left := cacheFiles(t, cache)
	if len(left) != 1 || !strings.HasSuffix(left[0], ".tmp") {
		t.Fatalf("a killed process left %v", left)
	}
	old := time.Now().Add(-time.Minute) // what is a moment old may have a writer yet
	if err := os.Chtimes(filepath.Join(cache, left[0]), old, old); err != nil {
		t.Fatal(err)
	}
	if n := open(t, dir, Options{Cache: cache}).Train.Len(); n != 81 {
		t.Errorf("%d training images", n)
	}
	if now := cacheFiles(t, cache); len(now) != 1 || strings.HasSuffix(now[0], ".tmp") {
		t.Errorf("the cache holds %v", now)
	}
}
