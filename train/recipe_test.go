package train

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"netspace/strict"
)

func TestDefaultRecipeIsValid(t *testing.T) {
	if err := DefaultRecipe().Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestRecipeFile(t *testing.T) {
	got, err := DecodeRecipe([]byte("epochs: 5\nlr: 1e-1\nweight_decay: 5e-05\nbn_weight_decay: 0\nnesterov: true\ndecay_epochs: [1, 2.5]\nschedule: step\n"), "r.yaml", DefaultRecipe())
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultRecipe()
	zero := 0.0
	want.Epochs, want.LR, want.Nesterov, want.DecayEpochs, want.Schedule, want.BNWeightDecay = 5, 0.1, true, []float64{1, 2.5}, Step, &zero
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A recipe that is part of a larger file starts from the defaults, too.
func TestRecipeWithinAFile(t *testing.T) {
	var f struct {
		Recipe Recipe `yaml:"recipe"`
	}
	if err := yaml.UnmarshalWithOptions([]byte("recipe: {epochs: 3}\n"), &f, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	want := DefaultRecipe()
	want.Epochs = 3
	if diff := cmp.Diff(want, f.Recipe); diff != "" {
		t.Error(diff)
	}
	err := yaml.UnmarshalWithOptions([]byte("x: 1\nrecipe:\n  epochs: 3\n  momentun: 0.9\n"), &struct {
		X      int    `yaml:"x"`
		Recipe Recipe `yaml:"recipe"`
	}{}, yaml.Strict())
	if want := "momentun: is not a known field (did you mean momentum?)"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v; want %s", err, want)
	}
}

func TestRecipeRoundTrip(t *testing.T) {
	r := DefaultRecipe()
	tiny := 1e-7
	r.Mixup, r.BiasWeightDecay, r.DecayEpochs, r.Shuffle, r.WeightDecay = 0.2, &tiny, []float64{1}, false, 3e-9
	for name, codec := range map[string]struct {
		marshal   func(any) ([]byte, error)
		unmarshal func([]byte, any) error
	}{
		"json": {json.Marshal, json.Unmarshal},
		"yaml": {func(v any) ([]byte, error) { return yaml.Marshal(v) }, func(b []byte, v any) error { return yaml.Unmarshal(b, v) }},
	} {
		data, err := codec.marshal(r)
		if err != nil {
			t.Fatal(name, err)
		}
		var got Recipe
		if err := codec.unmarshal(data, &got); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, data)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if got.Hash() != r.Hash() {
			t.Errorf("%s: the hash changed", name)
		}
	}
}

// Every *.bad.yaml holds a faulty recipe and, in comments, the lines of the error.
func TestBadRecipes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, line := range strings.Split(string(data), "\n") {
			if text, ok := strings.CutPrefix(line, "# "); ok {
				want = append(want, text)
			}
		}
		_, err = LoadRecipe(file, DefaultRecipe())
		if err == nil {
			t.Errorf("%s: no error; want\n%s", file, strings.Join(want, "\n"))
			continue
		}
		got := strings.Split(strings.ReplaceAll(err.Error(), file, "FILE"), "\n")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", file, diff)
		}
	}
}

// Whatever changes a recipe changes its hash, and every field can be set by
// its key, has help, and has its key in all forms.
func TestEveryField(t *testing.T) {
	base := DefaultRecipe()
	text := map[reflect.Kind]string{reflect.Int: "77", reflect.Float64: "0.123", reflect.String: "other", reflect.Slice: "1,2", reflect.Pointer: "0.25"}
	for i, o := range Options() {
		f := reflect.TypeFor[Recipe]().Field(i)
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != o.Key || o.Help == "" {
			t.Errorf("%s: key %q in JSON, %q in YAML, help %q", f.Name, key, o.Key, o.Help)
		}
		r := base
		value := text[f.Type.Kind()]
		if f.Type == reflect.TypeFor[*int]() {
			value = "7"
		}
		if f.Type.Kind() == reflect.Bool {
			value = map[string]string{"true": "false", "false": "true"}[o.Default]
		}
		if err := r.Set(o.Key, value); err != nil {
			t.Errorf("%s: %v", o.Key, err)
		}
		if cmp.Equal(r, base) || r.Hash() == base.Hash() {
			t.Errorf("%s: setting it to %s changed nothing", o.Key, value)
		}
	}
	r := base
	for key, value := range map[string]string{"epochs": "1.5", "lr": "fast", "nesterov": "7", "batch": "", "learning_rate": "0.1"} {
		if err := r.Set(key, value); err == nil {
			t.Errorf("%s: %q was taken", key, value)
		}
	}
}

// Every number has a range, and both ends are checked.
func TestRangesAreChecked(t *testing.T) {
	v := reflect.ValueOf(DefaultRecipe())
	for i := range v.NumField() {
		key := recipeKey(v.Type().Field(i))
		var texts []string
		switch v.Field(i).Kind() {
		case reflect.Int:
			texts = []string{"-1", "99999999999"}
		case reflect.Float64, reflect.Pointer:
			texts = []string{"-0.5", "1e9", ".nan", ".inf"}
			if key == "clip_norm" { // any size
				texts = []string{"-0.5", ".nan", ".inf"}
			}
		case reflect.Slice:
			texts = []string{"0,1", "3,2", "1,99"}
			if v.Field(i).Type().Elem().Kind() == reflect.String { // patterns
				texts = []string{"a[", "a[=1"}
			}
		case reflect.String:
			texts = []string{"nonsense"}
		}
		for _, text := range texts {
			r := DefaultRecipe()
			if err := r.Set(key, text); err != nil {
				continue
			}
			var bad *strict.Error
			if err := r.Validate(); !errors.As(err, &bad) || !strings.Contains(err.Error(), "recipe."+key+": ") {
				t.Errorf("%s: %s gives error %v", key, text, err)
			}
		}
	}
}

func TestDecodeFields(t *testing.T) {
	got, err := DecodeFields(map[string]any{"epochs": 7, "lr": 0.3}, "net.yaml", DefaultRecipe())
	if err != nil || got.Epochs != 7 || got.LR != 0.3 || got.Batch != 128 {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = DecodeFields(map[string]any{"epoch": 7}, "net.yaml", DefaultRecipe())
	if want := "net.yaml: recipe.epoch: is not a known field (did you mean epochs?)"; err == nil || err.Error() != want {
		t.Errorf("error %v; want %s", err, want)
	}
}
