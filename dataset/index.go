package dataset

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"

	"netspace/internal/parquet"
)

// An index says where the encoded images of one part lie that are in shards: files with many images each. It
// is made by one pass over the shards and kept in the cache, a mapped file:
//
//	"NSINDEX4"
//	images   of large pages that are decompressed as a whole, so that this is done once
//	entries  n × entry, in the order of the data set
//	names    of the images in their shards, one after the other
//	header   JSON
//	the footer of a store, with this magic
//
// An entry is, little-endian: offset, and as uint32 packed, unpacked, skip and size, of its place (see parquet.Place; in an archive
// it is as uncompressed), shard, label, height, width, flags; end of the name uint64.
const (
	indexMagic = "NSINDEX4"
	indexEntry = 8 + 9*4 + 8

	indexGray  = 1 << 0 // the image has one channel
	indexHere  = 1 << 1 // the place is in the index itself
	indexCodec = 8      // bits from this one on

	// An image is copied into the index if this many times its bytes and some more must be decompressed to have it.
	spoolTimes, spoolMore = 2, 1 << 18
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
	data    []byte // the whole block
	entries []byte
	names   []byte
	ids     []fileID
	how     string // what labels follow from besides the files
	// unpacker is for images in compressed pages.
	unpacker *parquet.Unpacker
	unmap    func() error
}

func (l *shardList) len() int                  { return l.Images }
func (l *shardList) mapped(unmap func() error) { l.unmap = unmap }
func (l *shardList) sources() []fileID         { return append(slices.Clone(l.ids), fileID{name: l.how}) }

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
	place      parquet.Place
	shard      uint32
	label      uint32
	h, w       uint32
	gray, here bool
	start, end uint64 // of its name
}

func (l *shardList) entry(i int) entry {
	b := l.entries[i*indexEntry:]
	word := func(k int) uint32 { return binary.LittleEndian.Uint32(b[8+4*k:]) }
	e := entry{
		place: parquet.Place{
			Offset: int64(binary.LittleEndian.Uint64(b)), Packed: word(0), Unpacked: word(1), Skip: word(2), Size: word(3),
			Codec: parquet.Codec(word(8) >> indexCodec),
		},
		shard: word(4), label: word(5), h: word(6), w: word(7), gray: word(8)&indexGray != 0, here: word(8)&indexHere != 0,
		end: binary.LittleEndian.Uint64(b[indexEntry-8:]),
	}
	if i > 0 {
		e.start = binary.LittleEndian.Uint64(l.entries[i*indexEntry-8:])
	}
	return e
}

func (e entry) append(dst []byte) []byte {
	flags := uint32(e.place.Codec) << indexCodec
	if e.gray {
		flags |= indexGray
	}
	if e.here {
		flags |= indexHere
	}
	p := e.place
	dst = binary.LittleEndian.AppendUint64(dst, uint64(p.Offset))
	for _, v := range []uint32{p.Packed, p.Unpacked, p.Skip, p.Size, e.shard, e.label, e.h, e.w, flags} {
		dst = binary.LittleEndian.AppendUint32(dst, v)
	}
	return binary.LittleEndian.AppendUint64(dst, e.end)
}

// valid says whether an entry that follows on a name which ends at a byte can be used.
func (l *shardList) valid(e entry, name uint64) bool {
	p := e.place
	return e.end >= name && e.end <= uint64(len(l.names)) && uint64(e.shard) < uint64(len(l.Shards)) && uint64(e.label) < uint64(l.Classes) &&
		p.Offset >= 0 && (!e.here || uint64(p.Offset)+uint64(p.Size) <= uint64(len(l.data))) && max(p.Packed, p.Unpacked) <= max(parquet.MaxPage, maxPhotoFile) && uint64(p.Skip)+uint64(p.Size) <= uint64(p.Unpacked)
}

func (l *shardList) label(i int) int { return int(l.entry(i).label) }

func (l *shardList) head(i int) (photoHead, error) {
	e := l.entry(i)
	return photoHead{h: int(e.h), w: int(e.w), gray: e.gray, bad: l.Corrupt[i]}, nil
}

func (l *shardList) open(i int) (encoded, error) {
	e := l.entry(i)
	file := filepath.Join(l.root, filepath.FromSlash(l.Shards[e.shard]))
	f, err := openFile(file)
	if err != nil {
		return encoded{}, err
	}
	in := encoded{Closer: f, file: file, offset: e.place.Offset, name: string(l.names[e.start:e.end])}
	if e.here {
		in.offset = -1 // that of the page is not known any more
		in.ReadSeeker = bytes.NewReader(l.data[e.place.Offset:][:e.place.Size])
		return in, nil
	}
	if e.place.Codec == parquet.Uncompressed {
		in.ReadSeeker = io.NewSectionReader(f, e.place.Offset, int64(e.place.Size))
		return in, nil
	}
	data, err := l.unpacker.Read(f, e.place)
	in.ReadSeeker = bytes.NewReader(data)
	if err == nil {
		return in, nil
	}
	var bad *parquet.Error
	if errors.As(err, &bad) {
		err = in.fault(bad.Reason)
	}
	return encoded{}, errors.Join(err, f.Close())
}

// parseIndex makes a list of a block.
func parseIndex(data []byte, source string) (*shardList, error) {
	fault := func(err error) (*shardList, error) { return nil, fmt.Errorf("index of images: %w", err) }
	l := &shardList{data: data}
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
		if !l.valid(e, end) {
			return fault(errors.New("entries are wrong"))
		}
		end = e.end
	}
	return l, nil
}

// shardImage is an image as it is found in a shard.
type shardImage struct {
	key    uint64 // see orderKey
	place  parquet.Place
	here   bool // in the index
	shard  uint32
	label  label
	head   photoHead
	name   uint32 // offset of its name in those of the shard, whose length is
	length uint16
	loose  bool // its name has several dots: it is an image of its own only where folders are the classes
}

// writeIndex writes the images of the shards in the order of a data set.
func writeIndex(b *blockWriter, head indexHeader, images []shardImage, scans []shardScan) error {
	slices.SortFunc(images, func(a, b shardImage) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.shard, b.shard), cmp.Compare(a.place.Offset, b.place.Offset))
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
			return s.fault(m.place.Offset, fmt.Sprintf("%s: is there twice, first at byte %d", legible(name), images[i-1].place.Offset))
		}
		names = append(names, name...)
		e := entry{place: m.place, shard: m.shard, label: uint32(m.label.class), h: uint32(m.head.h), w: uint32(m.head.w), gray: m.head.gray, here: m.here, end: uint64(len(names))}
		if m.head.bad != nil {
			head.Corrupt[i] = m.head.bad
		}
		entries = e.append(entries)
	}
	return b.seal(indexMagic, head, entries, names)
}

// spool is where images are copied to that cost too much where they are.
type spool struct {
	mu   sync.Mutex
	w    *blockWriter
	left int64 // bytes that may be written yet
}

// copy takes a copy of an image if that is worth while and there is room, and notes where.
func (s *spool) copy(m *shardImage, data []byte) error {
	if int64(m.place.Unpacked) <= spoolTimes*int64(len(data))+spoolMore {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if int64(len(data)) > s.left {
		return nil
	}
	s.left -= int64(len(data))
	size := uint32(len(data))
	m.here, m.place = true, parquet.Place{Offset: int64(s.w.at), Packed: size, Unpacked: size, Size: size}
	s.w.write(data)
	return s.w.err
}
