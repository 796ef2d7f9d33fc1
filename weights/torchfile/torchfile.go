// Package torchfile reads the tensors of files that torch.save wrote, in the zip format of PyTorch
// 1.6 and later and in the one before.
//
// Such files are pickles: programs for a machine that builds Python objects, and can be made to
// call any function. Here a reader knows the few opcodes that checkpoints consist of, and builds
// dictionaries, lists, numbers, strings and tensors; of other things it knows by
// name that they are harmless, and keeps nothing of them. Whatever else a file asks for is refused. Nothing is ever called.
package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"netspace/internal/infile"
	"netspace/weights/safetensors"
)

// maxPickle bounds a pickle, which has no elements of tensors in it. A value that takes one byte
// there can take fifty in memory.
const maxPickle = 8 << 20

// FormatError says what is wrong with a file.
type FormatError struct {
	File   string // "" if read from memory
	Reason string
}

func (e *FormatError) Error() string {
	if e.File == "" {
		return "PyTorch file: " + e.Reason
	}
	return e.File + ": " + e.Reason
}

func wrong(format string, args ...any) error {
	return &FormatError{Reason: fmt.Sprintf(format, args...)}
}

// Is says whether a file that begins so may be one of torch.save.
func Is(start []byte) bool { return isZip(start) || bytes.HasPrefix(start, []byte{opProto, 2}) }

func isZip(start []byte) bool { return bytes.HasPrefix(start, []byte("PK\x03\x04")) }

// ReadFile reads the weights of a file: the tensors of a state dictionary, which is all there is or an
// entry of a checkpoint. The metadata state under which key it was, "state". Content that is not the
// format, or asks for what is not read, is a *FormatError.
func ReadFile(path string) (*safetensors.File, error) {
	in, err := infile.Open(path)
	var refused *infile.RefusedError
	if errors.As(err, &refused) {
		return nil, &FormatError{File: path, Reason: refused.Reason}
	}
	if err != nil {
		return nil, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, err
	}
	f, err := Read(in, info.Size())
	var bad *FormatError
	if errors.As(err, &bad) {
		bad.File = path
	}
	return f, err
}

// Read is ReadFile of the first size bytes of r.
func Read(r io.ReaderAt, size int64) (*safetensors.File, error) {
	var start [4]byte
	n, err := r.ReadAt(start[:], 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if !Is(start[:n]) {
		return nil, wrong("it is not a file of torch.save")
	}
	var root any
	var data storages
	if isZip(start[:n]) {
		root, data, err = readZip(r, size)
	} else {
		root, data, err = readLegacy(r, size)
	}
	if err != nil {
		return nil, err
	}
	key, state, err := stateOf(root)
	if err != nil {
		return nil, err
	}
	f := &safetensors.File{Metadata: map[string]string{}}
	if key != "" {
		f.Metadata["state"] = key
	}
	seen, copies := map[string]bool{}, size
	for _, e := range state {
		name := e.key.(string)
		if seen[name] {
			return nil, wrong("tensor %q is there twice", name)
		}
		seen[name] = true
		t, err := e.value.(*tensor).read(name, data, &copies)
		if err != nil {
			return nil, err
		}
		f.Tensors = append(f.Tensors, t)
	}
	return f, nil
}

// storages gives the bytes of a storage by its key.
type storages func(key string) ([]byte, error)

func readZip(r io.ReaderAt, size int64) (any, storages, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, nil, wrong("it is a damaged zip file: %v", err)
	}
	files := map[string]*zip.File{}
	prefix := ""
	for _, f := range z.File {
		files[f.Name] = f
		if folder, ok := strings.CutSuffix(f.Name, "data.pkl"); ok {
			prefix = folder
		}
	}
	entry := func(name string, most uint64) ([]byte, error) {
		f := files[prefix+name]
		switch {
		case f == nil:
			return nil, wrong("it has no entry %s", name)
		case f.Method != zip.Store:
			return nil, wrong("entry %s is compressed, which PyTorch does not do", name)
		case f.UncompressedSize64 > min(most, uint64(size)):
			return nil, wrong("entry %s claims %d bytes", name, f.UncompressedSize64)
		}
		in, err := f.Open()
		if err != nil {
			return nil, wrong("entry %s: %v", name, err)
		}
		defer in.Close()
		b := make([]byte, f.UncompressedSize64)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, wrong("entry %s: %v", name, err)
		}
		if n, err := in.Read(make([]byte, 1)); n != 0 || err != io.EOF { // the checksum is known to be right at the end alone
			return nil, wrong("entry %s: %v", name, err)
		}
		return b, nil
	}
	if files[prefix+"data.pkl"] == nil {
		return nil, nil, wrong("it is a zip file, but has no entry data.pkl: not of torch.save")
	}
	if files[prefix+"byteorder"] != nil {
		if order, err := entry("byteorder", 16); err != nil || string(order) != "little" {
			return nil, nil, wrong("its byte order is %q; little is read", order)
		}
	}
	text, err := entry("data.pkl", maxPickle)
	if err != nil {
		return nil, nil, err
	}
	root, rest, err := unpickle(text)
	if err == nil && len(rest) > 0 {
		err = wrong("something follows its pickle")
	}
	read := map[string][]byte{}
	left := uint64(size) // entries may overlap in a file that is made up
	return root, func(key string) ([]byte, error) {
		if b, ok := read[key]; ok {
			return b, nil
		}
		b, err := entry("data/"+key, left)
		read[key] = b
		left -= uint64(len(b))
		return b, err
	}, err
}

