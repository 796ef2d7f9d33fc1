package train

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/strict"
)

// Whatever is in a recipe, it is refused with its faults, or written as it is read.
func FuzzDecodeRecipe(f *testing.F) {
	for _, seed := range []string{"epochs: 5\nbatch: 128\nlr: 0.1\nweight_decay: 5e-5\n", `{"optimizer":"adamw","schedule":"steps","decay_epochs":[1,2.5]}`, "epochs: -1\nlr: x", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeRecipe(data, "r.yaml", DefaultRecipe())
		if err != nil {
			var faults *strict.Error
			if !errors.As(err, &faults) || err.Error() == "" {
				t.Fatalf("%q is a %T", err, err)
			}
			return
		}
		if err := r.Validate(); err != nil {
			t.Fatalf("read without error, but %v", err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var again Recipe
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(string(r.Identity()), string(again.Identity())); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	})
}

// Whatever a flag says, it sets its field or is refused, and no other field changes.
func FuzzSetRecipe(f *testing.F) {
	for _, seed := range [][2]string{{"lr", "0.1"}, {"epochs", "5"}, {"decay_epochs", "1, 2"}, {"optimizer", "sgd"}, {"lr", "0.1\nepochs: 7"}, {"nesterov", "yes"}, {"lr", ""}, {"lr: 1, epochs", "2"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, key, text string) {
		before, r := fields(t, DefaultRecipe()), DefaultRecipe()
		err := r.Set(key, text)
		if err != nil && err.Error() == "" {
			t.Error("no message")
		}
		for name, value := range fields(t, r) {
			if string(value) != string(before[name]) && (err != nil || name != key) {
				t.Errorf("%s = %q sets %s to %s (%v)", key, text, name, value, err)
			}
		}
	})
}

func fields(t *testing.T, r Recipe) map[string]json.RawMessage {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		if r.Validate() == nil {
			t.Fatal(err)
		}
		return nil
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}
