package dataset

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rgb is a PNG of noise.
func rgb(t testing.TB, h, w int, seed uint64) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	copy(m.Pix, noise(len(m.Pix), seed))
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] = 255
	}
	return encodePNG(t, m)
}

func gray(t testing.TB, h, w int, seed uint64) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, w, h))
	copy(m.Pix, noise(len(m.Pix), seed))
	return encodePNG(t, m)
}

func encodePNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeJPEG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// smooth is a photograph with a gradient in each direction.
func smooth(h, w int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{byte(255 * x / w), byte(255 * y / h), 128, 255})
		}
	}
	return m
}

// smallFolder has n grey 8×8 images in each of 3 classes, in one folder.
func smallFolder(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	for c, name := range []string{"b", "a", "c d"} {
		for i := range n {
			write(t, dir, fmt.Sprintf("%s/%03d.png", name, i), gray(t, 8, 8, uint64(100*c+i)))
		}
	}
	write(t, dir, "a/notes.txt", []byte("not an image"))
	write(t, dir, ".hidden/x.png", []byte("nor this"))
	return dir
}

func TestFolderOfSmallImages(t *testing.T) {
	dir := smallFolder(t, 20)
	write(t, dir, "a/deep/er/x.PNG", gray(t, 8, 8, 77))
	d := open(t, dir, Options{})
	in := d.Info
	if in.Channels != 1 || in.Height != 8 || in.Width != 8 || in.Classes != 3 || in.Photos || !slices.Equal(in.Labels, []string{"a", "b", "c d"}) {
		t.Errorf("%+v", in)
	}
	if d.Train.Len() != 55 || d.Val.Len() != 6 || d.Test != nil || len(d.Corrupt()) != 0 {
		t.Errorf("%d and %d images, %v", d.Train.Len(), d.Val.Len(), d.Corrupt())
	}
	// Every image is there once with its label.
	count := map[string]int{}
	var all []byte
	for k, s := range []Split{d.Train, d.Val} {
		for i := range s.Len() {
			p := pixels(t, s, i, 64)
			count[fmt.Sprintf("%d %x", s.Label(i), p)]++
			if k == 0 {
				all = append(all, p...)
			}
		}
	}
	for c, label := range []int{1, 0, 2} {
		for i := range 20 {
			if count[fmt.Sprintf("%d %x", label, noise(64, uint64(100*c+i)))] != 1 {
				t.Errorf("image %d of class %d is missing", i, label)
			}
		}
	}
	if count[fmt.Sprintf("0 %x", noise(64, 77))] != 1 || len(count) != 61 {
		t.Errorf("%d different images", len(count))
	}
	mean, std := moments(all)
	if math.Abs(float64(in.Mean[0])-mean) > 1e-6 || math.Abs(float64(in.Std[0])-std) > 1e-6 {
		t.Errorf("mean %v, deviation %v; should be %v, %v", in.Mean, in.Std, mean, std)
	}
	// The order mixes the classes.
	for _, part := range [][2]int{{0, 18}, {18, 36}, {36, 54}} {
		var seen [3]int
		for i := part[0]; i < part[1]; i++ {
			seen[d.Train.Label(i)]++
		}
		if slices.Min(seen[:]) < 2 {
			t.Errorf("images %v have classes %v", part, seen)
		}
	}
	if r := open(t, dir, Options{Resolution: 4}); r.Info.Height != 4 || r.Info.Photos {
		t.Errorf("%+v", r.Info)
	}
}

func TestFolderParts(t *testing.T) {
	dir := t.TempDir()
	for _, part := range []struct {
		name string
		n    int
	}{{"train", 5}, {"valid", 3}, {"test", 2}} {
		for c, class := range []string{"x", "y"} {
			for i := range part.n {
				write(t, dir, fmt.Sprintf("%s/%s/%d.png", part.name, class, i), rgb(t, 6, 6, uint64(10*c+i)))
			}
		}
	}
	d := open(t, dir, Options{})
	if d.Info.Channels != 3 || d.Train.Len() != 10 || d.Val.Len() != 6 || d.Test.Len() != 4 || d.Info.Classes != 2 {
		t.Errorf("%+v; %d, %d, %d images", d.Info, d.Train.Len(), d.Val.Len(), d.Test.Len())
	}
	want, err := png.Decode(bytes.NewReader(rgb(t, 6, 6, 10)))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for i := range d.Test.Len() {
		p := pixels(t, d.Test, i, 108)
		r, g, b, _ := want.At(4, 2).RGBA()
		if p[2*6+4] == byte(r>>8) && p[36+2*6+4] == byte(g>>8) && p[72+2*6+4] == byte(b>>8) {
			found = found || d.Test.Label(i) == 1
		}
	}
	if !found {
		t.Error("the first test image of class y is missing, or its pixels are elsewhere")
	}
	d = open(t, dir, Options{Val: 2, Train: 7})
	if d.Train.Len() != 7 || d.Val.Len() != 2 {
		t.Errorf("%d, %d images", d.Train.Len(), d.Val.Len())
	}
	if _, err := Open(dir, Options{Val: 7, NoCache: true}); err == nil || !strings.Contains(err.Error(), "val 7: it has 6 validation images") {
		t.Errorf("error %v", err)
	}
	write(t, dir, "valid/z/0.png", rgb(t, 6, 6, 1))
	var format *FormatError
	if _, err := Open(dir, Options{NoCache: true}); !errors.As(err, &format) || format.File != filepath.Join(dir, "valid", "z") {
		t.Errorf("error %v of a class without training images", err)
	}
}

