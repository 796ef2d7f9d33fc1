package strict

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNearest(t *testing.T) {
	words := []string{"depth", "width", "stride", "bottleneck", "group_width", "lr"}
	for word, want := range map[string][]string{
		"dpeth": {"depth"}, "widht": {"width"}, "BOTLENECK": {"bottleneck"}, "group": {"group_width"}, "group_widths": {"group_width"}, "colour": {}, "r": {"lr"}, "": {},
	} {
		if diff := cmp.Diff(want, Nearest(word, words, 1)); diff != "" {
			t.Errorf("%q, -want +got:\n%s", word, diff)
		}
	}
}

// TestReading: what the readers accept as which type, in one file of everything.
func TestReading(t *testing.T) {
	doc, err := Parse([]byte(`
i: 22
whole: 22.0
f: 1e-4
t: true
s: 'a "text"'
list: [1, 2.0]
floats: [1, 2.5e-1]
map: {a: &x 1, b: *x}
any: {lr: 1e-4, n: 3, on: false, text: "3", none: null, deep: [{a: 1}]}
maps:
  - {a: 1}
  - {a: 2}
octal: 010
quoted: "22"
`), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var (
		i, whole, octal, quoted int
		f                       float64
		b                       bool
		s                       string
		ints                    []int
		floats                  []float64
		anything                map[string]any
	)
	root := doc.Root()
	root.Int("i", &i)
	root.Int("whole", &whole)
	root.Float("f", &f)
	root.Bool("t", &b)
	root.String("s", &s)
	root.Ints("list", &ints)
	root.Floats("floats", &floats)
	root.Any("any", &anything)
	var x, y int
	m := root.Map("map")
	m.Int("a", &x)
	m.Int("b", &y)
	m.Finish()
	var as []int
	for _, m := range root.Maps("maps") {
		var a int
		m.Int("a", &a)
		as = append(as, a)
	}
	if err := doc.Err(); err != nil {
		t.Fatal(err)
	}
	got := []any{i, whole, f, b, s, ints, floats, x, y, as, anything}
	want := []any{22, 22, 1e-4, true, `a "text"`, []int{1, 2}, []float64{1, 0.25}, 1, 1, []int{1, 2},
		map[string]any{"lr": 1e-4, "n": 3, "on": false, "text": "3", "none": nil, "deep": []any{map[string]any{"a": 1}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	root.Int("octal", &octal)
	root.Int("quoted", &quoted)
	root.Finish()
	if want := "f.yaml:14: octal: 010: must be a whole number\nf.yaml:15: quoted: \"22\": must be a whole number"; doc.Err() == nil || doc.Err().Error() != want {
		t.Errorf("got %v\nwant %s", doc.Err(), want)
	}
}

// TestFaultsOfTheWholeFile stop the reading, with a line where there is one.
func TestFaultsOfTheWholeFile(t *testing.T) {
	deep := strings.Repeat("[", 60) + strings.Repeat("]", 60)
	bomb := "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
	for c := 'b'; c <= 'h'; c++ {
		prev := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+prev+",", 9) + "*" + prev + "]\n"
	}
	for text, want := range map[string]string{
		"a: [1":           "f.yaml:1: is neither YAML nor JSON",
		"a: 1\n\tb: 2\n":  "f.yaml:2: is neither YAML nor JSON",
		"a: 1\n---\nb: 2": "must hold one document",
		deep:              "nests more than 50 deep",
		bomb:              "is too large",
	} {
		_, err := Parse([]byte(text), "f.yaml")
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// A person who looks for a mistake looks at the line that the message names.
func TestLinesOfSyntaxErrors(t *testing.T) {
	for text, want := range map[string]int{
		"a: 1\nb: [1, 2\nc: 3\n": 2,
		"a: [,]":                 1,
		"a: 1\n\nb: \"\\q\"\n":   3,
		"a: 1\nb: *x\n":          2,
		"a: 1\r\nb: x\x01\n":     2,
		"a: 1\n  b: 2\n":         2,
		"a:\n  - 1\n b: 2\n":     3,
		"a: 1\nb: {c: 1\n":       2,
		"a: 1\n{b\n":             2,
	} {
		_, err := Parse([]byte(text), "f.yaml")
		var e *Error
		if !errors.As(err, &e) || e.Faults[0].Line != want {
			t.Errorf("%q: %v; want line %d", text, err, want)
		}
	}
}
