package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// memory is a Split of ours on a store of noise.
func memory(t testing.TB, n, channels, h, w, classes int) (Split, Info) {
	t.Helper()
	s, err := inMemory("", func(out io.Writer, source string, _ bool) error {
		sw := newStoreWriter(out, channels, h, w)
		for i := range n {
			if err := sw.add(i%classes, picture{noise(channels*h*w, uint64(i)), h, w}); err != nil {
				return err
			}
		}
		return sw.finish(source)
	}, parseStore)
	if err != nil {
		t.Fatal(err)
	}
	info := Info{Channels: channels, Height: h, Width: w, Classes: classes}
	info.Mean, info.Std, _ = s.moments(n)
	return &subset{s: s, from: 0, to: n, h: h, w: w}, info
}

// foreign hides what a Split is, as one that is not of this package.
type foreign struct{ Split }

func copyBatch(b *Batch) Batch {
	return Batch{slices.Clone(b.Images), slices.Clone(b.Labels), slices.Clone(b.Index), b.N, b.Number}
}

// epoch reads the batches of an epoch from number from on.
func epoch(t testing.TB, l *Loader, number, from int) []Batch {
	t.Helper()
	it := l.Epoch(number, from)
	defer it.Close()
	var bs []Batch
	for {
		b, err := it.Next(t.Context())
		if err == io.EOF {
			return bs
		}
		if err != nil {
			t.Fatal(err)
		}
		bs = append(bs, copyBatch(b))
	}
}

// equal compares batches bit for bit.
func equal(a, b []Batch) bool { return len(a)+len(b) == 0 || reflect.DeepEqual(a, b) }

var everything = Augment{PadCrop: 2, Flip: true, RandAugment: 2, Magnitude: 9, ColorJitter: 0.4, Lighting: 0.1}

// What a batch holds does not depend on the number of goroutines, on where the epoch was
// entered, on earlier epochs, or on who implements the split.
func TestLoaderDeterminism(t *testing.T) {
	split, info := memory(t, 53, 3, 9, 8, 4)
	for _, a := range []Augment{{}, {PadCrop: 2, Flip: true}, everything, {ResizedCrop: true, Flip: true}} {
		o := LoaderOptions{Batch: 7, Seed: 5, Shuffle: true, Augment: a}
		want := epoch(t, NewLoader(split, info, o), 3, 0)
		if len(want) != 8 || want[7].N != 4 {
			t.Fatalf("%d batches", len(want))
		}
		for _, workers := range []int{2, 3, 20} {
			o.Workers = workers
			l := NewLoader(split, info, o)
			epoch(t, l, 2, 0)
			for from := range 10 {
				if got := epoch(t, l, 3, from); !equal(want[min(from, 8):], got) {
					t.Errorf("%+v, %d goroutines, from batch %d: batches differ", a, workers, from)
				}
			}
		}
		o.Workers = 1
		if !equal(want, epoch(t, NewLoader(foreign{split}, info, o), 3, 0)) {
			t.Errorf("%+v, another split: batches differ", a)
		}
		if equal(want, epoch(t, NewLoader(split, info, o), 4, 0)) {
			t.Errorf("%+v: epochs 3 and 4 are equal", a)
		}
		o.Seed = 6
		if equal(want, epoch(t, NewLoader(split, info, o), 3, 0)) {
			t.Errorf("%+v: seeds 5 and 6 give the same", a)
		}
	}
}

// Augmentation without shuffling still differs from epoch to epoch.
func TestLoaderAugmentsAnew(t *testing.T) {
	split, info := memory(t, 20, 1, 9, 9, 2)
	l := NewLoader(split, info, LoaderOptions{Batch: 20, Augment: Augment{PadCrop: 3}})
	if equal(epoch(t, l, 0, 0), epoch(t, l, 1, 0)) {
		t.Error("epochs 0 and 1 are equal")
	}
}

