package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"

	"netspace/internal/infile"
)

// kind of a node.
type kind uint8

const (
	null kind = iota
	scalar
	sequence
	mapping
)

var kindNames = [...]string{"nothing", "a value", "a list", "a mapping"}

// node is one value of a file, with the place where it stands.
type node struct {
	kind   kind
	text   string // scalar: as written, without quotes
	quoted bool   // scalar: surely a text
	items  []*node
	keys   []key          // mapping, in order
	lines  map[string]int // of the first key of each name, in a large mapping
	line   int

	// Where it is: an item of a list, or the value of a key. Paths are put
	// together when they are asked for, since those of all values of a file can
	// be much longer than the file.
	parent *node
	name   string // of its key
	index  int    // in its list
}

type key struct {
	name  string
	line  int
	value *node
}

func (n *node) path() string {
	switch {
	case n.parent == nil:
		return ""
	case n.parent.kind == sequence:
		return Index(n.parent.path(), n.index)
	}
	return join(n.parent.path(), n.name)
}

// MaxSize bounds a file that is read strictly, in bytes: twice what the
// largest network takes that a spec can state.
const MaxSize = 512 << 10

// maxNodes bounds a file after its aliases are expanded.
const maxNodes = 100_000

// maxNesting bounds how deep a file nests.
const maxNesting = 50

// Doc is a parsed file whose fields are being read.
type Doc struct {
	Faults
	file  string
	root  *node
	nodes int
	large bool // a fault says that the file is too large
}

// ReadFile reads a file for Parse. The error is an *Error for a file that is
// larger than MaxSize, or no regular file.
func ReadFile(path string) ([]byte, error) {
	data, err := infile.Read(path, MaxSize)
	var refused *infile.RefusedError
	if errors.As(err, &refused) {
		return nil, &Error{Faults: []Fault{{File: path, Rule: refused.Reason}}}
	}
	return data, err
}

// Parse reads YAML or JSON. The error is an *Error with the line of the first
// syntax error. Both take time and memory in proportion to the file, and files
// larger than MaxSize are refused.
//
// A Doc may have faults already, such as duplicate fields: see Err.
func Parse(data []byte, file string) (*Doc, error) {
	d := &Doc{file: file}
	if len(data) > MaxSize {
		d.fail(0, "", "", "has %d bytes: at most %d are read", len(data), MaxSize)
		return nil, d.Err()
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if json.Valid(data) {
		d.readJSON(data)
	} else if err := d.readYAML(data); err != nil {
		return nil, err
	}
	if d.large {
		return nil, d.Err()
	}
	return d, nil
}

// readYAML makes our tree of the parser's. The error is what Parse returns.
func (d *Doc) readYAML(data []byte) error {
	var body *yaml.Node
	for in := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		err := in.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line, message := syntaxError(err, data)
			d.fail(line, "", "", "is neither YAML nor JSON: %s", message)
			return d.Err()
		}
		content := doc.Content[0]
		switch empty := content.Kind == yaml.ScalarNode && content.Value == "" && content.Style == 0; {
		case empty:
		case body != nil:
			d.fail(content.Line, "", "", "must hold one document, not several")
			return d.Err()
		default:
			body = content
		}
	}
	d.root = &node{}
	if body != nil {
		d.convert(d.root, body, 0)
	}
	return nil
}

// syntaxError takes the library's "yaml: line 3: did not find …" apart. Its
// parser, unlike its scanner, counts lines from 0, and for an alias of nothing it gives none.
func syntaxError(err error, data []byte) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	line = 1 // of which the library does not speak
	if strings.HasPrefix(message, "control characters") {
		i := bytes.IndexFunc(data, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\n\r", r) })
		line = 1 + bytes.Count(data[:max(i, 0)], []byte("\n"))
	}
	if _, scan := fmt.Sscanf(message, "line %d:", &line); scan == nil {
		_, message, _ = strings.Cut(message, ": ")
		for _, ofParser := range []string{"',' or", "key", "node content", "'-' indicator", "<"} {
			if strings.HasPrefix(message, "did not find expected "+ofParser) {
				line++
			}
		}
		line = min(line, 1+bytes.Count(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))) // what the end of the file lacks
	}
	if name, ok := strings.CutPrefix(message, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		if i := bytes.Index(data, []byte("*"+name)); i >= 0 {
			line = 1 + bytes.Count(data[:i], []byte("\n"))
		}
		message = "*" + name + " is an alias of an anchor that is not defined before it"
	}
	return line, message
}

