package dataset

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// webpSample is a file of testdata/webp.txt and what libwebp makes of it.
type webpSample struct {
	name string
	h, w int
	data []byte
	want []byte // [3,h,w]
}

func webpSamples(t testing.TB) []webpSample {
	t.Helper()
	f, err := os.Open("testdata/webp.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var samples []webpSample
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if strings.HasPrefix(sc.Text(), "#") {
			continue
		}
		var s webpSample
		var data, want string
		_, err := fmt.Sscan(sc.Text(), &s.name, &s.h, &s.w, &data, &want)
		if err == nil {
			s.data, err = hex.DecodeString(data)
		}
		if err == nil {
			s.want, err = hex.DecodeString(want)
		}
		if err != nil {
			t.Fatal(err)
		}
		samples = append(samples, s)
	}
	if len(samples) != 6 {
		t.Fatalf("%d samples were read", len(samples))
	}
	return samples
}

// Lossy, lossless and transparent images have libwebp's bytes; what is cut short or in any way not an image is damaged,
// before it takes memory.
func TestWebP(t *testing.T) {
	read := func(data []byte, h, w int) (picture, photoHead, error) {
		file := write(t, t.TempDir(), "x.webp", data)
		head, err := readHead(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := readPhoto(t.Context(), oneFile(file), 0, photoPlan{Channels: 3, Height: h, Width: w}, newPhotoMemory(), &photoBuffer{})
		return p, head, err
	}
	var bad *FormatError
	for _, s := range webpSamples(t) {
		p, head, err := read(s.data, s.h, s.w)
		if err != nil || head.bad != nil || head.h != s.h || head.w != s.w || head.gray || !bytes.Equal(p.pix, s.want) {
			t.Errorf("%s: %v, %+v; the bytes are libwebp's: %t", s.name, err, head, bytes.Equal(p.pix, s.want))
		}
		if _, _, err := read(s.data[:len(s.data)-9], s.h, s.w); !errors.As(err, &bad) {
			t.Errorf("%s cut short: %v", s.name, err)
		}
		if string(s.data[webpChunk:webpChunk+4]) != "VP8X" {
			continue
		}
		animated := bytes.Clone(s.data)
		animated[webpFlags] |= webpAnimated
		if _, head, err := read(animated, s.h, s.w); !errors.As(err, &bad) || bad.Reason != errAnimated.Error() || head.bad == nil {
			t.Errorf("%s as an animation: %v, %+v", s.name, err, head)
		}
		huge := bytes.Clone(s.data)
		copy(huge[webpFlags+4:], []byte{0x2f, 0x75, 0, 0x2f, 0x75, 0})
		if _, head, err := read(huge, s.h, s.w); !errors.As(err, &bad) || !strings.Contains(bad.Reason, "30000×30000") || head.bad == nil {
			t.Errorf("%s of 30000×30000: %v, %+v", s.name, err, head)
		}
	}
}
