package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"netspace/internal/parquet"
)

const (
	maxShards    = 1 << 16
	maxClassName = 1 << 10 // bytes
	// classFile has the names of the classes of shards, one a line, beside them or in the folder above.
	classFile    = "classes.txt"
	maxClassFile = maxClasses * 64 // bytes
)

// shardPattern is a name of several shards, such as train-{000000..000146}.tar.
var shardPattern = regexp.MustCompile(`^(.*)\{(\d{1,9})\.\.(\d{1,9})\}(.*)$`)

// isShard says whether a file is taken for one with many images.
func isShard(name string) bool {
	return strings.ToLower(filepath.Ext(name)) == ".tar" || isParquet(name)
}

func isParquet(name string) bool { return strings.ToLower(filepath.Ext(name)) == ".parquet" }

// isPacked says whether a file is a compressed archive.
func isPacked(name string) bool {
	name = strings.ToLower(name)
	for _, end := range []string{".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

func packedFault(file string) *FormatError {
	return &FormatError{file, -1, "a compressed archive: images in it cannot be reached one by one; decompress it first"}
}

// expand lists the shards of a pattern; nil if path is none.
func expand(path string) ([]string, error) {
	m := shardPattern.FindStringSubmatch(path)
	if m == nil {
		return nil, nil
	}
	from, _ := strconv.Atoi(m[2]) // of at most nine digits
	to, _ := strconv.Atoi(m[3])
	if to < from || to-from >= maxShards {
		return nil, &FormatError{path, -1, fmt.Sprintf("{%s..%s} is no range of at most %d shards", m[2], m[3], maxShards)}
	}
	var files []string
	for i := from; i <= to; i++ {
		files = append(files, fmt.Sprintf("%s%0*d%s", m[1], len(m[2]), i, m[4]))
	}
	for _, f := range files {
		if !isShard(f) {
			return nil, &FormatError{path, -1, "not a pattern of .tar or .parquet files"}
		}
		if _, err := os.Stat(f); errors.Is(err, fs.ErrNotExist) {
			return nil, &FormatError{f, -1, "is missing: " + path + " names it"}
		}
	}
	return files, nil
}

// findShards looks for shards: in train, val and test of dir, or in dir itself, or in data of dir, with the
// name of the part in those of the files. There are none if train of the result is nil.
func findShards(dir string, names []string, o Options) (imageSources, error) {
	files, packed := shardsOf(dir, names)
	if files == nil {
		var from imageSources
		for _, name := range names {
			src := from.part(name)
			if src == nil || *src != nil {
				continue
			}
			sub := filepath.Join(dir, name)
			below, err := fileNames(sub)
			if err != nil {
				continue // not a folder
			}
			files, p := shardsOf(sub, below)
			packed = cmp.Or(packed, p)
			if files != nil {
				*src = shardSource(sub, files, o)
			}
		}
		if from.train != nil {
			return from, nil
		}
		if data := filepath.Join(dir, "data"); slices.Contains(names, "data") {
			if below, err := fileNames(data); err == nil {
				var p string
				if files, p = shardsOf(data, below); files != nil {
					dir = data
				}
				packed = cmp.Or(packed, p)
			}
		}
	}
	if files == nil {
		if packed != "" {
			return imageSources{}, packedFault(packed)
		}
		return imageSources{}, nil
	}
	return divideShards(dir, files, o)
}

// shardsOf lists the shards in a folder, by their paths, and the first compressed archive.
func shardsOf(dir string, names []string) (files []string, packed string) {
	for _, name := range names { // in order
		switch {
		case strings.HasPrefix(name, "."):
		case isShard(name):
			files = append(files, filepath.Join(dir, name))
		case isPacked(name) && packed == "":
			packed = filepath.Join(dir, name)
		}
	}
	return files, packed
}

// part is the part of a name; nil if it is none.
func (s *imageSources) part(name string) **imageSource {
	switch name {
	case "train":
		return &s.train
	case "val", "valid", "validation":
		return &s.val
	case "test":
		return &s.test
	}
	return nil
}

// divideShards tells the parts apart by the words of the names of the files. Where no name has a word of a part, all are
// training images.
func divideShards(dir string, files []string, o Options) (imageSources, error) {
	var (
		from  imageSources
		of    = map[**imageSource][]string{}
		order []**imageSource
		other string
	)
	for _, f := range files {
		words := strings.FieldsFunc(strings.ToLower(filepath.Base(f)), func(r rune) bool { return !unicode.IsLetter(r) })
		i := slices.IndexFunc(words, func(w string) bool { return from.part(w) != nil })
		if i < 0 {
			other = f
			continue
		}
		src := from.part(words[i])
		if of[src] == nil {
			order = append(order, src)
		}
		of[src] = append(of[src], f)
	}
	switch {
	case len(order) == 0:
		return imageSources{train: shardSource(dir, files, o)}, nil
	case other != "":
		return from, &FormatError{other, -1, "its name has none of the words train, val, validation and test, which names of other files in this folder have"}
	case of[&from.train] == nil:
		return from, &FormatError{dir, -1, "none of the files has train in its name"}
	}
	for _, src := range order {
		*src = shardSource(dir, of[src], o)
	}
	return from, nil
}

// shardSource is the images of shards in a folder.
func shardSource(dir string, files []string, o Options) *imageSource {
	// Shards of several parts may be in one folder: a part is named by its first one.
	return &imageSource{files[0], func(ctx context.Context, given *classes) (imageList, *classes, error) {
		b := indexBuilder{dir: dir, files: files, given: given}
		if i := slices.IndexFunc(files, func(f string) bool { return isParquet(f) != isParquet(files[0]) }); i > 0 {
			return nil, nil, &FormatError{files[i], -1, "is of another kind than " + files[0] + ": .tar or .parquet files make a data set, not both"}
		}
		if given == nil {
			names, err := readClassFile(dir)
			if err != nil {
				return nil, nil, err
			}
			b.known = names
		} else {
			b.known = given.names
		}
		l, err := b.load(ctx, o)
		if err != nil {
			return nil, nil, err
		}
		return l, &classes{l.Classes, l.Labels}, nil
	}}
}

// readClassFile reads the names of the classes, if there is a file of them.
func readClassFile(dir string) ([]string, error) {
	for _, file := range []string{filepath.Join(dir, classFile), filepath.Join(filepath.Dir(dir), classFile)} {
		f, err := openFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(f, maxClassFile+1))
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		if len(text) > maxClassFile {
			return nil, &FormatError{file, -1, fmt.Sprintf("of more than %d KiB", maxClassFile>>10)}
		}
		names := strings.Split(strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), "\n")
		seen := map[string]bool{}
		for i, name := range names {
			if name == "" || len(name) > maxClassName || seen[name] {
				return nil, &FormatError{file, -1, fmt.Sprintf("line %d: %q is no name of a class, or one that another has", i+1, name)}
			}
			seen[name] = true
		}
		if len(names) > maxClasses {
			return nil, tooManyClasses(file, len(names))
		}
		return names, nil
	}
	return nil, nil
}

