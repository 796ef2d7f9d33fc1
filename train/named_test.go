package train

import (
	"os"
	"slices"
	"strings"
	"testing"

	"netspace/arch"
)

// Recipes by name are what the page says, a file may begin from one, and their identity is that of what they come to.
func TestNamedRecipes(t *testing.T) {
	page, err := os.ReadFile("../docs/training.md")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(Named(), []string{"dds-2020", "modern"}) {
		t.Errorf("%v", Named())
	}
	for _, name := range Named() {
		text, _ := namedRecipe(name)
		if !strings.Contains(string(page), "`--recipe "+name+"`:\n\n```yaml\n"+string(text)+"```") {
			t.Errorf("%s is not on the page as it is", name)
		}
		want, err := LoadRecipe(name, DefaultRecipe())
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeRecipe([]byte("lr: 0.3\nfrom: "+name+"\n"), "r.yaml", DefaultRecipe())
		if err != nil {
			t.Fatal(err)
		}
		if got.LR != 0.3 || got.Hash() == want.Hash() {
			t.Errorf("%s changed: %+v", name, got)
		}
		if got.LR = want.LR; got.Hash() != want.Hash() || got.Epochs < 100 || got.EMA == 0 || got.WarmupEpochs != 5 {
			t.Errorf("%s by name and from a file: %+v, %+v", name, want, got)
		}
	}
	for text, want := range map[string]string{"from: modem": `modern`, "from: [modern]": "must be a word", "from: modern\nepochs: 3": "warmup_epochs"} {
		if _, err := DecodeRecipe([]byte(text), "r.yaml", DefaultRecipe()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := LoadRecipe("dds-2021", DefaultRecipe()); err == nil || !strings.Contains(err.Error(), "recipes by name are dds-2020, modern") {
		t.Errorf("no such file: %v", err)
	}
}

// From the head down to the stem, block by block, whatever the parameters are called within.
func TestLayerDecay(t *testing.T) {
	r := DefaultRecipe()
	r.LayerDecay, r.LayerRates, r.Freeze = 0.5, []string{"s2.b1.*=3"}, []string{"stem.bn.*"}
	spec, err := arch.ParseSpec([]byte("family: anynet\nstem: {type: cifar, width: 8}\nstages: [{depth: 2, width: 8, stride: 1, group_width: 8}, {depth: 1, width: 16, stride: 2, group_width: 8}]\n"), "net")
	if err != nil {
		t.Fatal(err)
	}
	g, err := spec.Graph(arch.Input{Height: 8, Width: 8, Channels: 1, Classes: 3})
	if err != nil {
		t.Fatal(err)
	}
	rates, err := r.rates(g)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"stem.conv": 1. / 16, "stem.bn": 0, "s1.b1": 1. / 8, "s1.b2": 1. / 4, "s2.b1": 3. / 2, "head.fc": 1}
	seen := map[string]bool{}
	for i, p := range g.Params {
		parts := strings.Split(p.Name, ".")
		part := parts[0] + "." + parts[1]
		seen[part] = true
		if rates[i] != want[part] {
			t.Errorf("%s has the rate %v, want %v", p.Name, rates[i], want[part])
		}
	}
	if len(seen) != len(want) {
		t.Errorf("%v", seen)
	}
}