// photoFolder has 24 photographs of varied size.
func photoFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 24 {
		h, w := 60+i, 90-2*i
		m := smooth(h, w)
		name := fmt.Sprintf("train/%c/%d", 'a'+i%2, i)
		if i%3 == 0 {
			write(t, dir, name+".png", encodePNG(t, m))
		} else {
			write(t, dir, name+".jpeg", encodeJPEG(t, m))
		}
	}
	return dir
}

func TestPhotographs(t *testing.T) {
	dir := photoFolder(t)
	d := open(t, dir, Options{Resolution: 28, Val: 4})
	in := d.Info
	if !in.Photos || in.Channels != 3 || in.Height != 28 || in.Width != 28 || d.Train.Len() != 20 || in.MomentImages != 20 {
		t.Errorf("%+v, %d images", in, d.Train.Len())
	}
	// The centre 28 of a shorter side of 32.
	for i := range d.Train.Len() {
		p, err := d.Train.(*subset).at(i, nil)
		if err != nil || min(p.h, p.w) != 32 {
			t.Fatalf("image %d is kept at %d×%d, %v", i, p.h, p.w, err)
		}
		got := pixels(t, d.Train, i, 3*28*28)
		for _, c := range []struct {
			plane, at int
			want      float64
		}{
			{0, 14*28 + 14, 127.5}, {1, 14*28 + 14, 127.5}, {2, 14*28 + 14, 128},
			{0, 14 * 28, 127.5 - 255*14/float64(p.w)}, {1, 14, 127.5 - 255*14/float64(p.h)},
		} {
			if v := float64(got[c.plane*784+c.at]); math.Abs(v-c.want) > 6 {
				t.Errorf("image %d of %d×%d: pixel %d of channel %d is %v, not %v", i, p.h, p.w, c.at, c.plane, v, c.want)
			}
		}
	}
	// Found out: the median of the shorter sides.
	if d := open(t, dir, Options{}); d.Info.Height != 60 && (d.Info.Height < 50 || d.Info.Height > 70) {
		t.Errorf("%+v", d.Info)
	}
	// Training takes other parts of them.
	l := NewLoader(d.Train, in, LoaderOptions{Batch: 20, Augment: Augment{ResizedCrop: true, Flip: true, Lighting: 0.1}})
	a, b := epoch(t, l, 0, 0), epoch(t, l, 1, 0)
	if equal(a, b) {
		t.Error("epochs are equal")
	}
}

// Images that are decoded each time give the same bits as those that are kept.
func TestPhotographsNotKept(t *testing.T) {
	dir := photoFolder(t)
	for _, o := range []Options{{Resolution: 28}, {}} {
		kept := open(t, dir, o)
		o.CacheLimit = 1000
		each := open(t, dir, o)
		o.NoCache = true
		memory := open(t, dir, o)
		for _, d := range []*Data{each, memory} {
			if d.parts.train.Kept || !kept.parts.train.Kept {
				t.Error("the limit does nothing")
			}
			if fmt.Sprint(d.Info) != fmt.Sprint(kept.Info) {
				t.Errorf("%+v and %+v", d.Info, kept.Info)
			}
			lo := LoaderOptions{Batch: 5, Shuffle: true, Workers: 2, Augment: Augment{ResizedCrop: true, Flip: true}}
			if !equal(epoch(t, NewLoader(kept.Train, kept.Info, lo), 0, 0), epoch(t, NewLoader(d.Train, d.Info, lo), 0, 0)) {
				t.Error("batches differ")
			}
		}
	}
}