// defaultLabels is what Options.Labels says if it says nothing.
const defaultLabels = "label"

// label is the class of an image as it is found in a shard.
type label struct {
	kind  labelKind
	class int32 // its number; of named, in the namer
}

type labelKind uint8

const (
	unlabeled labelKind = iota
	numbered
	named
	hidden // it is stated that there is none
)

// namer numbers the names of classes.
type namer struct {
	mu     sync.Mutex
	number map[string]int32
	names  []string
}

func (n *namer) of(name string) int32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	i, ok := n.number[name]
	if !ok {
		i = int32(len(n.names))
		n.names = append(n.names, name)
		n.number[name] = i
	}
	return i
}

// shardScan is what is found in a shard.
type shardScan struct {
	file    string
	shard   uint32
	classes *namer
	known   []string // names of the classes that the shard states
	labels  string   // Options.Labels
	images  []shardImage
	names   []byte // of the images
}

func (s *shardScan) fault(at int64, reason string) *FormatError {
	return &FormatError{s.file, at, reason}
}

// setName notes the name of an image.
func (s *shardScan) setName(m *shardImage, name string) {
	m.shard, m.key = s.shard, orderKey(name)
	m.name, m.length = uint32(len(s.names)), uint16(len(name))
	s.names = append(s.names, name...)
}

func (s *shardScan) nameOf(m *shardImage) string {
	return string(s.names[m.name : int(m.name)+int(m.length)])
}

