package train

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"netspace/internal/strict"
)

// LoadRecipe reads a recipe file (YAML or JSON) over a base: what the file
// does not state stays as in base.
func LoadRecipe(path string, base Recipe) (Recipe, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return base, fmt.Errorf("recipe: %w", err)
	}
	return DecodeRecipe(data, path, base)
}

// DecodeRecipe reads YAML (or JSON) over a base recipe. All faults — unknown
// keys, wrong types, values out of range — come back at once as a *RecipeError
// with file and lines. An empty document changes nothing.
func DecodeRecipe(data []byte, file string, base Recipe) (Recipe, error) {
	doc, err := parser.ParseBytes(data, 0)
	if err != nil {
		var y yaml.Error
		if errors.As(err, &y) {
			line := 0
			if y.GetToken() != nil {
				line = y.GetToken().Position.Line
			}
			return base, fmt.Errorf("%s:%d: %s", file, line, y.GetMessage())
		}
		return base, fmt.Errorf("%s: %w", file, err)
	}
	if len(doc.Docs) > 1 {
		return base, fmt.Errorf("%s: %d YAML documents where one recipe was expected", file, len(doc.Docs))
	}
	if len(doc.Docs) == 0 || doc.Docs[0].Body == nil {
		return base, nil
	}
	r, err := decodeNode(doc.Docs[0].Body, base)
	var bad *RecipeError
	if errors.As(err, &bad) {
		bad.File = file
	}
	return r, err
}

// UnmarshalYAML decodes a recipe over DefaultRecipe and validates it. The
// error is a *RecipeError whose lines are those of the enclosing file.
func (r *Recipe) UnmarshalYAML(node ast.Node) error {
	got, err := decodeNode(node, DefaultRecipe())
	if err == nil {
		*r = got
	}
	return err
}

// UnmarshalJSON decodes a recipe over DefaultRecipe and validates it.
func (r *Recipe) UnmarshalJSON(data []byte) error {
	got, err := DecodeRecipe(data, "", DefaultRecipe())
	if err == nil {
		*r = got
	}
	return err
}

// decodeNode writes the keys of a mapping over base, key by key, so that every
// fault is found and keeps its line.
func decodeNode(node ast.Node, base Recipe) (Recipe, error) {
	var pairs []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode: // a mapping of one key
		pairs = []*ast.MappingValueNode{n}
	case *ast.NullNode:
		return base, nil
	default:
		return base, &RecipeError{Faults: []Fault{{Allowed: "must be a mapping such as {epochs: 5, lr: 0.1}", Line: lineOf(node)}}}
	}
	r := base
	fields := recipeFields(&r)
	lines := map[string]int{}
	var faults []Fault
	for _, p := range pairs {
		key, line := p.Key.GetToken().Value, lineOf(p.Key)
		field, known := fields[key]
		if !known {
			faults = append(faults, Fault{Field: key, Allowed: unknownKey(key), Line: line})
			continue
		}
		if _, again := lines[key]; again {
			faults = append(faults, Fault{Field: key, Allowed: "is given twice", Line: line})
			continue
		}
		lines[key] = line
		if _, null := p.Value.(*ast.NullNode); null && field.Kind() != reflect.Pointer {
			faults = append(faults, Fault{Field: key, Allowed: "has no value", Line: line})
			continue
		}
		if err := yaml.NodeToValue(p.Value, field.Addr().Interface()); err != nil {
			faults = append(faults, Fault{Field: key, Value: valueText(p.Value), Allowed: "must be " + kindName(field.Type()), Line: line})
		}
	}
	var ranges *RecipeError
	if errors.As(r.Validate(), &ranges) {
		for _, f := range ranges.Faults {
			// A field of the wrong type kept its base value; its fault is already listed.
			f.Line = lines[f.Field]
			faults = append(faults, f)
		}
	}
	if len(faults) > 0 {
		return base, &RecipeError{Faults: faults}
	}
	return r, nil
}

// recipeFields maps the keys of a recipe to its fields.
func recipeFields(r *Recipe) map[string]reflect.Value {
	v := reflect.ValueOf(r).Elem()
	fields := make(map[string]reflect.Value, v.NumField())
	for i := range v.NumField() {
		fields[recipeKey(v.Type().Field(i))] = v.Field(i)
	}
	return fields
}

func unknownKey(key string) string {
	rule := "is not a known field"
	if near := strict.Nearest(key, recipeKeys(), 1); len(near) > 0 {
		return fmt.Sprintf("%s (did you mean %s?)", rule, near[0])
	}
	return rule + "; known are " + strings.Join(recipeKeys(), ", ")
}

func recipeKeys() []string {
	t := reflect.TypeFor[Recipe]()
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = recipeKey(t.Field(i))
	}
	return keys
}

func recipeKey(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
}

func lineOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func valueText(n ast.Node) string {
	return strings.Join(strings.Fields(n.String()), " ")
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindName(t.Elem())
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list such as [3, 6]"
	}
	return "a word"
}