// room counts a node and says whether the file is still within its limits.
func (d *Doc) room(out *node, depth int) bool {
	d.nodes++
	if d.nodes <= maxNodes && depth <= maxNesting {
		return true
	}
	if !d.large {
		d.large = true
		if depth > maxNesting {
			d.fail(out.line, "", "", "nests more than %d deep", maxNesting)
		} else {
			d.fail(out.line, "", "", "is too large: at most %d values", maxNodes)
		}
	}
	return false
}

// convert fills a node from the parser's, resolving aliases.
func (d *Doc) convert(out *node, n *yaml.Node, depth int) {
	if out.line == 0 { // else that of its key
		out.line = n.Line
	}
	if d.large || !d.room(out, depth) {
		return
	}
	switch n.Kind {
	case yaml.AliasNode:
		d.convert(out, n.Alias, depth+1)
	case yaml.SequenceNode:
		out.kind = sequence
		for i, v := range n.Content {
			item := &node{parent: out, index: i}
			d.convert(item, v, depth+1)
			out.items = append(out.items, item)
		}
	case yaml.MappingNode:
		out.kind = mapping
		for i := 0; i+1 < len(n.Content) && !d.large; i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			if k.Kind == yaml.AliasNode {
				k = k.Alias
			}
			switch {
			case k.Kind != yaml.ScalarNode:
				d.fail(k.Line, out.path(), "", "has a key that is no word")
				continue
			case k.ShortTag() == "!!merge":
				d.fail(k.Line, out.path(), "<<", "merge keys are not supported: write the fields out")
				continue
			}
			d.convert(d.key(out, k.Value, n.Content[i].Line), v, depth+1)
		}
	default:
		const quotes = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
		out.quoted = n.Style&quotes != 0
		if out.quoted || n.ShortTag() != "!!null" {
			out.kind, out.text = scalar, n.Value
		}
	}
}

// key adds a key to a mapping and gives the node of its value.
func (d *Doc) key(out *node, name string, line int) *node {
	value := &node{parent: out, name: name, line: line}
	if first, twice := out.lineOf(name); twice {
		d.fail(line, value.path(), "", "is given twice, first on line %d", first)
	}
	out.keys = append(out.keys, key{name, line, value})
	if _, known := out.lines[name]; out.lines != nil && !known {
		out.lines[name] = line
	}
	return value
}

// few is how many keys are looked through one by one.
const few = 16

// lineOf is the line of a key of a mapping.
func (n *node) lineOf(name string) (line int, found bool) {
	if len(n.keys) > few && n.lines == nil {
		n.lines = map[string]int{}
		for _, k := range slices.Backward(n.keys) {
			n.lines[k.name] = k.line
		}
	}
	if n.lines != nil {
		line, found = n.lines[name]
		return line, found
	}
	for _, k := range n.keys {
		if k.name == name {
			return k.line, true
		}
	}
	return 0, false
}

