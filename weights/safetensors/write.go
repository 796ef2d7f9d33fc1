package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"netspace/internal/atomicfile"
)

// WriteFile writes a file that is there whole or not at all.
func WriteFile(path string, f *File) error {
	return atomicfile.Write(path, 0o644, func(w io.Writer) error { return Write(w, f) })
}

// Write writes the format. Tensors keep their order, except that those of
// wider elements come first, so that all are aligned. Names must be distinct,
// and the data of each tensor must fit its type and shape.
func Write(w io.Writer, f *File) error {
	tensors := slices.Clone(f.Tensors)
	slices.SortStableFunc(tensors, func(a, b Tensor) int { return b.DType.Size() - a.DType.Size() })
	header, err := encodeHeader(tensors, f.Metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))); err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, t := range tensors {
		if _, err := w.Write(t.Data); err != nil {
			return err
		}
	}
	return nil
}

func encodeHeader(tensors []Tensor, meta map[string]string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	put := func(key string, v any) error {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		k, err := json.Marshal(key)
		if err != nil {
			return err
		}
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		b.Write(k)
		b.WriteByte(':')
		b.Write(data)
		return nil
	}
	if len(meta) > 0 {
		if err := put(metadata, meta); err != nil {
			return nil, err
		}
	}
	seen := map[string]bool{metadata: true}
	at := uint64(0)
	for _, t := range tensors {
		if seen[t.Name] {
			return nil, fmt.Errorf("safetensors: a second tensor named %q", t.Name)
		}
		seen[t.Name] = true
		size, err := byteSize(t)
		if err != nil {
			return nil, err
		}
		if t.DType.Size() == 0 || size != uint64(len(t.Data)) {
			return nil, fmt.Errorf("safetensors: tensor %s: %d bytes do not fit %q %v", t.Name, len(t.Data), t.DType, t.Shape)
		}
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		err = put(t.Name, struct {
			DType   DType     `json:"dtype"`
			Shape   []int     `json:"shape"`
			Offsets [2]uint64 `json:"data_offsets"`
		}{t.DType, shape, [2]uint64{at, at + size}})
		if err != nil {
			return nil, err
		}
		at += size
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 { // aligns the data; the format allows trailing spaces
		b.WriteByte(' ')
	}
	return b.Bytes(), nil
}