// Every option of augmentation changes images, and nothing else.
func TestLoaderAugments(t *testing.T) {
	split, info := memory(t, 8, 3, 9, 9, 2)
	plain := epoch(t, NewLoader(split, info, LoaderOptions{Batch: 8}), 0, 0)[0]
	for _, a := range []Augment{
		{PadCrop: 1}, {ResizedCrop: true}, {ResizedCrop: true, MinArea: 0.5}, {Flip: true},
		{RandAugment: 1, Magnitude: 5}, {ColorJitter: 0.1}, {Lighting: 0.1},
	} {
		b := epoch(t, NewLoader(split, info, LoaderOptions{Batch: 8, Augment: a}), 0, 0)[0]
		same := 0
		for i := range 8 {
			if slices.Equal(b.Images[i*243:(i+1)*243], plain.Images[i*243:(i+1)*243]) {
				same++
			}
		}
		if same > 6 || !slices.Equal(b.Labels, plain.Labels) || !slices.Equal(b.Index, plain.Index) {
			t.Errorf("%+v: %d images are as they were, labels %v", a, same, b.Labels)
		}
	}
}

func TestLoaderFileOrder(t *testing.T) {
	split, info := memory(t, 10, 3, 4, 5, 3)
	l := NewLoader(split, info, LoaderOptions{Batch: 4})
	if l.Batches() != 3 || l.Len() != 10 {
		t.Errorf("%d batches of %d images", l.Batches(), l.Len())
	}
	size := 3 * 4 * 5
	buf := make([]byte, size)
	i := 0
	for number, b := range epoch(t, l, 0, 0) {
		if b.Number != number || len(b.Images) != b.N*size {
			t.Errorf("batch %d has number %d, %d numbers", number, b.Number, len(b.Images))
		}
		for k := range b.N {
			if err := split.Image(i, buf); err != nil {
				t.Fatal(err)
			}
			for j, v := range buf {
				c := j / 20
				want := (float32(v)/255 - info.Mean[c]) / info.Std[c]
				if got := b.Images[k*size+j]; got != want {
					t.Fatalf("image %d: number %d is %v, not %v", i, j, got, want)
				}
			}
			if b.Labels[k] != int32(i%3) || b.Index[k] != int32(i) {
				t.Errorf("image %d has label %d, index %d", i, b.Labels[k], b.Index[k])
			}
			i++
		}
	}
	if i != 10 {
		t.Errorf("%d images", i)
	}
}

func TestLoaderShuffles(t *testing.T) {
	split, info := memory(t, 1000, 1, 1, 1, 2)
	for _, drop := range []bool{false, true} {
		l := NewLoader(split, info, LoaderOptions{Batch: 64, Shuffle: true, DropLast: drop})
		seen := map[int32]bool{}
		fixed, n := 0, 0
		for _, b := range epoch(t, l, 0, 0) {
			for _, i := range b.Index {
				if int(i) == n {
					fixed++
				}
				n++
				seen[i] = true
			}
		}
		want := 1000
		if drop {
			want = 960
		}
		if n != want || len(seen) != want || l.Len() != want || fixed > 10 {
			t.Errorf("drop %v: %d images, %d different ones, Len %d, %d in their place", drop, n, len(seen), l.Len(), fixed)
		}
	}
}

// What follows the images of a last, smaller batch is zero.
func TestLoaderTail(t *testing.T) {
	split, info := memory(t, 5, 1, 3, 3, 2)
	l := NewLoader(split, info, LoaderOptions{Batch: 2})
	it := l.Epoch(0, 0)
	defer it.Close()
	for range 2 {
		if _, err := it.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b, err := it.Next(t.Context())
	if err != nil || b.N != 1 || cap(b.Images) < 18 {
		t.Fatalf("%v, %d images, room for %d numbers", err, b.N, cap(b.Images))
	}
	for i, v := range b.Images[9:18] {
		if v != 0 {
			t.Errorf("number %d is %v", i, v)
		}
	}
}

// naive is pad-crop-flip as one would say it: a padded copy, a window, a mirror.
func naive(p picture, channels, pad, top, left int, flip bool) []byte {
	h, w := p.h+2*pad, p.w+2*pad
	padded := make([]byte, channels*h*w)
	for c := range channels {
		for y := range p.h {
			copy(padded[(c*h+y+pad)*w+pad:], p.pix[(c*p.h+y)*p.w:(c*p.h+y+1)*p.w])
		}
	}
	out := make([]byte, 0, len(p.pix))
	for c := range channels {
		for y := range p.h {
			for x := range p.w {
				if flip {
					x = p.w - 1 - x
				}
				out = append(out, padded[(c*h+y+top)*w+x+left])
			}
		}
	}
	return out
}

func TestPadCropFlip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		channels := rapid.SampledFrom([]int{1, 3}).Draw(t, "channels")
		h, w := rapid.IntRange(1, 8).Draw(t, "h"), rapid.IntRange(1, 8).Draw(t, "w")
		pad := rapid.IntRange(0, min(h, w)-1).Draw(t, "pad")
		top, left := rapid.IntRange(0, 2*pad).Draw(t, "top"), rapid.IntRange(0, 2*pad).Draw(t, "left")
		flip := rapid.Bool().Draw(t, "flip")
		p := picture{noise(channels*h*w, 1), h, w}
		var table [3][256]float32
		for c := range table {
			for v := range table[c] {
				table[c][v] = float32(1000*c + v)
			}
		}
		want := naive(p, channels, pad, top, left, flip)
		got := make([]float32, len(want))
		normaliseCrop(got, p, &table, &Info{Channels: channels, Height: h, Width: w}, top-pad, left-pad, flip)
		bytes := make([]byte, len(want))
		crop(bytes, p, channels, top-pad, left-pad, h, w)
		if flip {
			mirror(bytes, w)
		}
		for i, v := range want {
			if got[i] != float32(1000*(i/(h*w))+int(v)) || bytes[i] != v {
				t.Fatalf("number %d is %v and %d, not %d", i, got[i], bytes[i], v)
			}
		}
	})
}

