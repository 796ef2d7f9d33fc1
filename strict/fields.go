package strict

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Fields reads the fields of one mapping. A field that is absent leaves its
// target as it is; a field of the wrong type is a fault of the Doc. A nil
// *Fields has no fields.
type Fields struct {
	doc   *Doc
	node  *node
	asked []string
}

// Root is the file's outermost mapping, or nil with a fault if it is something else.
func (d *Doc) Root() *Fields {
	if d.root.kind != mapping {
		d.Fail("", d.root.value(), "must be a mapping of fields")
		return nil
	}
	return &Fields{doc: d, node: d.root}
}

func (f *Fields) find(name string) *node {
	if f == nil {
		return nil
	}
	f.asked = append(f.asked, name)
	for _, k := range f.node.keys {
		if k.name == name {
			return k.value
		}
	}
	return nil
}

// Path is where the field of this name is, or would be.
func (f *Fields) Path(name string) string {
	if f == nil {
		return name
	}
	return join(f.node.path(), name)
}

// Has says whether the field is present.
func (f *Fields) Has(name string) bool {
	if f == nil {
		return false
	}
	for _, k := range f.node.keys {
		if k.name == name {
			return true
		}
	}
	return false
}

// Keys lists the fields that are present, in order.
func (f *Fields) Keys() []string {
	if f == nil {
		return nil
	}
	names := make([]string, len(f.node.keys))
	for i, k := range f.node.keys {
		names[i] = k.name
	}
	return names
}

// Require makes the absence of fields a fault.
func (f *Fields) Require(names ...string) {
	if f == nil {
		return
	}
	for _, name := range names {
		if !f.Has(name) {
			f.doc.fail(max(f.node.line, 1), f.Path(name), "", "is missing")
		}
	}
}

func (f *Fields) wrong(n *node, want string) {
	if n.kind == null && f.doc.Failed(n.path()) { // an alias of nothing
		return
	}
	f.doc.fail(n.line, n.path(), n.value(), "must be %s", want)
}

// Float reads a number.
func (f *Fields) Float(name string, to *float64) {
	n := f.find(name)
	if n == nil {
		return
	}
	v, ok := n.plainNumber()
	if !ok {
		f.wrong(n, "a number")
		return
	}
	*to = v
}

// Int reads a whole number; 22.0 is one.
func (f *Fields) Int(name string, to *int) {
	n := f.find(name)
	if n == nil {
		return
	}
	if v, ok := wholeNumber(n); ok {
		*to = v
		return
	}
	f.wrong(n, "a whole number")
}

func wholeNumber(n *node) (int, bool) {
	v, ok := n.plainNumber()
	if !ok || v != math.Trunc(v) || math.Abs(v) > 1<<53 {
		return 0, false
	}
	return int(v), true
}

// Bool reads true or false.
func (f *Fields) Bool(name string, to *bool) {
	n := f.find(name)
	if n == nil {
		return
	}
	v, ok := boolean(n.text)
	if n.kind != scalar || n.quoted || !ok {
		f.wrong(n, "true or false")
		return
	}
	*to = v
}

// String reads a text.
func (f *Fields) String(name string, to *string) {
	n := f.find(name)
	if n == nil {
		return
	}
	if n.kind != scalar {
		f.wrong(n, "a text")
		return
	}
	*to = n.text
}

// Word reads a text that parse accepts; its error says what is allowed.
func (f *Fields) Word(name string, parse func(word string) error) {
	n := f.find(name)
	if n == nil {
		return
	}
	if n.kind != scalar {
		f.wrong(n, "a word")
		return
	}
	if err := parse(n.text); err != nil {
		f.doc.fail(n.line, n.path(), n.value(), "%v", err)
	}
}

// Floats reads a list of numbers.
func (f *Fields) Floats(name string, to *[]float64) {
	f.list(name, "a list of numbers", func(items []*node) bool {
		out := make([]float64, len(items))
		for i, n := range items {
			v, ok := n.plainNumber()
			if !ok {
				f.wrong(n, "a number")
			}
			out[i] = v
		}
		*to = out
		return true
	})
}

// Ints reads a list of whole numbers.
func (f *Fields) Ints(name string, to *[]int) {
	f.list(name, "a list of whole numbers", func(items []*node) bool {
		out := make([]int, len(items))
		for i, n := range items {
			v, ok := wholeNumber(n)
			if !ok {
				f.wrong(n, "a whole number")
			}
			out[i] = v
		}
		*to = out
		return true
	})
}

func (f *Fields) list(name, want string, read func([]*node) bool) {
	n := f.find(name)
	if n == nil {
		return
	}
	if n.kind != sequence || !read(n.items) {
		f.wrong(n, want)
	}
}

// Map gives the fields of a mapping; nil if it is absent.
func (f *Fields) Map(name string) *Fields {
	n := f.find(name)
	if n == nil {
		return nil
	}
	if n.kind != mapping {
		f.wrong(n, "a mapping of fields")
		return nil
	}
	return &Fields{doc: f.doc, node: n}
}

// Maps gives the fields of each mapping of a list.
func (f *Fields) Maps(name string) []*Fields {
	var out []*Fields
	f.list(name, "a list of mappings", func(items []*node) bool {
		for _, n := range items {
			if n.kind != mapping {
				f.wrong(n, "a mapping of fields")
				out = append(out, nil)
				continue
			}
			out = append(out, &Fields{doc: f.doc, node: n})
		}
		return true
	})
	return out
}

// Any reads a mapping of anything.
func (f *Fields) Any(name string, to *map[string]any) {
	n := f.find(name)
	if n == nil {
		return
	}
	if n.kind != mapping {
		f.wrong(n, "a mapping of fields")
		return
	}
	*to = n.any().(map[string]any)
}

// Skip accepts fields without reading them.
func (f *Fields) Skip(names ...string) {
	if f != nil {
		f.asked = append(f.asked, names...)
	}
}

// Unread lists the fields that are present and were not read.
func (f *Fields) Unread() []string {
	if f == nil {
		return nil
	}
	var out []string
	for _, k := range f.node.keys {
		if !slices.Contains(f.asked, k.name) {
			out = append(out, k.name)
		}
	}
	return out
}

// Finish makes every field that was not read a fault, with what it may have
// been meant to be.
func (f *Fields) Finish() {
	if f == nil {
		return
	}
	for i, name := range f.Unread() {
		if f.doc.full() {
			f.doc.more += len(f.Unread()) - i
			return
		}
		rule := "is not a known field; known are " + strings.Join(f.asked, ", ")
		if near := Nearest(name, f.asked, 1); len(near) > 0 {
			rule = fmt.Sprintf("is not a known field (did you mean %s?)", near[0])
		}
		f.doc.Fail(f.Path(name), "", "%s", rule)
	}
}

// Index is the path of item i of a list.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