// magic is the number that the older format begins with.
var magic = []byte{0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19}

// readLegacy reads five pickles (a number, a version, the system, the object, the keys of
// storages) and the storages.
func readLegacy(r io.ReaderAt, size int64) (any, storages, error) {
	data := make([]byte, size)
	if _, err := r.ReadAt(data, 0); err != nil && err != io.EOF {
		return nil, nil, err
	}
	var parts [5]any
	sizes := map[string]int{} // bytes of an element
	for i := range parts {
		window := data[:min(len(data), maxPickle)]
		p := pickle{in: window}
		var err error
		if parts[i], err = p.run(); err != nil {
			return nil, nil, err
		}
		data = data[len(window)-len(p.in):]
		for key, s := range p.storages {
			sizes[key] = s.dtype.Size()
		}
		if number, ok := parts[0].(string); i == 0 && (!ok || number != string(magic)) {
			return nil, nil, wrong("it is a pickle, but not of torch.save")
		}
		if version, ok := parts[1].(int64); i == 1 && (!ok || version != 1001) {
			return nil, nil, wrong("it has version %.20s of the format; 1001 is read", describe(parts[1]))
		}
	}
	keys, ok := parts[4].(*list)
	if !ok {
		return nil, nil, wrong("its list of storages is none")
	}
	content := map[string][]byte{}
	for _, k := range keys.items {
		key, _ := k.(string)
		element := sizes[key]
		if element == 0 {
			return nil, nil, wrong("storage %q has no type", key)
		}
		if len(data) < 8 {
			return nil, nil, wrong("it ends before storage %s: truncated", key)
		}
		n := binary.LittleEndian.Uint64(data)
		data = data[8:]
		if n > uint64(len(data)/element) {
			return nil, nil, wrong("it ends within storage %s of %d elements: truncated", key, n)
		}
		content[key], data = data[:n*uint64(element)], data[n*uint64(element):]
	}
	return parts[3], func(key string) ([]byte, error) {
		b, ok := content[key]
		if !ok {
			return nil, wrong("it has no storage %s", key)
		}
		return b, nil
	}, nil
}

// The keys of checkpoints under which programs keep the weights that they go on with: pycls, timm, torchvision's
// references and others. Averaged weights, which some keep beside them, come last.
var stateKeys = []string{"model_state", "state_dict", "model_state_dict", "model", "net", "ema_state", "state_dict_ema", "model_ema"}