// Every offset of the crop is drawn equally often, and half of the images are mirrored.
func TestPadCropFlipDraws(t *testing.T) {
	const n, pad = 4000, 2
	s, err := inMemory("", func(out io.Writer, source string, _ bool) error {
		sw := newStoreWriter(out, 1, 5, 5)
		pix := make([]byte, 25)
		pix[12], pix[13] = 200, 100 // the middle, and to the right of it
		for range n {
			if err := sw.add(0, picture{pix, 5, 5}); err != nil {
				return err
			}
		}
		return sw.finish(source)
	}, parseStore)
	if err != nil {
		t.Fatal(err)
	}
	info := Info{Channels: 1, Height: 5, Width: 5, Classes: 1, Mean: []float32{0}, Std: []float32{1}}
	l := NewLoader(&subset{s: s, from: 0, to: n, h: 5, w: 5}, info, LoaderOptions{Batch: n, Augment: Augment{PadCrop: pad, Flip: true}})
	b := epoch(t, l, 0, 0)[0]
	var places [25]int
	flips := 0
	for i := range n {
		im := b.Images[i*25 : (i+1)*25]
		k := slices.Index(im, float32(200)/255)
		places[k]++
		if k%5 > 0 && im[k-1] > 0 {
			flips++
		}
	}
	for k, c := range places {
		if c < n/25/2 || c > n/25*2 { // 160 are expected with a deviation of 12
			t.Errorf("the middle came to %d,%d %d times", k/5, k%5, c)
		}
	}
	// A fifth of the mirrored ones is not counted, as the neighbour was cut off.
	if want := n / 2 * 4 / 5; flips < want*9/10 || flips > want*11/10 {
		t.Errorf("%d of %d are mirrored, %d are expected", flips, n, want)
	}
}

