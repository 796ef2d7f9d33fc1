package train

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"netspace/weights"
	"netspace/weights/safetensors"
)

// bytesOf reads the tensors of a file by name.
func bytesOf(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := safetensors.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, x := range f.Tensors {
		all[x.Name] = x.Data
	}
	return all
}

// What is frozen has the bits that it began with, its statistics and averages too; the rest moves.
func TestFreeze(t *testing.T) {
	j := testJob(t, testRecipe())
	j.Recipe.Freeze, j.Recipe.LayerRates, j.Recipe.EMA = []string{"stem.*", "s1.b1.f.a*"}, []string{"head.*=2", "head.fc.bias=0"}, 0.9
	j.Weights = filepath.Join(t.TempDir(), "w.safetensors")
	if _, err := Run(context.Background(), j); err != nil {
		t.Fatal(err)
	}
	before := map[string][]byte{}
	for _, x := range weights.Initial(j.Graph, j.Seed, false).Tensors {
		before[x.Name] = x.Data
	}
	kept := 0
	for name, after := range bytesOf(t, j.Weights) {
		frozen := strings.HasPrefix(name, "stem.") || strings.HasPrefix(name, "s1.b1.f.a") || name == "head.fc.bias"
		if frozen {
			kept++
		}
		if slices.Equal(before[name], after) != frozen {
			t.Errorf("%s: frozen %t, the same %t", name, frozen, !frozen)
		}
	}
	if kept < 9 {
		t.Errorf("%d tensors were to be kept", kept)
	}
	j.Recipe.Freeze = []string{"stam.*"}
	if _, err := Run(context.Background(), j); err == nil || !strings.Contains(err.Error(), `pattern "stam.*" matches no parameter`) {
		t.Errorf("a misspelt pattern: %v", err)
	}
}

func TestFineTuningIsPartOfTheIdentityWhereUsed(t *testing.T) {
	plain, other := DefaultRecipe(), DefaultRecipe()
	other.LayerRates = []string{"head.*=2"}
	if strings.Contains(string(plain.Identity()), "freeze") || plain.Hash() == other.Hash() {
		t.Errorf("%s and %s", plain.Identity(), other.Identity())
	}
}