// stateOf finds the state dictionary of what was saved.
func stateOf(root any) (key string, state []item, err error) {
	d, ok := root.(*dict)
	if !ok {
		return "", nil, wrong("it holds %.100s, not a dictionary of tensors; save a model's state_dict()", describe(root))
	}
	if state = tensors(d); state != nil {
		return "", state, nil
	}
	var keys []string
	for _, e := range d.items {
		if k, ok := e.key.(string); ok {
			keys = append(keys, k)
		}
	}
	for _, k := range stateKeys {
		i := slices.IndexFunc(d.items, func(e item) bool { return e.key == k })
		if i < 0 {
			continue
		}
		if inner, ok := d.items[i].value.(*dict); ok {
			if state = tensors(inner); state != nil {
				return k, state, nil
			}
		}
	}
	return "", nil, wrong("it holds no dictionary of tensors, nor one under %s; its keys are %q", strings.Join(stateKeys, ", "), keys[:min(len(keys), 10)])
}

// tensors is the entries of a dictionary from names to tensors; nil if it is none.
func tensors(d *dict) []item {
	for _, e := range d.items {
		_, named := e.key.(string)
		_, ok := e.value.(*tensor)
		if !named || !ok {
			return nil
		}
	}
	return d.items
}

// tensor is a view of a storage.
type tensor struct {
	storage *storage
	offset  int64
	size    []int64
	stride  []int64
}

// storage is a row of numbers whose bytes are elsewhere in the file.
type storage struct {
	key   string
	dtype safetensors.DType
}

var storageTypes = map[string]safetensors.DType{
	"FloatStorage": safetensors.F32, "DoubleStorage": safetensors.F64, "HalfStorage": safetensors.F16, "BFloat16Storage": safetensors.BF16,
	"LongStorage": safetensors.I64, "IntStorage": safetensors.I32, "ShortStorage": safetensors.I16, "CharStorage": safetensors.I8,
	"ByteStorage": safetensors.U8, "BoolStorage": safetensors.Bool,
}

// read takes the elements of a tensor out of its storage, in row-major order. copies is the number of bytes
// that may still be copied: many tensors can be views of one storage.
func (t *tensor) read(name string, data storages, copies *int64) (safetensors.Tensor, error) {
	b, err := data(t.storage.key)
	if err != nil {
		return safetensors.Tensor{}, fmt.Errorf("tensor %s: %w", name, err)
	}
	size := int64(t.storage.dtype.Size())
	all := int64(len(b)) / size
	out := safetensors.Tensor{Name: name, DType: t.storage.dtype, Shape: []int{}}
	n, last, dense := int64(1), t.offset, true
	for i, d := range t.size {
		// Elements are in the storage and none is there twice, so their number is bounded by it.
		if d < 0 || t.stride[i] < 0 || d > all || n > 0 && d > all/n || d > 1 && t.stride[i] > all/(d-1) {
			return out, wrong("tensor %s of shape %v and strides %v does not fit its storage of %d elements", name, t.size, t.stride, all)
		}
		n *= d
		last += max(d-1, 0) * t.stride[i]
		out.Shape = append(out.Shape, int(d))
	}
	if t.offset < 0 || t.offset > all || n > 0 && last >= all {
		return out, wrong("tensor %s of shape %v and strides %v does not fit its storage of %d elements", name, t.size, t.stride, all)
	}
	for i, step := len(t.size)-1, int64(1); i >= 0; i-- {
		dense = dense && (t.size[i] == 1 || t.stride[i] == step)
		step *= t.size[i]
	}
	if n == 0 || dense {
		out.Data = b[t.offset*size : (t.offset+n)*size : (t.offset+n)*size]
		return out, nil
	}
	if *copies -= n * size; *copies < 0 {
		return out, wrong("its tensors have more elements than the file")
	}
	out.Data = make([]byte, 0, n*size)
	index := make([]int64, len(t.size))
	for at := t.offset; ; {
		out.Data = append(out.Data, b[at*size:(at+1)*size]...)
		i := len(index) - 1
		for ; i >= 0; i-- {
			index[i]++
			at += t.stride[i]
			if index[i] < t.size[i] {
				break
			}
			at -= index[i] * t.stride[i]
			index[i] = 0
		}
		if i < 0 {
			return out, nil
		}
	}
}
