package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"netspace/internal/infile"
)

// The binary files of CIFAR-10 and CIFAR-100 (Krizhevsky 2009) are records without a
// header: a byte per label, then 3×32×32 bytes, red, green, blue. CIFAR-100 has two
// labels, the coarse one and the fine one, which is the class.
const (
	cifarSide   = 32
	cifarPixels = 3 * cifarSide * cifarSide
)

// cifarKind is one of the two.
type cifarKind struct {
	name        string
	folder      string // as the archive unpacks
	train, test []string
	labels      string // file of class names
	head        int    // bytes before the pixels; the last one is the class
	classes     int
}

func cifarKinds() []cifarKind {
	return []cifarKind{{
		name: "CIFAR-10", folder: "cifar-10-batches-bin",
		train:  []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
		test:   []string{"test_batch.bin"},
		labels: "batches.meta.txt", head: 1, classes: 10,
	}, {
		name: "CIFAR-100", folder: "cifar-100-binary",
		train: []string{"train.bin"}, test: []string{"test.bin"},
		labels: "fine_label_names.txt", head: 2, classes: 100,
	}}
}

// findCIFAR tells whether a folder holds CIFAR, also one level down, where its archive
// puts it.
func findCIFAR(dir string, names []string) (kind cifarKind, at string, ok bool) {
	for _, k := range cifarKinds() {
		if slices.Contains(names, k.train[0]) {
			return k, dir, true
		}
	}
	for _, k := range cifarKinds() {
		if slices.Contains(names, k.folder) {
			return k, filepath.Join(dir, k.folder), true
		}
	}
	return cifarKind{}, "", false
}

// openCIFAR decodes a folder of CIFAR files. The test file may be missing.
func openCIFAR(k cifarKind, dir string, o Options) (_ *parts, err error) {
	p := &parts{classes: k.classes, height: cifarSide, width: cifarSide}
	if o.Resolution > 0 {
		p.height, p.width = o.Resolution, o.Resolution
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	for _, f := range k.train {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			return nil, &FormatError{filepath.Join(dir, f), -1, k.name + " is incomplete: there is no such file"}
		}
	}
	if p.train, err = loadCIFAR(k, dir, k.train, p.height, o); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, k.test[0])); err == nil {
		if p.test, err = loadCIFAR(k, dir, k.test, p.height, o); err != nil {
			return nil, err
		}
	}
	p.labels, err = classNames(filepath.Join(dir, k.labels), k.classes)
	return p, err
}

// The largest files that are read: those that exist have some hundred bytes of names and 150 MB.
const maxNames, maxCIFARFile = 1 << 20, 1 << 30

// readSmall reads a file of at most that many bytes.
func readSmall(file string, most int64) ([]byte, error) {
	data, err := infile.Read(file, most)
	var refused *infile.RefusedError
	if errors.As(err, &refused) {
		return nil, &FormatError{file, -1, refused.Reason}
	}
	return data, err
}

// classNames reads a file of one name a line; without the file there are no names.
func classNames(file string, classes int) ([]string, error) {
	text, err := readSmall(file, maxNames)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := strings.Fields(string(text))
	if len(names) != classes {
		return nil, &FormatError{file, -1, fmt.Sprintf("%d names of classes, %d are needed", len(names), classes)}
	}
	return names, nil
}

// loadCIFAR decodes files, or finds their images in the cache.
func loadCIFAR(k cifarKind, dir string, files []string, resolution int, o Options) (*store, error) {
	g := origin{path: filepath.Join(dir, files[0]), how: fmt.Sprintf("%s %d", k.name, resolution)}
	for _, f := range files {
		st, err := os.Stat(filepath.Join(dir, f))
		if err != nil {
			return nil, err
		}
		g.files = append(g.files, identify(f, st))
	}
	return o.load(g, func(w io.Writer, source string, _ bool) error {
		sw := newStoreWriter(w, 3, resolution, resolution)
		for _, f := range files {
			if err := copyCIFAR(sw, k, filepath.Join(dir, f), resolution); err != nil {
				return err
			}
		}
		return sw.finish(source)
	})
}

// copyCIFAR writes the images of one file into a store.
func copyCIFAR(sw *storeWriter, k cifarKind, file string, resolution int) error {
	data, err := readSmall(file, maxCIFARFile)
	if err != nil {
		return err
	}
	record := k.head + cifarPixels
	if len(data) == 0 || len(data)%record != 0 {
		return &FormatError{file, int64(len(data) - len(data)%record),
			fmt.Sprintf("truncated: %d bytes are not a whole number of %s records of %d bytes", len(data), k.name, record)}
	}
	var rs resizer
	out := picture{make([]byte, 3*resolution*resolution), resolution, resolution}
	for at := 0; at < len(data); at += record {
		label := int(data[at+k.head-1])
		if label >= k.classes {
			return &FormatError{file, int64(at + k.head - 1), fmt.Sprintf("label %d; %s has labels 0 to %d", label, k.name, k.classes-1)}
		}
		p := picture{data[at+k.head : at+record], cifarSide, cifarSide}
		if resolution != cifarSide {
			rs.resize(out, p, 3, whole(p))
			p = out
		}
		if err := sw.add(label, p); err != nil {
			return err
		}
	}
	return nil
}