func TestLoaderErrors(t *testing.T) {
	split, info := memory(t, 5, 1, 9, 9, 2)
	bad := info
	bad.Std = []float32{0}
	few := info
	few.Classes = 1
	for _, c := range []struct {
		name string
		info Info
		o    LoaderOptions
	}{
		{"no batch", info, LoaderOptions{}},
		{"workers", info, LoaderOptions{Batch: 1, Workers: -1}},
		{"deviation", bad, LoaderOptions{Batch: 1}},
		{"label", few, LoaderOptions{Batch: 1}},
		{"pad", info, LoaderOptions{Batch: 1, Augment: Augment{PadCrop: 9}}},
		{"negative pad", info, LoaderOptions{Batch: 1, Augment: Augment{PadCrop: -1}}},
		{"two crops", info, LoaderOptions{Batch: 1, Augment: Augment{PadCrop: 1, ResizedCrop: true}}},
		{"area", info, LoaderOptions{Batch: 1, Augment: Augment{ResizedCrop: true, MinArea: 2}}},
		{"magnitude", info, LoaderOptions{Batch: 1, Augment: Augment{RandAugment: 1, Magnitude: 11}}},
		{"operations", info, LoaderOptions{Batch: 1, Augment: Augment{RandAugment: -1}}},
		{"jitter", info, LoaderOptions{Batch: 1, Augment: Augment{ColorJitter: 1.5}}},
		{"lighting of grey", info, LoaderOptions{Batch: 1, Augment: Augment{Lighting: 0.1}}},
	} {
		it := NewLoader(split, c.info, c.o).Epoch(0, 0)
		var err error
		for range 5 {
			if _, err = it.Next(t.Context()); err != nil {
				break
			}
		}
		if err == nil || err == io.EOF {
			t.Errorf("%s: error %v", c.name, err)
		}
		if err := it.Close(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestIteratorEnds(t *testing.T) {
	split, info := memory(t, 50, 1, 9, 9, 2)
	l := NewLoader(split, info, LoaderOptions{Batch: 2, Workers: 3, Shuffle: true})
	before := runtime.NumGoroutine()
	it := l.Epoch(0, 0)
	if _, err := it.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := it.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after cancelling", err)
	}
	if b, err := it.Next(t.Context()); err != nil || b.Number != 1 {
		t.Errorf("after another's cancelling: %v", err)
	}
	it.Close()
	it.Close()
	if _, err := it.Next(t.Context()); err == nil || err == io.EOF {
		t.Errorf("error %v after Close", err)
	}
	two := []*Iterator{l.Epoch(1, 0), l.Epoch(1, 0)}
	for range 25 {
		a, err := two[0].Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b, err := two[1].Next(t.Context())
		if err != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("two iterators differ: %v", err)
		}
	}
	for _, it := range two {
		for range 2 {
			if _, err := it.Next(t.Context()); err != io.EOF {
				t.Errorf("error %v at the end", err)
			}
		}
	}
	// A goroutine that has ended its work takes a moment to go, on a busy machine a longer one.
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func TestLoaderAllocatesNothing(t *testing.T) {
	split, info := memory(t, 4000, 3, 8, 8, 2)
	for _, a := range []Augment{{PadCrop: 2, Flip: true}, everything, {ResizedCrop: true}} {
		l := NewLoader(split, info, LoaderOptions{Batch: 8, Shuffle: true, Augment: a})
		for range epoch(t, l, 0, 0) { // all sizes of the resized crop have been seen
		}
		it := l.Epoch(1, 0)
		ctx := t.Context()
		next := func() {
			if _, err := it.Next(ctx); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			next()
		}
		if n := testing.AllocsPerRun(200, next); n > 0 {
			t.Errorf("%+v: %v allocations per batch", a, n)
		}
		it.Close()
	}
}

func BenchmarkLoader(b *testing.B) {
	type set struct {
		name  string
		split Split
		info  Info
	}
	var sets []set
	add := func(name string, split Split, info Info) { sets = append(sets, set{name, split, info}) }
	if _, err := os.Stat(knownSets()[0].path); err == nil {
		d := open(b, "fashion-mnist", Options{})
		add("fashion-mnist", d.Train, d.Info)
	}
	gray, grayInfo := memory(b, 10000, 1, 28, 28, 10)
	add("28x28", gray, grayInfo)
	rgb, rgbInfo := memory(b, 2000, 3, 32, 32, 10)
	add("3x32x32", rgb, rgbInfo)
	for _, s := range sets {
		for _, a := range []struct {
			name string
			a    Augment
		}{
			{"none", Augment{}},
			{"pad-crop-flip", Augment{PadCrop: 4, Flip: true}},
			{"randaugment", Augment{PadCrop: 4, Flip: true, RandAugment: 2, Magnitude: 9}},
			{"resized-crop", Augment{ResizedCrop: true, Flip: true}},
		} {
			b.Run(fmt.Sprintf("%s/%s", s.name, a.name), func(b *testing.B) {
				l := NewLoader(s.split, s.info, LoaderOptions{Batch: 128, Shuffle: true, Augment: a.a})
				b.ReportAllocs()
				images, e := 0, 0
				it := l.Epoch(0, 0)
				for b.Loop() {
					batch, err := it.Next(context.Background())
					if err == io.EOF {
						e++
						it = l.Epoch(e, 0)
						continue
					}
					if err != nil {
						b.Fatal(err)
					}
					images += batch.N
				}
				b.ReportMetric(float64(images)/b.Elapsed().Seconds(), "images/s")
				it.Close()
			})
		}
	}
}
