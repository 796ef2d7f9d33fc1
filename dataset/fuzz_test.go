package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netspace/internal/parquet"
)

func FuzzCIFAR(f *testing.F) {
	for i, k := range cifarKinds() {
		record := make([]byte, k.head+cifarPixels)
		f.Add(record, i == 0)
		f.Add(bytes.Repeat(record, 3), i == 0)
		f.Add(record[:100], i == 0)
		record[k.head-1] = 200
		f.Add(record, i == 0)
	}
	f.Fuzz(func(t *testing.T, data []byte, first bool) {
		k := cifarKinds()[1]
		if first {
			k = cifarKinds()[0]
		}
		file := filepath.Join(t.TempDir(), "batch.bin")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := inMemory("", func(w io.Writer, source string, _ bool) error {
			sw := newStoreWriter(w, 3, cifarSide, cifarSide)
			if err := copyCIFAR(sw, k, file, cifarSide); err != nil {
				return err
			}
			return sw.finish(source)
		}, parseStore)
		if err != nil {
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("error %v of type %T", err, err)
			}
			return
		}
		record := k.head + cifarPixels
		if s.len() != len(data)/record || s.len() == 0 {
			t.Fatalf("%d images in %d bytes", s.len(), len(data))
		}
		for i := range s.len() {
			p, err := s.at(i, nil)
			if err != nil || s.label(i) >= k.classes || !bytes.Equal(p.pix, data[i*record+k.head:(i+1)*record]) {
				t.Fatalf("image %d of class %d, %v", i, s.label(i), err)
			}
		}
	})
}

// What is in an image folder is decoded, at the size that its header states, or
// is damaged.
func FuzzPhoto(f *testing.F) {
	grey, colour := image.NewGray(image.Rect(0, 0, 5, 3)), image.NewNRGBA(image.Rect(0, 0, 5, 3))
	copy(grey.Pix, noise(len(grey.Pix), 1))
	copy(colour.Pix, noise(len(colour.Pix), 2))
	palette := image.NewPaletted(image.Rect(0, 0, 3, 3), color.Palette{color.Black, color.White})
	for _, img := range []image.Image{grey, colour, palette} {
		var p, j bytes.Buffer
		if err := errors.Join(png.Encode(&p, img), jpeg.Encode(&j, img, nil)); err != nil {
			f.Fatal(err)
		}
		f.Add(p.Bytes())
		f.Add(j.Bytes())
		f.Add(j.Bytes()[:j.Len()/2])
	}
	for _, s := range webpSamples(f) {
		f.Add(s.data)
	}
	f.Add([]byte("GIF89a"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "image.png")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		head, err := readHead(file)
		if err != nil {
			t.Fatal(err)
		}
		if head.h*head.w > 1<<22 {
			t.Skip("a large image")
		}
		for _, channels := range []int{1, 3} {
			p, err := readPhoto(t.Context(), oneFile(file), 0, photoPlan{Channels: channels, Height: max(head.h, 1), Width: max(head.w, 1)}, newPhotoMemory(), &photoBuffer{})
			var bad *FormatError
			switch {
			case err != nil && !errors.As(err, &bad):
				t.Fatalf("error %v of type %T", err, err)
			case err != nil:
			case head.bad != nil:
				t.Errorf("decodes, but its header %v", head.bad)
			case p.h != head.h || p.w != head.w || len(p.pix) != channels*p.h*p.w:
				t.Errorf("%d bytes of %d×%d pixels, the header says %d×%d", len(p.pix), p.h, p.w, head.h, head.w)
			}
		}
	})
}

// A file of the cache is refused, or all its images can be read.
func FuzzStore(f *testing.F) {
	for _, side := range []int{0, 2} {
		var b bytes.Buffer
		sw := newStoreWriter(&b, 1, side, side)
		for i := range 3 {
			if err := sw.add(i, picture{noise(4, uint64(i)), 2, 2}); err != nil {
				f.Fatal(err)
			}
		}
		if err := sw.finish("source"); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes(), false)
		f.Add(b.Bytes(), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, sum bool) {
		if sum {
			data = resealed(data, storeMagic)
		}
		s, err := parseStore(data, "")
		if err != nil || !s.Kept {
			return
		}
		if s.len() < 0 {
			t.Fatalf("%d images", s.len())
		}
		s.moments(s.len())
		for i := range s.len() {
			s.label(i)
			if p, err := s.at(i, nil); err != nil || len(p.pix) != s.Channels*s.pixels(i) {
				t.Fatalf("image %d has %d bytes, %v", i, len(p.pix), err)
			}
		}
	})
}

// A tar archive is refused, or every image that is found in it lies within it.
func FuzzTar(f *testing.F) {
	a := []member{{"a.png", []byte("\x89PNG\r\n\x1a\n")}, {"a.cls", []byte("1")}, {"b.json", []byte(`{"label":"x"}`)}, {"b.jpg", nil}}
	f.Add(archive(f, a...))
	f.Add(archive(f, a[:3]...)[:1700])
	f.Add(archive(f, member{strings.Repeat("long/", 60) + "x.png", []byte("x")}))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		in, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		scan, err := scanTar(t.Context(), shardScan{file: file, classes: &namer{number: map[string]int32{}}}, in)
		if err != nil {
			var format *FormatError
			if !errors.As(err, &format) {
				t.Fatalf("error %v of type %T", err, err)
			}
			return
		}
		for i := range scan.images {
			m := &scan.images[i]
			if m.place.Offset < tarBlock || m.place.Offset+int64(m.place.Size) > int64(len(data)) || m.length == 0 || scan.nameOf(m)[0] == '/' {
				t.Errorf("%+v, %q", m, scan.nameOf(m))
			}
		}
	})
}

// A file of the cache is refused, or every image of the index can be asked for.
func FuzzIndex(f *testing.F) {
	scan := shardScan{file: "x.tar", classes: &namer{}}
	for i := range 3 {
		m := shardImage{place: parquet.Place{Offset: 512, Packed: 100, Unpacked: 100, Size: 100}, label: label{numbered, int32(i)}, head: photoHead{h: 2, w: 3}}
		scan.setName(&m, string(rune('a'+i))+".png")
		scan.images = append(scan.images, m)
	}
	var b bytes.Buffer
	w := newBlockWriter(&b, indexMagic)
	if err := writeIndex(&w, indexHeader{Shards: []string{"x.tar"}, Classes: 3}, scan.images, []shardScan{scan}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseIndex(resealed(data, indexMagic), "")
		if err != nil {
			return
		}
		for i := range l.len() {
			l.label(i)
			if _, err := l.head(i); err != nil {
				t.Fatal(err)
			}
			if in, err := l.open(i); err == nil {
				in.Close()
			}
		}
	})
}

// resealed is a block with the right checksum, which no mutation finds.
func resealed(data []byte, magic string) []byte {
	data = bytes.Clone(data)
	if n := len(data) - storeFooter; n > len(magic) {
		if from := binary.LittleEndian.Uint64(data[n:]); from < uint64(n) {
			binary.LittleEndian.PutUint32(data[n+16:], crc32.Checksum(data[from:n], castagnoli))
		}
	}
	return data
}
