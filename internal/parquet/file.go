// Package parquet finds byte strings in Parquet files: where each lies, so that later it is read alone. Libraries
// give values in the order of the file, and believe the sizes that a file states; here any value can be
// had at any time, and memory follows the size of what is there.
//
// Read are columns that do not repeat, of integers or byte strings, plain or by a dictionary, in pages of both
// versions, uncompressed or compressed with Snappy, Zstandard or gzip.
package parquet

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

const (
	magic      = "PAR1"
	encrypted  = "PARE"
	maxFooter  = 64 << 20
	maxColumns = 1 << 14
	maxChunks  = 1 << 20 // columns of all row groups
	// A row takes a byte at least, but for the runs of dictionaries: files of more rows than this share of their bytes are refused.
	bytesPerRow = 8
)

// Error says what is wrong with a file, or what of it is not read.
type Error struct {
	Offset int64 // byte, -1 if that means nothing
	Reason string
}

func (e *Error) Error() string {
	if e.Offset < 0 {
		return e.Reason
	}
	return fmt.Sprintf("at byte %d: %s", e.Offset, e.Reason)
}

func fault(at int64, format string, args ...any) error {
	return &Error{at, fmt.Sprintf(format, args...)}
}

// Type is how the values of a column are stored.
type Type int

// The types that are read.
const (
	Int32     Type = 1
	Int64     Type = 2
	ByteArray Type = 6
)

// Column is one of the columns of a file.
type Column struct {
	Path     string // names from the outermost in, with dots
	Type     Type
	Repeated bool // as in a list: not read
	optional int  // how many of its levels may be absent
}

// File is an open file. It is safe for concurrent use.
type File struct {
	Columns  []Column
	Groups   []Group
	Metadata map[string]string
	r        io.ReaderAt
}

// Group is a group of rows.
type Group struct {
	Rows   int64
	chunks []chunk
}

// chunk is a column of a row group.
type chunk struct {
	codec      Codec
	values     int64
	packed     int64 // bytes of its pages in the file
	data, dict int64 // where the pages of data begin, and that of the dictionary, 0: none
	elsewhere  bool  // in another file
}

// Open reads what a file of that size says of itself.
func Open(r io.ReaderAt, size int64) (*File, error) {
	const tail = 4 + len(magic)
	b := make([]byte, tail)
	if size < int64(len(magic)+tail) {
		return nil, fault(-1, "not a Parquet file: it has %d bytes", size)
	}
	if _, err := r.ReadAt(b, size-int64(tail)); err != nil {
		return nil, err
	}
	switch string(b[4:]) {
	case magic:
	case encrypted:
		return nil, fault(-1, "an encrypted Parquet file")
	default:
		return nil, fault(size-int64(len(magic)), "not a Parquet file, or one that is cut short: it does not end with %s", magic)
	}
	n := int64(binary.LittleEndian.Uint32(b))
	at := size - int64(tail) - n
	if n > maxFooter || at < int64(len(magic)) {
		return nil, fault(size-int64(tail), "a footer of %d bytes, more than the file has or than the %d MiB that are read", n, maxFooter>>20)
	}
	b = make([]byte, n)
	if _, err := r.ReadAt(b, at); err != nil {
		return nil, err
	}
	f := &File{r: r, Metadata: map[string]string{}}
	rows, err := f.footer(b)
	if err != nil {
		return nil, fault(at, "footer: %v", err)
	}
	if rows > size/bytesPerRow {
		return nil, fault(at, "%d rows in %d bytes", rows, size)
	}
	for i, g := range f.Groups {
		for k, c := range g.chunks {
			from := c.data
			if c.dict > 0 {
				from = min(from, c.dict)
			}
			if from < int64(len(magic)) || c.packed < 0 || c.packed > at || from > at-c.packed || c.values < 0 {
				return nil, fault(at, "row group %d: column %s lies outside the data", i, f.Columns[k].Path)
			}
		}
	}
	return f, nil
}

// element is a node of the schema as it is stored: a tree, written from the root down.
type element struct {
	name       string
	typ        int64
	repetition int64
	children   int64
}

