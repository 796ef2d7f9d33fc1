package dataset

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

// An index says where the encoded images of one part lie that are in shards: files with many images each. It
// is made by one pass over the shards and kept in the cache, a mapped file:
//
//	"NSINDEX1"
//	entries  n × entry, in the order of the data set
//	names    of the images in their shards, one after the other
//	header   JSON
//	the footer of a store, with this magic
//
// An entry is, little-endian: offset uint64, size uint32, shard uint32, label uint32, height uint32, width uint32,
// flags uint32, end of the name uint64.
const (
	indexMagic = "NSINDEX1"
	indexEntry = 8 + 4 + 4 + 4 + 4 + 4 + 4 + 8

	indexGray = 1 << 0 // the image has one channel
)

// indexHeader is what an index knows of itself.
type indexHeader struct {
	Source  string               `json:"source"` // fingerprint of the shards
	Images  int                  `json:"images"`
	Shards  []string             `json:"shards"` // paths below the root of the part, with slashes
	Classes int                  `json:"classes"`
	Labels  []string             `json:"labels,omitempty"`  // names of the classes
	Corrupt map[int]*FormatError `json:"corrupt,omitempty"` // by place: images whose header is damaged
}

// shardList is the images in shards.
type shardList struct {
	indexHeader
	root    string
	entries []byte
	names   []byte
	ids     []fileID
	unmap   func() error
}

func (l *shardList) len() int                  { return l.Images }
func (l *shardList) mapped(unmap func() error) { l.unmap = unmap }
func (l *shardList) sources() []fileID         { return l.ids }

func (l *shardList) close() error {
	u := l.unmap
	l.unmap = nil
	if u == nil {
		return nil
	}
	return u()
}

// entry is one image of an index.
type entry struct {
	offset     uint64
	size       uint32
	shard      uint32
	label      uint32
	h, w       uint32
	flags      uint32
	start, end uint64 // of its name
}

func (l *shardList) entry(i int) entry {
	b := l.entries[i*indexEntry:]
	e := entry{
		offset: binary.LittleEndian.Uint64(b), size: binary.LittleEndian.Uint32(b[8:]), shard: binary.LittleEndian.Uint32(b[12:]),
		label: binary.LittleEndian.Uint32(b[16:]), h: binary.LittleEndian.Uint32(b[20:]), w: binary.LittleEndian.Uint32(b[24:]),
		flags: binary.LittleEndian.Uint32(b[28:]), end: binary.LittleEndian.Uint64(b[32:]),
	}
	if i > 0 {
		e.start = binary.LittleEndian.Uint64(l.entries[i*indexEntry-8:])
	}
	return e
}

func (e entry) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, e.offset)
	for _, v := range []uint32{e.size, e.shard, e.label, e.h, e.w, e.flags} {
		dst = binary.LittleEndian.AppendUint32(dst, v)
	}
	return binary.LittleEndian.AppendUint64(dst, e.end)
}

func (l *shardList) label(i int) int { return int(l.entry(i).label) }

func (l *shardList) head(i int) (photoHead, error) {
	e := l.entry(i)
	return photoHead{h: int(e.h), w: int(e.w), gray: e.flags&indexGray != 0, bad: l.Corrupt[i]}, nil
}

func (l *shardList) open(i int) (encoded, error) {
	e := l.entry(i)
	file := filepath.Join(l.root, filepath.FromSlash(l.Shards[e.shard]))
	f, err := openFile(file)
	if err != nil {
		return encoded{}, err
	}
	return encoded{io.NewSectionReader(f, int64(e.offset), int64(e.size)), f, file, int64(e.offset), string(l.names[e.start:e.end])}, nil
}

// parseIndex makes a list of a block.
func parseIndex(data []byte, source string) (*shardList, error) {
	fault := func(err error) (*shardList, error) { return nil, fmt.Errorf("index of images: %w", err) }
	l := &shardList{}
	_, tables, err := parseBlock(data, indexMagic, &l.indexHeader)
	if err != nil {
		return fault(err)
	}
	if source != "" && l.Source != source {
		return fault(errors.New("made of other files"))
	}
	if l.Images < 0 || l.Images > len(tables)/indexEntry || l.Classes > maxClasses || len(l.Labels) > 0 && len(l.Labels) != l.Classes {
		return fault(errors.New("tables are wrong"))
	}
	l.entries, l.names = tables[:l.Images*indexEntry], tables[l.Images*indexEntry:]
	end := uint64(0)
	for i := range l.Images {
		e := l.entry(i)
		if e.end < end || e.end > uint64(len(l.names)) || int(e.shard) >= len(l.Shards) || int(e.label) >= l.Classes || e.offset > 1<<62 {
			return fault(errors.New("entries are wrong"))
		}
		end = e.end
	}
	return l, nil
}

// shardImage is an image as it is found in a shard.
type shardImage struct {
	key    uint64 // see orderKey
	offset int64
	size   uint32
	shard  uint32
	label  label
	head   photoHead
	name   uint32 // offset of its name in those of the shard, whose length is
	length uint16
	loose  bool // its name has several dots: it is an image of its own only where folders are the classes
}

// writeIndex writes the images of the shards in the order of a data set.
func writeIndex(w io.Writer, head indexHeader, images []shardImage, scans []shardScan) error {
	slices.SortFunc(images, func(a, b shardImage) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.shard, b.shard), cmp.Compare(a.offset, b.offset))
	})
	head.Images = len(images)
	head.Corrupt = map[int]*FormatError{}
	entries := make([]byte, 0, len(images)*indexEntry)
	var names []byte
	for i := range images {
		m := &images[i]
		s := &scans[m.shard]
		name := s.nameOf(m)
		if i > 0 && images[i-1].key == m.key && images[i-1].shard == m.shard && s.nameOf(&images[i-1]) == name {
			return s.fault(m.offset, fmt.Sprintf("%s: is there twice, first at byte %d", legible(name), images[i-1].offset))
		}
		names = append(names, name...)
		e := entry{offset: uint64(m.offset), size: m.size, shard: m.shard, label: uint32(m.label.class), h: uint32(m.head.h), w: uint32(m.head.w), end: uint64(len(names))}
		if m.head.gray {
			e.flags |= indexGray
		}
		if m.head.bad != nil {
			head.Corrupt[i] = m.head.bad
		}
		entries = e.append(entries)
	}
	b := newBlockWriter(w, indexMagic)
	return b.seal(indexMagic, head, entries, names)
}