func TestUniformPhotographs(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		write(t, dir, fmt.Sprintf("%c/%d.jpg", 'a'+i%2, i), encodeJPEG(t, smooth(80, 96)))
	}
	d := open(t, dir, Options{})
	if in := d.Info; in.Height != 80 || in.Width != 96 || !in.Photos {
		t.Errorf("%+v", in)
	}
	d = open(t, dir, Options{Resolution: 56})
	if in := d.Info; in.Height != 56 || in.Width != 56 || d.parts.train.Height != 64 || d.parts.train.Width != 76 {
		t.Errorf("%+v, kept at %d×%d", in, d.parts.train.Height, d.parts.train.Width)
	}
}

func TestCorruptImages(t *testing.T) {
	dir := smallFolder(t, 20)
	good := gray(t, 8, 8, 1)
	cut := bytes.Clone(good)
	cut = cut[:len(cut)-30]
	photo := encodeJPEG(t, smooth(8, 8))
	want := map[string]string{
		write(t, dir, "a/cut.png", cut):                        "not enough pixel data",
		write(t, dir, "b/empty.jpg", nil):                      "the file is empty",
		write(t, dir, "b/text.jpg", []byte("<html>")):          "neither JPEG, PNG nor WebP",
		write(t, dir, "c d/short.jpeg", photo[:len(photo)/2]):  "truncated image",
		write(t, dir, "c d/header.jpeg", photo[:10]):           "truncated image",
		write(t, dir, "c d/bits.png", append(good[:40], 1, 2)): "",
	}
	for _, o := range []Options{{MaxCorrupt: 0.2}, {MaxCorrupt: 0.2, NoCache: true}} {
		for range 2 { // the second time from the cache
			o.Cache = filepath.Join(dir, ".cache")
			d := open(t, dir, o)
			if d.Train.Len()+d.Val.Len() != 60 {
				t.Errorf("%d images", d.Train.Len()+d.Val.Len())
			}
			got := d.Corrupt()
			if len(got) != len(want) {
				t.Errorf("corrupt: %v", got)
			}
			for _, e := range got {
				if reason, ok := want[e.File]; !ok || !strings.Contains(e.Reason, reason) {
					t.Errorf("%v, should say %q", e, reason)
				}
			}
		}
	}
	// The headers of four tell; the other two are found one after the other.
	for _, c := range []struct {
		share float64
		least int
	}{{0, 4}, {-1, 4}, {0.07, 5}, {0.08, 6}} {
		_, err := Open(dir, Options{NoCache: true, MaxCorrupt: c.share})
		var format *FormatError
		if !errors.As(err, &format) || !strings.Contains(err.Error(), fmt.Sprintf("at least %d of 66 images are damaged", c.least)) {
			t.Errorf("share %v: error %v", c.share, err)
		}
	}
}

// Damage that shows when an image is decoded, in a data set that is not kept: the next
// image takes its place, whatever the number of goroutines.
func TestCorruptImagesNotKept(t *testing.T) {
	dir := photoFolder(t)
	// The headers were read before the damage: the cache knows these files as good
	// ones.
	cache := t.TempDir()
	o := Options{Resolution: 28, CacheLimit: 1, MaxCorrupt: 0.1, Val: -1, Cache: cache}
	open(t, dir, o)
	var name string
	for _, f := range []string{"train/b/1.jpeg", "train/a/4.jpeg"} {
		name = filepath.Join(dir, f)
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		clear(data[len(data)/2:])
		touch(t, name, data, st.ModTime())
	}
	var want []Batch
	for _, workers := range []int{1, 3} {
		d := open(t, dir, o)
		l := NewLoader(d.Train, d.Info, LoaderOptions{Batch: 5, Shuffle: true, Workers: workers})
		got := epoch(t, l, 0, 0)
		if want == nil {
			want = got
		}
		if !equal(got, want) {
			t.Error("batches differ")
		}
		n := map[int32]int{}
		for _, b := range got {
			for k, i := range b.Index {
				n[i]++
				if int(b.Labels[k]) != d.Train.Label(int(i)) {
					t.Errorf("image %d has another's label", i)
				}
			}
		}
		if len(n) != 22 {
			t.Errorf("%d different images", len(n))
		}
		waiting := 1 // the image itself and the damaged ones just before it
		for i := range int32(24) {
			if n[i] == 0 {
				waiting++
				continue
			}
			if n[i] != waiting {
				t.Errorf("image %d is there %d times, not %d", i, n[i], waiting)
			}
			waiting = 1
		}
		if bad := d.Corrupt(); len(bad) != 2 || bad[1].File != filepath.Join(dir, "train", "b", "1.jpeg") {
			t.Errorf("corrupt: %v", bad)
		}
	}
	o.MaxCorrupt = 0.05 // one of 24
	d := open(t, dir, o)
	it := NewLoader(d.Train, d.Info, LoaderOptions{Batch: 24}).Epoch(0, 0)
	defer it.Close()
	var format *FormatError
	if _, err := it.Next(t.Context()); !errors.As(err, &format) || !strings.Contains(err.Error(), "2 damaged images, more than the 1") {
		t.Errorf("error %v", err)
	}
}

