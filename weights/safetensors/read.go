package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"netspace/internal/infile"
)

const (
	lengthSize = 8
	maxHeader  = 100 << 20 // the format's own bound
	metadata   = "__metadata__"
)

// ReadFile reads a whole file. Content that is not the format is a *FormatError.
func ReadFile(path string) (*File, error) {
	f, err := readFile(path)
	var bad *FormatError
	var refused *infile.RefusedError
	switch {
	case errors.As(err, &refused):
		return nil, &FormatError{File: path, Offset: -1, Reason: refused.Reason}
	case errors.As(err, &bad):
		bad.File = path
	}
	return f, err
}

func readFile(path string) (*File, error) {
	in, err := infile.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, err
	}
	// Of a large file that is something else no more than its beginning is read.
	var start [lengthSize + 1]byte
	n, err := in.ReadAt(start[:], 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if _, err := headerSize(start[:n], info.Size()); err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return Parse(data)
}

// headerSize reads the length of the header from the start of a file of that many
// bytes, and checks what the start shows.
func headerSize(start []byte, size int64) (uint64, error) {
	if len(start) < lengthSize {
		return 0, wrong(size, "file of %d bytes ends within the 8-byte header length", size)
	}
	n := binary.LittleEndian.Uint64(start)
	switch {
	case n > maxHeader:
		return 0, wrong(0, "header length %d is more than the format's %d: not a safetensors file", n, maxHeader)
	case uint64(size-lengthSize) < n:
		return 0, wrong(size, "file ends within the header of %d bytes: truncated", n)
	case n == 0 || start[lengthSize] != '{':
		return 0, wrong(lengthSize, "header does not begin with {: not a safetensors file")
	}
	return n, nil
}

// Parse reads a file from memory. The tensors share data's bytes.
func Parse(data []byte) (*File, error) {
	n, err := headerSize(data, int64(len(data)))
	if err != nil {
		return nil, err
	}
	header, body := data[lengthSize:lengthSize+n], data[lengthSize+n:]
	f, offsets, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	return f, f.place(offsets, body, lengthSize+int64(n))
}

func wrong(offset int64, format string, args ...any) *FormatError {
	return &FormatError{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// parseHeader walks the header's object token by token, because decoding into
// a map would hide a name that is stated twice.
func parseHeader(header []byte) (*File, [][2]uint64, error) {
	dec := json.NewDecoder(bytes.NewReader(header))
	dec.DisallowUnknownFields()
	bad := func(err error) error {
		return wrong(lengthSize+dec.InputOffset(), "header is not valid JSON of the format: %v", err)
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, bad(err)
	}
	f := &File{Metadata: map[string]string{}}
	var offsets [][2]uint64
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, nil, bad(err)
		}
		name := key.(string) // the decoder refuses other keys
		if seen[name] {
			return nil, nil, wrong(lengthSize+dec.InputOffset(), "%q is stated twice", name)
		}
		seen[name] = true
		if name == metadata {
			if err := dec.Decode(&f.Metadata); err != nil {
				return nil, nil, bad(fmt.Errorf("%s: %w", name, err))
			}
			continue
		}
		var entry struct {
			DType   DType     `json:"dtype"`
			Shape   []int     `json:"shape"`
			Offsets *[]uint64 `json:"data_offsets"`
		}
		if err := dec.Decode(&entry); err != nil {
			return nil, nil, bad(fmt.Errorf("tensor %s: %w", name, err))
		}
		if entry.Offsets == nil || len(*entry.Offsets) != 2 || entry.Shape == nil {
			return nil, nil, bad(fmt.Errorf("tensor %s: wants dtype, shape and two data_offsets", name))
		}
		f.Tensors = append(f.Tensors, Tensor{Name: name, DType: entry.DType, Shape: entry.Shape})
		offsets = append(offsets, [2]uint64(*entry.Offsets))
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, bad(err)
	}
	if rest := header[dec.InputOffset():]; len(bytes.TrimRight(rest, " ")) > 0 {
		return nil, nil, wrong(lengthSize+dec.InputOffset(), "something follows the header's object")
	}
	return f, offsets, nil
}

// place gives the tensors their bytes and checks that they cover body exactly.
func (f *File) place(offsets [][2]uint64, body []byte, start int64) error {
	order := make([]int, len(f.Tensors))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		for k := range 2 {
			if offsets[a][k] != offsets[b][k] {
				if offsets[a][k] < offsets[b][k] {
					return -1
				}
				return 1
			}
		}
		return 0
	})
	sorted := make([]Tensor, 0, len(f.Tensors))
	at := uint64(0)
	for _, i := range order {
		t, o := f.Tensors[i], offsets[i]
		if t.DType.Size() == 0 {
			return wrong(-1, "tensor %s: unknown dtype %q", t.Name, t.DType)
		}
		bytes, err := byteSize(t)
		if err != nil {
			return err
		}
		switch {
		case o[0] != at:
			return wrong(start+int64(at), "tensor %s begins at %d of the data, not at %d where the one before ends", t.Name, o[0], at)
		case o[1] < o[0] || o[1]-o[0] != bytes:
			return wrong(-1, "tensor %s: offsets %v span %d bytes, %s %v takes %d", t.Name, o, int64(o[1]-o[0]), t.DType, t.Shape, bytes)
		case o[1] > uint64(len(body)):
			return wrong(start+int64(len(body)), "file ends within tensor %s: truncated", t.Name)
		}
		t.Data = body[o[0]:o[1]:o[1]]
		at = o[1]
		sorted = append(sorted, t)
	}
	if at != uint64(len(body)) {
		return wrong(start+int64(at), "%d bytes follow the last tensor", uint64(len(body))-at)
	}
	f.Tensors = sorted
	return nil
}

// byteSize is the number of bytes of a tensor, checked for overflow.
func byteSize(t Tensor) (uint64, error) {
	n := uint64(t.DType.Size())
	for _, d := range t.Shape {
		if d < 0 {
			return 0, wrong(-1, "tensor %s: negative size in shape %v", t.Name, t.Shape)
		}
		if d > 0 && n > math.MaxInt64/uint64(d) {
			return 0, wrong(-1, "tensor %s: shape %v is too large", t.Name, t.Shape)
		}
		n *= uint64(d)
	}
	return n, nil
}
