package train

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"netspace/strict"
)

// LoadRecipe reads a recipe by name (see Named) or a recipe file (YAML or JSON) over a base: what it
// does not state stays as in base.
func LoadRecipe(path string, base Recipe) (Recipe, error) {
	if text, ok := namedRecipe(path); ok {
		return DecodeRecipe(text, "recipe "+path, base)
	}
	data, err := strict.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return base, fmt.Errorf("read recipe: %w; recipes by name are %s", err, strings.Join(Named(), ", "))
	}
	if err != nil {
		return base, fmt.Errorf("read recipe: %w", err)
	}
	return DecodeRecipe(data, path, base)
}

// The recipes by name: files of which the program knows the text.
//
//go:embed recipes/*.yaml
var namedRecipes embed.FS

// Named lists the names of recipes for full training, which LoadRecipe takes in the place of a file and
// "from" in a recipe.
func Named() []string {
	var names []string
	files, _ := namedRecipes.ReadDir("recipes") // it is there
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

func namedRecipe(name string) (text []byte, ok bool) {
	if !slices.Contains(Named(), name) {
		return nil, false
	}
	text, err := namedRecipes.ReadFile("recipes/" + name + ".yaml")
	return text, err == nil
}

// DecodeRecipe reads YAML (or JSON) over a base recipe. All faults — unknown
// keys, wrong types, values out of range — come back at once as a *strict.Error
// with file and lines.
func DecodeRecipe(data []byte, file string, base Recipe) (Recipe, error) {
	doc, err := strict.Parse(data, file)
	if err != nil {
		return base, err
	}
	r := base
	r.Read(doc, doc.Root())
	if err := doc.Err(); err != nil {
		return base, err
	}
	return r, nil
}

// DecodeFields reads a recipe that is already parsed, as a network's file
// holds it under "recipe", over a base. file is for messages.
func DecodeFields(fields map[string]any, file string, base Recipe) (Recipe, error) {
	if len(fields) == 0 {
		return base, nil
	}
	data, err := json.Marshal(map[string]any{"recipe": fields})
	if err != nil {
		return base, fmt.Errorf("%s: recipe: %w", file, err)
	}
	doc, err := strict.Parse(data, file)
	if err != nil {
		return base, err
	}
	r := base
	r.Read(doc, doc.Root().Map("recipe"))
	if err := doc.Err(); err != nil {
		return base, withoutLines(err) // they are those of the text made here
	}
	return r, nil
}

func withoutLines(err error) error {
	if e, ok := err.(*strict.Error); ok {
		for i := range e.Faults {
			e.Faults[i].Line = 0
		}
	}
	return err
}

// Read reads the fields of a recipe that is a file, or part of one, over r and
// checks the outcome. "from" names a recipe that the other fields change. All faults are
// added to doc; if there are any, r means nothing.
func (r *Recipe) Read(doc *strict.Doc, f *strict.Fields) {
	if f == nil {
		return
	}
	f.Word("from", func(name string) error {
		text, ok := namedRecipe(name)
		if !ok {
			return errors.New(strict.OneOf(name, Named()...))
		}
		base, err := DecodeRecipe(text, "recipe "+name, *r)
		if err == nil {
			*r = base
		}
		return err
	})
	v := reflect.ValueOf(r).Elem()
	for i := range v.NumField() {
		key := recipeKey(v.Type().Field(i))
		switch to := v.Field(i).Addr().Interface().(type) {
		case *int:
			f.Int(key, to)
		case *float64:
			f.Float(key, to)
		case *bool:
			f.Bool(key, to)
		case *[]float64:
			f.Floats(key, to)
		case *[]string:
			f.Strings(key, to)
		case **int:
			if f.Has(key) {
				*to = new(int)
				f.Int(key, *to)
			}
		case **float64:
			if f.Has(key) {
				*to = new(float64)
				f.Float(key, *to)
			}
		default: // the kinds of words
			var word string
			f.String(key, &word)
			if key == "activations" && word == float32Word {
				word = string(Float32) // recipes that say the same are the same
			}
			if f.Has(key) {
				v.Field(i).SetString(word)
			}
		}
	}
	f.Finish()
	for _, fault := range r.faults() {
		if path := f.Path(fault.Path); !doc.Failed(path) {
			doc.Fail(path, fault.Value, "%s", fault.Rule)
		}
	}
}

// UnmarshalYAML decodes a recipe over DefaultRecipe and validates it.
func (r *Recipe) UnmarshalYAML(data []byte) error {
	got, err := DecodeRecipe(data, "", DefaultRecipe())
	if err == nil {
		*r = got
	}
	return withoutLines(err)
}

// UnmarshalJSON decodes a recipe over DefaultRecipe and validates it.
func (r *Recipe) UnmarshalJSON(data []byte) error { return r.UnmarshalYAML(data) }

// Set changes one field from text, as it would stand in a file; a list may
// leave its brackets out. Ranges are left to Validate.
func (r *Recipe) Set(key, text string) error {
	for i, k := range recipeKeys() {
		if t := reflect.TypeFor[Recipe]().Field(i).Type; k == key && t.Kind() == reflect.Slice && !strings.HasPrefix(text, "[") {
			if t.Elem().Kind() == reflect.String { // a pattern may begin with a star, which YAML takes for something else
				text = `"` + strings.ReplaceAll(text, ",", `","`) + `"`
			}
			text = "[" + text + "]"
		}
	}
	doc, err := strict.Parse([]byte(key+": "+text+"\n"), "")
	if err != nil {
		return withoutLines(err)
	}
	root := doc.Root()
	if root != nil && !slices.Equal(root.Keys(), []string{key}) { // as of several lines
		return strict.Fault{Path: key, Value: text, Rule: "must be one value"}
	}
	changed := *r
	changed.Read(doc, root)
	// Of all faults only those of this key's form matter here: the recipe may
	// become valid by what is set next.
	if err, ok := doc.Err().(*strict.Error); ok {
		ranges := map[string]string{}
		for _, f := range changed.faults() {
			ranges[f.Path] = f.Rule
		}
		for _, f := range err.Faults {
			if ranges[f.Path] != f.Rule {
				f.Line = 0
				return f
			}
		}
	}
	*r = changed
	return nil
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
