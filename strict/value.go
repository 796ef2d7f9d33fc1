package strict

import "fmt"

// Value is one value of a file, for fields that may be of several kinds.
type Value struct {
	doc  *Doc
	node *node
}

// Value gives the field of this name as it is; false if it is absent.
func (f *Fields) Value(name string) (Value, bool) {
	n := f.find(name)
	if n == nil {
		return Value{}, false
	}
	return Value{f.doc, n}, true
}

// Path is where the value stands.
func (v Value) Path() string { return v.node.path() }

// Line is where the value stands, from 1.
func (v Value) Line() int { return v.node.line }

// Text is a scalar as written, without quotes; false for other kinds.
func (v Value) Text() (string, bool) { return v.node.text, v.node.kind == scalar }

// Number is an unquoted scalar that is a number; false for all else.
func (v Value) Number() (float64, bool) { return v.node.plainNumber() }

// Items are the values of a list; false for other kinds.
func (v Value) Items() ([]Value, bool) {
	if v.node.kind != sequence {
		return nil, false
	}
	out := make([]Value, len(v.node.items))
	for i, n := range v.node.items {
		out[i] = Value{v.doc, n}
	}
	return out, true
}

// Fields are those of a mapping; false for other kinds.
func (v Value) Fields() (*Fields, bool) {
	if v.node.kind != mapping {
		return nil, false
	}
	return &Fields{doc: v.doc, node: v.node}, true
}

// Fail adds a fault of this value.
func (v Value) Fail(format string, args ...any) {
	v.doc.fail(v.node.line, v.node.path(), v.node.value(), "%s", fmt.Sprintf(format, args...))
}
