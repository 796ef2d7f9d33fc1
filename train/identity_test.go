package train

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// everyField is a recipe in which every field that may be absent is stated.
func everyField() Recipe {
	r := DefaultRecipe()
	half, pad := 0.5, 2
	r.DecayEpochs, r.BNWeightDecay, r.BiasWeightDecay, r.Pad, r.Lighting = []float64{3, 6}, &half, &half, &pad, &half
	r.Schedule, r.Optimizer, r.LR = Step, AdamW, 1e-3
	return r
}

// Checkpoints and results of earlier versions are found again by these.
func TestRecipeHashesStay(t *testing.T) {
	for _, c := range []struct {
		recipe Recipe
		want   string
	}{
		{DefaultRecipe(), "abf1ea9a73dd4779"},
		{everyField(), "34b7372ba37e3565"},
	} {
		if got := c.recipe.Hash(); got != c.want {
			t.Errorf("hash %s of recipe %s; want %s", got, c.recipe.Identity(), c.want)
		}
		var read Recipe
		if err := json.Unmarshal(c.recipe.Identity(), &read); err != nil || !reflect.DeepEqual(read, c.recipe) {
			t.Errorf("the identity %s does not say all of the recipe (%v)", c.recipe.Identity(), err)
		}
	}
}

// A recipe that gains a field keeps its identity, unless the field says something.
func TestLaterFieldsLeaveIdentitiesAlone(t *testing.T) {
	type before struct {
		Epochs int      `json:"epochs"`
		Pad    *int     `json:"pad,omitempty"`
		Decays []string `json:"decays,omitempty"`
	}
	type after struct {
		Epochs int      `json:"epochs"`
		Later  float64  `json:"later" identity:"omitdefault"`
		Pad    *int     `json:"pad,omitempty"`
		Decays []string `json:"decays,omitempty"`
	}
	encode := func(v, def any) string { return string(canonical(reflect.ValueOf(v), reflect.ValueOf(def))) }
	def := after{Epochs: 10, Later: 0.5}
	was := encode(before{Epochs: 10}, before{Epochs: 10})
	if is := encode(def, def); is != was || is != `{"epochs":10}` {
		t.Errorf("%s, was %s", is, was)
	}
	for _, later := range []float64{0, 1} {
		if is := encode(after{Epochs: 10, Later: later}, def); is == was {
			t.Errorf("a recipe with %v in place of the default has the identity of one without", later)
		}
	}
}

// Every field that is not of version 1 must be tagged.
func TestFieldsOfVersion1(t *testing.T) {
	const version1 = 41
	n := 0
	for i := range reflect.TypeFor[Recipe]().NumField() {
		if reflect.TypeFor[Recipe]().Field(i).Tag.Get("identity") == "" {
			n++
		}
	}
	if n != version1 {
		t.Errorf("%d fields are always part of the identity, which are %d in version 1: tag later ones `identity:\"omitdefault\"`", n, version1)
	}
}

// Activations in float32 are what recipes had before there was a choice, said or not.
func TestActivationsInTheIdentity(t *testing.T) {
	before := DefaultRecipe().Hash()
	for word, same := range map[string]bool{"float32": true, "bf16": false} {
		r, err := DecodeRecipe([]byte("activations: "+word+"\n"), "recipe.yaml", DefaultRecipe())
		if err != nil {
			t.Fatal(err)
		}
		if r.Activations.String() != word || (r.Hash() == before) != same {
			t.Errorf("%s: activations in %s, identity %s", word, r.Activations, r.Identity())
		}
		var read Recipe
		if err := json.Unmarshal(r.Identity(), &read); err != nil || !reflect.DeepEqual(read, r) {
			t.Errorf("the identity %s does not say all of the recipe (%v)", r.Identity(), err)
		}
		if data, err := json.Marshal(r); err != nil || strings.Contains(string(data), "activations") == same {
			t.Errorf("%s: written as %s (%v)", word, data, err)
		}
	}
}
