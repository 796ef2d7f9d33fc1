package strict

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
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
	keys   []key // mapping, in order
	line   int
	path   string
}

type key struct {
	name  string
	line  int
	value *node
}

// maxNodes bounds a file after its aliases are expanded.
const maxNodes = 100_000

// maxNesting bounds how deep a file nests.
const maxNesting = 50

// Doc is a parsed file whose fields are being read.
type Doc struct {
	Faults
	file  string
	root  *node
	lines map[string]int // of every path
	nodes int
	large bool // a fault says that the file is too large
}

// Parse reads YAML or JSON, which is taken as the YAML that it is. The error
// is an *Error with the line of the first syntax error.
//
// A Doc may have faults already, such as duplicate fields: see Err.
func Parse(data []byte, file string) (*Doc, error) {
	d := &Doc{file: file, lines: map[string]int{}}
	text := strings.TrimPrefix(string(data), "\ufeff")
	if json.Valid([]byte(text)) {
		// In JSON a raw tab can only be indentation, which YAML forbids.
		text = strings.ReplaceAll(text, "\t", " ")
	}
	if line := tooNested(text); line > 0 {
		d.fail(line, "", "", "nests more than %d deep", maxNesting)
		return nil, d.Err()
	}
	tree, err := parseYAML(text)
	if err != nil {
		line, message := 0, err.Error()
		var y yaml.Error
		if errors.As(err, &y) {
			message = y.GetMessage()
			if tk := y.GetToken(); tk != nil && tk.Position != nil {
				line = tk.Position.Line
			}
		}
		d.fail(line, "", "", "is neither YAML nor JSON: %s", message)
		return nil, d.Err()
	}
	var body ast.Node
	for _, doc := range tree.Docs {
		switch {
		case doc.Body == nil:
		case body != nil:
			d.fail(lineOf(doc.Body), "", "", "must hold one document, not several")
			return nil, d.Err()
		default:
			body = doc.Body
		}
	}
	d.root = d.convert(body, "", map[string]ast.Node{}, 0)
	if d.large {
		return nil, d.Err()
	}
	return d, nil
}

// parseYAML turns a panic of the parser, which has had some on broken input, into an error.
func parseYAML(text string) (f *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return parser.ParseBytes([]byte(text), 0, parser.AllowDuplicateMapKey())
}

// tooNested gives the line where brackets nest deeper than maxNesting, or 0:
// the parser recurses and would exhaust the stack.
func tooNested(text string) int {
	depth, line := 0, 1
	for i := range len(text) {
		switch text[i] {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '\n':
			line++
		}
		if depth > maxNesting {
			return line
		}
	}
	return 0
}

func lineOf(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0
	}
	return n.GetToken().Position.Line
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// convert makes our tree of the parser's, resolving aliases.
func (d *Doc) convert(n ast.Node, path string, anchors map[string]ast.Node, depth int) *node {
	out := &node{line: lineOf(n), path: path}
	if d.nodes++; d.nodes > maxNodes || depth > maxNesting {
		if !d.large {
			d.large = true
			d.fail(out.line, path, "", "is too large: at most %d values, nested %d deep", maxNodes, maxNesting)
		}
		return out
	}
	if _, seen := d.lines[path]; !seen {
		d.lines[path] = out.line
	}
	switch n := n.(type) {
	case nil, *ast.NullNode:
	case *ast.AnchorNode:
		anchors[n.Name.GetToken().Value] = n.Value
		return d.convert(n.Value, path, anchors, depth+1)
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		target, ok := anchors[name]
		if !ok {
			d.fail(out.line, path, "*"+name, "is an alias of an anchor that is not defined before it")
			return out
		}
		return d.convert(target, path, anchors, depth+1)
	case *ast.TagNode:
		return d.convert(n.Value, path, anchors, depth+1)
	case *ast.SequenceNode:
		out.kind = sequence
		for i, v := range n.Values {
			out.items = append(out.items, d.convert(v, path+"["+strconv.Itoa(i)+"]", anchors, depth+1))
		}
	case *ast.MappingNode:
		out.kind = mapping
		d.pairs(out, n.Values, anchors, depth)
	case *ast.MappingValueNode:
		out.kind = mapping
		d.pairs(out, []*ast.MappingValueNode{n}, anchors, depth)
	case *ast.LiteralNode:
		out.kind, out.quoted, out.text = scalar, true, n.Value.Value
	default:
		tk := n.GetToken()
		out.kind, out.text = scalar, tk.Value
		out.quoted = tk.Type == token.SingleQuoteType || tk.Type == token.DoubleQuoteType
	}
	return out
}

func (d *Doc) pairs(out *node, pairs []*ast.MappingValueNode, anchors map[string]ast.Node, depth int) {
	for _, p := range pairs {
		line := lineOf(p.Key)
		if _, merge := p.Key.(*ast.MergeKeyNode); merge {
			d.fail(line, out.path, "<<", "merge keys are not supported: write the fields out")
			continue
		}
		k := key{name: p.Key.GetToken().Value, line: line}
		path := join(out.path, k.name)
		for _, other := range out.keys {
			if other.name == k.name {
				d.fail(line, path, "", "is given twice, first on line %d", other.line)
			}
		}
		k.value = d.convert(p.Value, path, anchors, depth+1)
		k.value.line = line
		d.lines[path] = line
		out.keys = append(out.keys, k)
	}
}

func (d *Doc) fail(line int, path, value, format string, args ...any) {
	d.Add(Fault{File: d.file, Line: line, Path: path, Value: value, Rule: fmt.Sprintf(format, args...)})
}

// Fail adds a fault of the field at path, with its place in the file.
func (d *Doc) Fail(path, value, format string, args ...any) {
	d.fail(d.Line(path), path, value, format, args...)
}

// Line is where the field at path stands; for an absent field, the nearest one around it.
func (d *Doc) Line(path string) int {
	for {
		if line, ok := d.lines[path]; ok {
			return max(line, 1)
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return 1
		}
		path = path[:i]
	}
}

// File is the name given to Parse.
func (d *Doc) File() string { return d.file }

// Failed says whether a fault was found at exactly this path.
func (d *Doc) Failed(path string) bool {
	for _, f := range d.list {
		if f.Path == path {
			return true
		}
	}
	return false
}

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
	unread := d.list
	for _, f := range checked.list {
		known := false
		for _, u := range unread {
			known = known || u.Path == f.Path
		}
		if !known {
			d.Add(f)
		}
	}
}