// footer reads FileMetaData, and returns the number of rows.
func (f *File) footer(b []byte) (rows int64, err error) {
	r := &thrift{b: b}
	var schema []element
	chunks := 0
	r.fields(func(id int64, typ byte) bool {
		switch {
		case id == 2 && typ == thriftList:
			r.list(thriftStruct, func() {
				if len(schema) == maxColumns {
					r.fail(fmt.Errorf("more than %d columns", maxColumns))
					return
				}
				schema = append(schema, r.element())
			})
		case id == 4 && typ == thriftList:
			r.list(thriftStruct, func() {
				g := r.group()
				if chunks += len(g.chunks) + 1; chunks > maxChunks {
					r.fail(fmt.Errorf("more than %d columns of row groups", maxChunks))
					return
				}
				f.Groups = append(f.Groups, g)
			})
		case id == 5 && typ == thriftList:
			r.list(thriftStruct, func() {
				var key, value string
				r.fields(func(id int64, typ byte) bool {
					switch {
					case id == 1 && typ == thriftBinary:
						key = string(r.binary())
					case id == 2 && typ == thriftBinary:
						value = string(r.binary())
					default:
						return false
					}
					return true
				})
				f.Metadata[key] = value
			})
		default:
			return false
		}
		return true
	})
	if r.err != nil {
		return 0, r.err
	}
	if err := f.columns(schema); err != nil {
		return 0, err
	}
	for i, g := range f.Groups {
		if len(g.chunks) != len(f.Columns) {
			return 0, fmt.Errorf("row group %d has %d columns, the schema %d", i, len(g.chunks), len(f.Columns))
		}
		if rows += g.Rows; g.Rows < 0 || rows < 0 {
			return 0, fmt.Errorf("row group %d has %d rows", i, g.Rows)
		}
	}
	return rows, nil
}

func (r *thrift) element() (e element) {
	e.typ = -1
	r.fields(func(id int64, typ byte) bool {
		switch {
		case id == 1 && typ == thriftInt32:
			e.typ = r.int()
		case id == 3 && typ == thriftInt32:
			e.repetition = r.int()
		case id == 4 && typ == thriftBinary:
			e.name = string(r.binary())
		case id == 5 && typ == thriftInt32:
			e.children = r.int()
		default:
			return false
		}
		return true
	})
	return e
}

func (r *thrift) group() (g Group) {
	r.fields(func(id int64, typ byte) bool {
		switch {
		case id == 1 && typ == thriftList:
			r.list(thriftStruct, func() {
				if len(g.chunks) == maxColumns {
					r.fail(fmt.Errorf("more than %d columns", maxColumns))
					return
				}
				g.chunks = append(g.chunks, r.chunk())
			})
		case id == 3 && typ == thriftInt64:
			g.Rows = r.int()
		default:
			return false
		}
		return true
	})
	return g
}

func (r *thrift) chunk() (c chunk) {
	r.fields(func(id int64, typ byte) bool {
		switch {
		case id == 1 && typ == thriftBinary:
			c.elsewhere = len(r.binary()) > 0
		case id == 3 && typ == thriftStruct:
			r.fields(func(id int64, typ byte) bool {
				switch {
				case id == 4 && typ == thriftInt32:
					c.codec = Codec(r.int())
				case id == 5 && typ == thriftInt64:
					c.values = r.int()
				case id == 7 && typ == thriftInt64:
					c.packed = r.int()
				case id == 9 && typ == thriftInt64:
					c.data = r.int()
				case id == 11 && typ == thriftInt64:
					c.dict = r.int()
				default:
					return false
				}
				return true
			})
		default:
			return false
		}
		return true
	})
	return c
}

// columns makes the columns of a schema.
func (f *File) columns(schema []element) error {
	const optional, repeated = 1, 2
	if len(schema) == 0 {
		return errShort
	}
	type level struct {
		left int64 // children that come yet
		path []string
		c    Column
	}
	stack := []level{{left: schema[0].children}}
	for _, e := range schema[1:] {
		for len(stack) > 0 && stack[len(stack)-1].left <= 0 {
			stack = stack[:len(stack)-1]
		}
		if len(stack) == 0 || len(stack) > maxNesting {
			return fmt.Errorf("the schema is no tree of at most %d levels", maxNesting)
		}
		top := &stack[len(stack)-1]
		top.left--
		path, c := append(top.path[:len(top.path):len(top.path)], e.name), top.c
		switch e.repetition {
		case optional:
			c.optional++
		case repeated:
			c.Repeated = true
		}
		if e.children > 0 {
			stack = append(stack, level{e.children, path, c})
			continue
		}
		c.Path, c.Type = strings.Join(path, "."), Type(e.typ)
		f.Columns = append(f.Columns, c)
	}
	for _, l := range stack {
		if l.left > 0 {
			return errShort
		}
	}
	return nil
}
