package parquet

import (
	"encoding/binary"
	"errors"
	"math"
)

// thrift reads values of Thrift's compact protocol, in which Parquet's own structures are written
// (thrift-compact-protocol.md). Nothing that a file states is taken for granted: no value takes memory
// before its bytes were seen. After an error all reads give zero.
type thrift struct {
	b   []byte // what is left
	err error
}

var (
	errShort  = errors.New("cut short")
	errThrift = errors.New("not Thrift's compact protocol")
)

// Types of the protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftInt16  = 4
	thriftInt32  = 5
	thriftInt64  = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

// maxNesting is how deep structures may lie in one another; those of Parquet need six levels.
const maxNesting = 32

func (r *thrift) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *thrift) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail(errShort)
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *thrift) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *thrift) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	switch {
	case n == 0:
		r.fail(errShort)
		return 0
	case n < 0:
		r.fail(errThrift)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// int reads an integer of any width.
func (r *thrift) int() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (r *thrift) binary() []byte {
	n := r.uvarint()
	if n > math.MaxInt32 {
		r.fail(errThrift)
		return nil
	}
	return r.take(int(n))
}

// fields reads a struct: field is told of each field's number and type, and reports whether it read the value.
func (r *thrift) fields(field func(id int64, typ byte) bool) { r.nested(0, field) }

func (r *thrift) nested(depth int, field func(id int64, typ byte) bool) {
	if depth > maxNesting {
		r.fail(errThrift)
	}
	for id := int64(0); r.err == nil; {
		head := r.byte()
		if head == 0 {
			return
		}
		if d := head >> 4; d != 0 {
			id += int64(d)
		} else {
			id = r.int()
		}
		if typ := head & 15; !field(id, typ) {
			r.skip(typ, depth+1)
		}
	}
}

// list reads a list of elements of a type, each by a call of element.
func (r *thrift) list(typ byte, element func()) {
	n, has := r.listHead()
	if n > 0 && has != typ {
		r.fail(errThrift)
	}
	for ; n > 0 && r.err == nil; n-- {
		element()
	}
}

func (r *thrift) listHead() (n uint64, typ byte) {
	head := r.byte()
	if n = uint64(head >> 4); n == 15 {
		n = r.uvarint()
	}
	return n, head & 15
}

func (r *thrift) skip(typ byte, depth int) {
	if depth > maxNesting {
		r.fail(errThrift)
	}
	switch typ {
	case thriftTrue, thriftFalse: // the value is in the type
	case thriftByte:
		r.take(1)
	case thriftInt16, thriftInt32, thriftInt64:
		r.uvarint()
	case thriftDouble:
		r.take(8)
	case thriftBinary:
		r.binary()
	case thriftList, thriftSet:
		n, of := r.listHead()
		for ; n > 0 && r.err == nil; n-- {
			r.skipElement(of, depth+1)
		}
	case thriftMap:
		n := r.uvarint()
		if n == 0 {
			return
		}
		types := r.byte()
		for ; n > 0 && r.err == nil; n-- {
			r.skipElement(types>>4, depth+1)
			r.skipElement(types&15, depth+1)
		}
	case thriftStruct:
		r.nested(depth, func(int64, byte) bool { return false })
	default:
		r.fail(errThrift)
	}
}

// skipElement is skip of what is in a list or map, where a truth value is a byte.
func (r *thrift) skipElement(typ byte, depth int) {
	if typ == thriftTrue || typ == thriftFalse {
		typ = thriftByte
	}
	r.skip(typ, depth)
}