func TestFolderErrors(t *testing.T) {
	one := t.TempDir()
	write(t, one, "a/x.png", gray(t, 8, 8, 1))
	none := t.TempDir()
	write(t, none, "a/x.txt", nil)
	write(t, none, "b/x.txt", nil)
	empty := smallFolder(t, 2)
	for _, class := range []string{"a", "b", "c d"} {
		if err := os.MkdirAll(filepath.Join(empty, "train", class), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ dir, want string }{
		{one, "1 folders with JPEG, PNG or WebP images"},
		{none, "0 folders with JPEG, PNG or WebP images"},
		{empty, "0 folders with JPEG, PNG or WebP images"},
	} {
		_, err := Open(c.dir, Options{NoCache: true})
		var format *FormatError
		if !errors.As(err, &format) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, should say %q", err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OpenContext(ctx, smallFolder(t, 2), Options{Cache: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after cancelling", err)
	}
}

func TestProgress(t *testing.T) {
	last, total := 0, 0
	open(t, smallFolder(t, 30), Options{Progress: func(d, n int) {
		if d <= last {
			t.Errorf("%d after %d", d, last)
		}
		last, total = d, n
	}})
	if last != 90 || total != 90 {
		t.Errorf("the last was %d of %d", last, total)
	}
}

// planarImage copies the pixels of img, as large as dst.
func planarImage(dst picture, img image.Image, channels int) {
	copy(dst.pix, photoPlan{Channels: channels, Height: dst.h, Width: dst.w}.fit(img, &photoBuffer{}).pix)
}

// Every kind of image that the decoders make comes out as its colours, without
// transparency.
func TestPlanar(t *testing.T) {
	r := image.Rect(3, 2, 8, 6)
	fill := func(m interface {
		image.Image
		Set(x, y int, c color.Color)
	}) image.Image {
		for y := 2; y < 6; y++ {
			for x := 3; x < 8; x++ {
				m.Set(x, y, color.NRGBA{byte(40 * (x - 3)), byte(50 * (y - 2)), 200, 255})
			}
		}
		return m
	}
	at := func(p picture, c, y, x int) byte { return p.pix[(c*p.h+y)*p.w+x] }
	for _, m := range []image.Image{
		fill(image.NewRGBA(r)), fill(image.NewNRGBA(r)), fill(image.NewRGBA64(r)), fill(image.NewNRGBA64(r)),
	} {
		p := picture{make([]byte, 3*20), 4, 5}
		planarImage(p, m, 3)
		for y := range 4 {
			for x := range 5 {
				if at(p, 0, y, x) != byte(40*x) || at(p, 1, y, x) != byte(50*y) || at(p, 2, y, x) != 200 {
					t.Fatalf("%T: pixel %d,%d is %d %d %d", m, y, x, at(p, 0, y, x), at(p, 1, y, x), at(p, 2, y, x))
				}
			}
		}
		one := picture{make([]byte, 20), 4, 5}
		planarImage(one, m, 1)
		if one.pix[7] != grey(80, 50, 200) {
			t.Errorf("%T: grey %d", m, one.pix[7])
		}
	}
	clearImage := image.NewNRGBA(r)
	clearImage.SetNRGBA(4, 3, color.NRGBA{10, 20, 30, 0})
	p := picture{make([]byte, 60), 4, 5}
	planarImage(p, clearImage, 3)
	if at(p, 0, 1, 1) != 10 || at(p, 1, 1, 1) != 20 || at(p, 2, 1, 1) != 30 {
		t.Errorf("a transparent pixel is %d %d %d", at(p, 0, 1, 1), at(p, 1, 1, 1), at(p, 2, 1, 1))
	}
	g := image.NewGray16(r)
	g.SetGray16(4, 3, color.Gray16{0x8123})
	one := picture{make([]byte, 20), 4, 5}
	planarImage(one, g, 1)
	if one.pix[6] != 0x81 {
		t.Errorf("16-bit grey is %x", one.pix[6])
	}
	pal := image.NewPaletted(r, palette.WebSafe)
	pal.Set(4, 3, color.RGBA{0xff, 0x33, 0x99, 0xff})
	planarImage(p, pal, 3)
	if at(p, 0, 1, 1) != 0xff || at(p, 1, 1, 1) != 0x33 || at(p, 2, 1, 1) != 0x99 {
		t.Errorf("a pixel of a palette is %d %d %d", at(p, 0, 1, 1), at(p, 1, 1, 1), at(p, 2, 1, 1))
	}
	yc, err := jpeg.Decode(bytes.NewReader(encodeJPEG(t, smooth(32, 32))))
	if err != nil {
		t.Fatal(err)
	}
	big := picture{make([]byte, 3*1024), 32, 32}
	planarImage(big, yc, 3)
	for _, q := range [][2]int{{3, 5}, {20, 30}} {
		c := color.RGBAModel.Convert(yc.At(q[1], q[0])).(color.RGBA)
		if at(big, 0, q[0], q[1]) != c.R || at(big, 1, q[0], q[1]) != c.G || at(big, 2, q[0], q[1]) != c.B {
			t.Errorf("pixel %v of a JPEG is wrong", q)
		}
	}
}

