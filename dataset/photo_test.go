package dataset

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What decoding takes is known from the beginning of a file.
func TestDecodingBytes(t *testing.T) {
	const pixels = 32 * 48
	colour, grey := encodeJPEG(t, smooth(32, 48)), encodeJPEG(t, image.NewGray(image.Rect(0, 0, 48, 32)))
	at := bytes.Index(colour, []byte{0xff, 0xc0})
	progressive := bytes.Clone(colour)
	progressive[at+1] = 0xc2
	full := bytes.Clone(colour)
	full[at+11] = 0x11 // the luminance is not sampled more finely than the rest
	filled := append(append(bytes.Clone(colour[:at]), 0xff, 0xff), colour[at:]...)
	plain := rgb(t, 32, 48, 1)
	laced := bytes.Clone(plain)
	laced[pngInterlace] = 1
	binary.BigEndian.PutUint32(laced[29:], crc32.ChecksumIEEE(laced[12:29]))
	for _, c := range []struct {
		what string
		data []byte
		want int64
	}{
		{"4:2:0", colour, pixels * 3 / 2},
		{"4:4:4", full, pixels * 3},
		{"filled", filled, pixels * 3 / 2},
		{"grey", grey, pixels},
		{"progressive", progressive, pixels * 3 / 2 * 5},
		{"unknown", colour[:at], pixels * 15},
		{"PNG", plain, pixels * 4},
		{"interlaced PNG", laced, pixels * 6},
		{"grey PNG", gray(t, 32, 48, 1), pixels},
	} {
		config, err := decodeConfig(bytes.NewReader(c.data), c.data)
		if c.what == "unknown" {
			config, err = decodeConfig(bytes.NewReader(colour), colour)
		}
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if got := decodingBytes(config, c.data); got != c.want {
			t.Errorf("%s: %d bytes, not %d", c.what, got, c.want)
		}
	}
}

// Who decodes waits for memory that others hold, and gives back what it took.
func TestDecodersShareMemory(t *testing.T) {
	file := write(t, t.TempDir(), "x.png", rgb(t, 32, 48, 1))
	plan := photoPlan{Channels: 3, Height: 32, Width: 48}
	memory := newPhotoMemory()
	ctx, cancel := context.WithCancel(t.Context())
	if err := memory.Acquire(ctx, maxPhotoBytes); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := readPhoto(ctx, oneFile(file), 0, plan, memory, &photoBuffer{})
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v of one that waited", err)
	}
	memory.Release(maxPhotoBytes)
	damaged := write(t, t.TempDir(), "x.png", rgb(t, 32, 48, 1)[:2000])
	for _, f := range []string{file, damaged} {
		_, err := readPhoto(t.Context(), oneFile(f), 0, plan, memory, &photoBuffer{})
		if (err == nil) != (f == file) {
			t.Errorf("%s: %v", f, err)
		}
	}
	if !memory.TryAcquire(maxPhotoBytes) {
		t.Error("memory was not given back")
	}
}

// Of a file of more than maxPhotoFile the rest is not read, and the fault says so.
func TestFilesThatAreTooLarge(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.png")
	data := rgb(t, 8, 8, 1)
	ihdr := 8 + 12 + 13
	chunk := binary.BigEndian.AppendUint32(nil, maxPhotoFile) // of text, all zeros
	if err := os.WriteFile(file, append(append(data[:ihdr:ihdr], chunk...), "tEXt"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, maxPhotoFile+1000); err != nil {
		t.Fatal(err)
	}
	_, err := readPhoto(t.Context(), oneFile(file), 0, photoPlan{Channels: 3, Height: 8, Width: 8}, newPhotoMemory(), &photoBuffer{})
	var bad *FormatError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "of files of more than 256 MiB no more is read") {
		t.Errorf("error %v", err)
	}
}

// oneFile is a list of one image.
func oneFile(path string) imageList {
	return &folderList{filepath.Dir(path), []photoFile{{id: fileID{name: filepath.Base(path)}}}}
}