// numbered is a class by its number; name and at are where it is stated.
func (s *shardScan) numbered(n int64, name string, at int64) (label, error) {
	if n < 0 || n >= maxClasses {
		return label{}, s.fault(at, fmt.Sprintf("%s: class %d; classes are numbered from 0 to %d", legible(name), n, maxClasses-1))
	}
	return label{numbered, int32(n)}, nil
}

// named is a class by its name.
func (s *shardScan) named(class, name string, at int64) (label, error) {
	if class == "" || len(class) > maxClassName {
		return label{}, s.fault(at, fmt.Sprintf("%s: the name of a class has %d bytes; at least 1 and at most %d are read", legible(name), len(class), maxClassName))
	}
	n := s.classes.of(class)
	if n >= maxClasses {
		return label{}, tooManyClasses(s.file, int(n)+1)
	}
	return label{named, n}, nil
}

// indexBuilder makes the index of a part.
type indexBuilder struct {
	dir   string
	files []string
	given *classes // of the training images; nil: these are they
	known []string // names of the classes, if they are known
	spool *spool

	labels string // Options.Labels
}

// load makes the index, or finds it in the cache.
func (b *indexBuilder) load(ctx context.Context, o Options) (*shardList, error) {
	g := origin{path: b.files[0], how: fmt.Sprintf("index %q", b.known)}
	if b.given != nil {
		g.how += fmt.Sprintf(" of %d classes", b.given.n)
	}
	if o.Labels != "" {
		g.how += fmt.Sprintf(" by %q", o.Labels)
	}
	for _, file := range b.files {
		st, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(b.dir, file)
		if err != nil {
			return nil, err
		}
		g.files = append(g.files, identify(filepath.ToSlash(rel), st))
	}
	unpacker, err := parquet.NewUnpacker()
	if err != nil {
		return nil, err
	}
	l, err := loadBlock(o, g, func(w io.Writer, source string, memory bool) error {
		out := newBlockWriter(w, indexMagic)
		b.spool = &spool{w: &out, left: o.cacheLimit()}
		if memory {
			b.spool.left = 0
		}
		b.labels = o.Labels
		return b.build(ctx, &out, source, g.files, unpacker)
	}, parseIndex)
	if err != nil {
		return nil, err
	}
	l.root, l.ids, l.how, l.unpacker = b.dir, g.files, g.how, unpacker
	return l, nil
}

// build reads all shards and writes the index.
func (b *indexBuilder) build(ctx context.Context, w *blockWriter, source string, ids []fileID, unpacker *parquet.Unpacker) error {
	classes := &namer{number: map[string]int32{}}
	scans := make([]shardScan, len(b.files))
	err := parallel(ctx, len(scans), func(_, i int) error {
		f, err := openFile(b.files[i])
		if err != nil {
			return err
		}
		defer f.Close()
		scan := shardScan{file: b.files[i], shard: uint32(i), classes: classes, labels: b.labels}
		if isParquet(b.files[i]) {
			scans[i], err = scanParquet(ctx, scan, f, unpacker, b.spool)
		} else {
			scans[i], err = scanTar(ctx, scan, f)
		}
		return err
	})
	if err == nil {
		err = b.stated(scans)
	}
	if err != nil {
		return err
	}
	head := indexHeader{Source: source}
	for _, id := range ids {
		head.Shards = append(head.Shards, id.name)
	}
	total := 0
	for _, s := range scans {
		total += len(s.images)
	}
	images := make([]shardImage, 0, total)
	for i := range scans {
		if isParquet(scans[i].file) { // rows have no names: the order is one of their numbers, however they are spread over files
			for k := range scans[i].images {
				scans[i].images[k].key = orderKey(strconv.Itoa(len(images) + k))
			}
		}
		images = append(images, scans[i].images...)
		scans[i].images = nil
	}
	if images, err = b.label(&head, images, scans, classes); err != nil {
		return err
	}
	return writeIndex(w, head, images, scans)
}

// stated takes the names of the classes from what the shards state, unless they are known already.
func (b *indexBuilder) stated(scans []shardScan) error {
	if b.known != nil || b.given != nil {
		return nil
	}
	for i := range scans {
		if s := &scans[i]; !slices.Equal(s.known, scans[0].known) {
			return s.fault(-1, fmt.Sprintf("states other names of classes than %s does", scans[0].file))
		}
	}
	seen := map[string]bool{}
	for _, name := range scans[0].known {
		if name == "" || len(name) > maxClassName || seen[name] {
			return scans[0].fault(-1, fmt.Sprintf("states %q as the name of a class, which is none, or two have it", name))
		}
		seen[name] = true
	}
	if n := len(scans[0].known); n > maxClasses {
		return tooManyClasses(scans[0].file, n)
	}
	b.known = scans[0].known
	return nil
}