// A header that claims a huge image is not believed.
func TestHugeImage(t *testing.T) {
	b := gray(t, 8, 8, 1)
	copy(b[16:], []byte{0, 1, 0, 0, 0, 1, 0, 0}) // 65536×65536, with a wrong checksum
	file := write(t, t.TempDir(), "x.png", b)
	h, err := readHead(file)
	if err != nil || h.bad == nil {
		t.Errorf("%+v, %v", h, err)
	}
	wide := photoPlan{Channels: 3, Height: 28, Width: 28, Side: 32, Photos: true}
	if h, w, part := wide.kept(10, 1000); h != 32 || w != 128 || part != (box{0, 480, 10, 520}) {
		t.Errorf("a strip is kept at %d×%d from %+v", h, w, part)
	}
	if h, w, part := wide.kept(1000, 10); h != 128 || w != 32 || part != (box{480, 0, 520, 10}) {
		t.Errorf("a strip is kept at %d×%d from %+v", h, w, part)
	}
}

// photograph is a JPEG with about as much detail as one of ImageNet: 93 kB of 375×500 pixels.
func photograph(t testing.TB, h, w int, seed uint64) []byte {
	m := smooth(h, w)
	grain := noise(len(m.Pix), seed)
	for y := range h {
		for x := range w {
			i := m.PixOffset(x, y)
			for c := range 3 {
				wave := 50 * math.Sin(float64(x*(c+1)+int(seed))/9) * math.Cos(float64(y)/7)
				m.Pix[i+c] = byte(min(max(float64(m.Pix[i+c])/2+64+wave+float64(grain[i])/16, 0), 255))
			}
		}
	}
	return encodeJPEG(t, m)
}

func BenchmarkPhotographs(b *testing.B) {
	dir := b.TempDir()
	for i := range 16 {
		write(b, dir, fmt.Sprintf("%c/%d.jpg", 'a'+i%2, i), photograph(b, 375, 500, uint64(i)))
	}
	write(b, dir, "a/x.jpg", photograph(b, 376, 500, 16))
	for _, c := range []struct {
		name  string
		limit int64
	}{{"kept", 0}, {"decoded", 1}} {
		d := open(b, dir, Options{Resolution: 224, CacheLimit: c.limit, Val: -1})
		for name, a := range map[string]Augment{"centre": {}, "full": {ResizedCrop: true, Flip: true, ColorJitter: 0.4, Lighting: 0.1}} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				l := NewLoader(d.Train, d.Info, LoaderOptions{Batch: 4, Shuffle: true, Augment: a})
				images, e := 0, 0
				it := l.Epoch(0, 0)
				for b.Loop() {
					batch, err := it.Next(b.Context())
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

// A few bytes that claim to be a huge image cost nothing.
func TestHugeImagesAreRefusedByTheirHeader(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "huge.png")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, image.NewGray(image.Rect(0, 0, 16384, 1))); err != nil {
		t.Fatal(err)
	}
	f.Close()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint32(data[20:], 16384) // its height, and the checksum of the header
	binary.BigEndian.PutUint32(data[29:], crc32.ChecksumIEEE(data[12:29]))
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	head, err := readHead(file)
	if err != nil || head.bad == nil || !strings.Contains(head.bad.Error(), "16384×16384 pixels") {
		t.Errorf("%+v, %v", head, err)
	}
	var bad *FormatError
	if _, err := readPhoto(t.Context(), oneFile(file), 0, photoPlan{Channels: 1, Height: 8, Width: 8}, newPhotoMemory(), &photoBuffer{}); !errors.As(err, &bad) {
		t.Errorf("%v", err)
	}
}
