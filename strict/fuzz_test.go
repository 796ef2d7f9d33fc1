package strict

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever is in a file, it is read or its faults can be printed, and what was
// read says the same as JSON.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "a: 1", "a: [1, 2.5, -0.0, 1e-4, 0x1f, true, ~, null]\nb: {c: 'd', \"e\": |\n  text\n  }", `{"a":[1,{"b":null}],"c":"\u0000"}`,
		"a: &x {b: 1}\nc: *x\n", "a: &x [*x]", "<<: {a: 1}", "? [a]\n: b", "a: 1\na: 2", "--- \n...\n---\na", "\ufeffa: b", "- - - x", "a:\n\t- b", "a: \"\\e[31m\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Parse(data, "f.yaml")
		if err == nil {
			err = doc.Err()
		}
		if err != nil {
			checkMessage(t, err)
			return
		}
		root := doc.Root()
		if root != nil {
			lines := 1
			for _, r := range string(data) {
				if strings.ContainsRune("\n\r\u0085\u2028\u2029", r) { // the line breaks of YAML
					lines++
				}
			}
			for _, name := range root.Keys() {
				if n := doc.Line(root.Path(name)); n < 1 || n > lines {
					t.Errorf("%q is on line %d", name, n)
				}
			}
		}
		value := doc.root.any()
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > MaxSize {
			return // escapes and aliases make it longer
		}
		again, err := Parse(text, "f.json")
		if err == nil {
			err = again.Err()
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(floats(value), floats(again.root.any())); diff != "" {
			t.Errorf("as JSON %s:\n%s", text, diff)
		}
		if root != nil { // asking for what is not there finds faults, no more
			root.Require("depth")
			root.Float("a", new(float64))
			root.Ints("b", new([]int))
			root.Maps("c")
			root.Finish()
		}
		if err := doc.Err(); err != nil {
			checkMessage(t, err)
		}
	})
}

func checkMessage(t *testing.T, err error) {
	t.Helper()
	var faults *Error
	if !errors.As(err, &faults) {
		t.Fatalf("%v is a %T", err, err)
	}
	message := err.Error()
	if message == "" || strings.Count(message, "\n") > maxPrinted || strings.ContainsFunc(message, func(r rune) bool { return r != '\n' && r < ' ' || r == 0x7f }) {
		t.Errorf("message %q", message)
	}
}

// floats turns whole numbers into floats: JSON writes 3.0 as 3.
func floats(v any) any {
	switch v := v.(type) {
	case int:
		return float64(v)
	case []any:
		for i := range v {
			v[i] = floats(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = floats(v[k])
		}
	}
	return v
}