// label gives the images the numbers of their classes, and leaves out what is none.
func (b *indexBuilder) label(head *indexHeader, images []shardImage, scans []shardScan, found *namer) ([]shardImage, error) {
	kind := unlabeled
	for i := range images {
		kind = cmp.Or(images[i].label.kind, kind)
	}
	fault := func(m *shardImage, format string, args ...any) *FormatError {
		s := &scans[m.shard]
		return s.fault(m.place.Offset, legible(s.nameOf(m))+": "+fmt.Sprintf(format, args...))
	}
	if kind == unlabeled { // the classes are folders
		for i := range images {
			m := &images[i]
			folder, _, ok := strings.Cut(scans[m.shard].nameOf(m), "/")
			if !ok {
				return nil, &unlabeledError{fault(m, "no class: %s, and it is in no folder", b.lacking())}
			}
			var err error
			if m.label, err = scans[m.shard].named(folder, folder, m.place.Offset); err != nil {
				return nil, err
			}
		}
		kind = named
	} else {
		images = slices.DeleteFunc(images, func(m shardImage) bool { return m.loose })
	}
	if len(images) == 0 {
		return nil, &FormatError{b.files[0], -1, fmt.Sprintf("there are no JPEG, PNG or WebP images in it or the other shards, %d in all", len(b.files))}
	}
	if kind == hidden && !slices.ContainsFunc(images, func(m shardImage) bool { return m.label.kind != hidden }) {
		return nil, &unlabeledError{fault(&images[0], "no class: none of the images has one")}
	}
	for i := range images {
		if m := &images[i]; m.label.kind == hidden {
			return nil, fault(m, "no class: %s is -1 or missing", cmp.Or(b.labels, defaultLabels))
		} else if m.label.kind == unlabeled {
			return nil, fault(m, "no class: %s, but to others", b.lacking())
		} else if m.label.kind != kind {
			return nil, fault(m, "its class is a number or a name, and that of others is not")
		}
	}
	if kind == named {
		return images, b.nameClasses(head, images, found, fault)
	}
	head.Labels, head.Classes = b.known, len(b.known)
	if b.given != nil {
		head.Classes = b.given.n
	}
	fixed := head.Classes > 0
	for i := range images {
		m := &images[i]
		switch n := int(m.label.class) + 1; {
		case fixed && n > head.Classes:
			return nil, fault(m, "class %d, but there are %d classes", m.label.class, head.Classes)
		case !fixed:
			head.Classes = max(head.Classes, n)
		}
	}
	return images, b.several(head)
}

// lacking says of an image of an archive why it has no class.
func (b *indexBuilder) lacking() string {
	if b.labels != "" {
		return fmt.Sprintf("no .json with %s belongs to it", b.labels)
	}
	return "neither a .cls nor a .json with a label belongs to it"
}

// nameClasses numbers the classes by their names, in the order of those that are known, else sorted.
func (b *indexBuilder) nameClasses(head *indexHeader, images []shardImage, found *namer, fault func(*shardImage, string, ...any) *FormatError) error {
	head.Labels = b.known
	if head.Labels == nil {
		if b.given != nil {
			return fault(&images[0], "its class has a name, and those of the training images are numbers")
		}
		head.Labels = slices.Sorted(slices.Values(found.names))
	}
	head.Classes = len(head.Labels)
	number := map[string]int32{}
	for i, name := range head.Labels {
		number[name] = int32(i)
	}
	for i := range images {
		m := &images[i]
		name := found.names[m.label.class]
		n, ok := number[name]
		if !ok {
			return fault(m, "class %q is none of the %d that are known", name, len(number))
		}
		m.label.class = n
	}
	return b.several(head)
}

// unlabeledError says that no image of a part has a class, as of test images whose classes are not told.
type unlabeledError struct{ fault *FormatError }

func (e *unlabeledError) Error() string { return e.fault.Error() }
func (e *unlabeledError) Unwrap() error { return e.fault }

func (b *indexBuilder) several(head *indexHeader) error {
	if head.Classes < 2 {
		return &FormatError{b.files[0], -1, "all images of the shards are of one class"}
	}
	return nil
}