// readJSON makes our tree of valid JSON.
func (d *Doc) readJSON(data []byte) {
	in := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var at int64
	line := 1
	next := func() (jsontext.Token, int) {
		t, _ := in.ReadToken() // there is one: the text is valid
		end := in.InputOffset()
		line += bytes.Count(data[at:end], []byte("\n"))
		at = end
		return t, line
	}
	var read func(out *node, t jsontext.Token, depth int)
	read = func(out *node, t jsontext.Token, depth int) {
		fits := !d.large && d.room(out, depth)
		switch t.Kind() {
		case '[':
			out.kind = sequence
			for i := 0; fits && in.PeekKind() != ']'; i++ {
				v, line := next()
				item := &node{parent: out, index: i, line: line}
				read(item, v, depth+1)
				fits = !d.large
				out.items = append(out.items, item)
			}
		case '{':
			out.kind = mapping
			for fits && in.PeekKind() != '}' {
				k, line := next()
				value := d.key(out, k.String(), line)
				v, _ := next()
				read(value, v, depth+1)
				fits = !d.large
			}
		case '"':
			out.kind, out.text, out.quoted = scalar, t.String(), true
			return
		case 'n':
			return
		default: // a number, true, false
			out.kind, out.text = scalar, t.String()
			return
		}
		if fits {
			next() // the closing bracket
		}
	}
	t, first := next()
	d.root = &node{line: first}
	read(d.root, t, 0)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (d *Doc) fail(line int, path, value, format string, args ...any) {
	if d.full() {
		d.more++
		return
	}
	d.Add(Fault{File: d.file, Line: line, Path: path, Value: value, Rule: fmt.Sprintf(format, args...)})
}

// Fail adds a fault of the field at path, with its place in the file.
func (d *Doc) Fail(path, value, format string, args ...any) {
	d.fail(d.Line(path), path, value, format, args...)
}

// Line is where the field at path stands; for an absent field, the nearest one around it.
func (d *Doc) Line(path string) int {
	n := d.root
	for path != "" {
		child, rest := n.child(path)
		if child == nil {
			break
		}
		n, path = child, rest
	}
	return max(n.line, 1)
}

// child is the value at the beginning of a path, and what remains of the path. Names may hold
// dots and brackets, so the longest one that fits counts.
func (n *node) child(path string) (found *node, rest string) {
	if n.kind == sequence {
		number, rest, ok := strings.Cut(strings.TrimPrefix(path, "["), "]")
		i, err := strconv.Atoi(number)
		if !ok || err != nil || i < 0 || i >= len(n.items) {
			return nil, path
		}
		return n.items[i], strings.TrimPrefix(rest, ".")
	}
	longest := -1
	for _, k := range n.keys {
		after, ok := strings.CutPrefix(path, k.name)
		if ok && len(k.name) > longest && (after == "" || after[0] == '.' || after[0] == '[') {
			found, rest, longest = k.value, strings.TrimPrefix(after, "."), len(k.name)
		}
	}
	return found, rest
}

// File is the name given to Parse.
func (d *Doc) File() string { return d.file }

// value renders a node for a message.
func (n *node) value() string {
	switch n.kind {
	case scalar:
		if n.quoted {
			return strconv.Quote(n.text)
		}
		return n.text
	case null:
		return ""
	}
	return kindNames[n.kind]
}

// plainNumber reads an unquoted scalar as a number. Octal, hexadecimal and
// other forms that readers disagree on are no numbers here.
func (n *node) plainNumber() (float64, bool) {
	if n.kind != scalar || n.quoted || n.text == "" {
		return 0, false
	}
	digits := strings.TrimLeft(n.text, "+-")
	if len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		return 0, false
	}
	if strings.ContainsAny(n.text, "xXpP_nN") { // hexadecimal, separators, inf and nan
		return 0, false
	}
	v, err := strconv.ParseFloat(n.text, 64)
	return v, err == nil && !math.IsInf(v, 0)
}

// any converts a node to nil, bool, int, float64, string, []any or
// map[string]any. 1e-4 is a number.
func (n *node) any() any {
	switch n.kind {
	case sequence:
		out := make([]any, len(n.items))
		for i, v := range n.items {
			out[i] = v.any()
		}
		return out
	case mapping:
		out := make(map[string]any, len(n.keys))
		for _, k := range n.keys {
			out[k.name] = k.value.any()
		}
		return out
	case null:
		return nil
	}
	if n.quoted {
		return n.text
	}
	if b, ok := boolean(n.text); ok {
		return b
	}
	if i, err := strconv.Atoi(n.text); err == nil {
		if _, ok := n.plainNumber(); ok {
			return i
		}
	}
	if v, ok := n.plainNumber(); ok {
		return v
	}
	return n.text
}

func boolean(text string) (value, ok bool) {
	switch text {
	case "true", "True", "TRUE":
		return true, true
	case "false", "False", "FALSE":
		return false, true
	}
	return false, false
}

// Merge adds faults that a check of the values found, except for fields that
// could not be read: their values mean nothing.
func (d *Doc) Merge(checked Faults) {
	var news []Fault
	for _, f := range checked.list {
		if !d.Failed(f.Path) {
			news = append(news, f)
		}
	}
	for _, f := range news {
		d.Add(f)
	}
	d.more += checked.more
}
