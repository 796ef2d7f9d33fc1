package arch

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// beyondSchema are the bad files whose fault a JSON Schema does not see:
// syntax, what only the numbers together decide, and values of YAML that other
// readers take for numbers.
var beyondSchema = map[string]bool{
	"duplicate-field": true, "syntax": true, "two-documents": true, "unknown-alias": true, "empty": true,
	"regnet-width": true, "regnet-step": true, "stage-too-wide": true, "too-deep": true,
	"bottleneck-fraction": true,
}

// TestSchema: the schema accepts every good file and refuses every bad one
// that a schema can refuse.
func TestSchema(t *testing.T) {
	schema := compiled(t)
	validate := func(file string) error {
		data := read(t, file)
		if strings.HasSuffix(file, ".yaml") {
			var err error
			if data, err = yaml.YAMLToJSON(data); err != nil {
				return err
			}
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			return err
		}
		return schema.Validate(doc)
	}
	for _, file := range glob(t, "testdata/*.good.*") {
		if file == filepath.Join("testdata", "anynet-anchors.good.yaml") {
			continue // the converter of this test does not resolve aliases
		}
		if err := validate(file); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, file := range glob(t, "testdata/*.bad.*") {
		name, _, _ := strings.Cut(filepath.Base(file), ".")
		if strings.HasSuffix(file, ".txt") || beyondSchema[name] {
			continue
		}
		if err := validate(file); err == nil {
			t.Errorf("%s: the schema accepts it", file)
		}
	}
}

// TestSchemaAcceptsWhatWeWrite holds for any spec.
func TestSchemaAcceptsWhatWeWrite(t *testing.T) {
	schema := compiled(t)
	rapid.Check(t, func(t *rapid.T) {
		data, err := json.Marshal(genSpec.Draw(t, "spec"))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
	})
}
