package train

import (
	"context"
	"math"
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

// What is frozen has the bits that it began with, its statistics and averages too, also where statistics are recomputed;
// the rest moves.
func TestFreeze(t *testing.T) {
	for _, precise := range []int{0, 1} {
		testFreeze(t, precise)
	}
}

func testFreeze(t *testing.T, precise int) {
	j := testJob(t, testRecipe())
	j.Recipe.Freeze, j.Recipe.LayerRates, j.Recipe.EMA = []string{"stem.*", "s1.b1.f.a*"}, []string{"head.*=2", "head.fc.bias=0"}, 0.9
	j.Recipe.PreciseBN = precise * j.Recipe.Batch
	j.Weights = filepath.Join(t.TempDir(), "w.safetensors")
	if _, err := Run(context.Background(), j); err != nil {
		t.Fatal(err)
	}
	before := map[string][]byte{}
	for _, x := range weights.Initial(j.Graph, j.Seed, false).Tensors {
		before[x.Name] = x.Data
	}
	names, err := j.Recipe.Frozen(j.Graph)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for name, after := range bytesOf(t, j.Weights) {
		frozen := strings.HasPrefix(name, "stem.") || strings.HasPrefix(name, "s1.b1.f.a") || name == "head.fc.bias"
		if frozen {
			kept++
		}
		if slices.Contains(names, name) != frozen {
			t.Errorf("%s: frozen %t, not by Frozen", name, frozen)
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

// Where all is frozen a step computes what an evaluation does: its loss is that of the same images evaluated.
func TestFrozenNormsNormaliseAsInAnEvaluation(t *testing.T) {
	j := testJob(t, testRecipe())
	j.Recipe.Freeze, j.Recipe.Epochs, j.Recipe.Augment, j.Recipe.LabelSmoothing = []string{"*"}, 1, false, 0
	j.Recipe.DropPath, j.Recipe.Dropout, j.Recipe.Mixup, j.Recipe.CutMix = 0, 0, 0, 0
	j.Recipe.Batch = j.Data.Train.Len()
	j.Data.Val = j.Data.Train
	r, err := Run(context.Background(), j)
	if err != nil {
		t.Fatal(err)
	}
	e := r.Epochs[0]
	if d := math.Abs(e.TrainLoss - e.ValLoss); d > 1e-5*e.ValLoss || e.TrainError != e.ValError {
		t.Errorf("a loss of %v and an error of %v %%, evaluated %v and %v %%", e.TrainLoss, e.TrainError, e.ValLoss, e.ValError)
	}
}

func TestFineTuningIsPartOfTheIdentityWhereUsed(t *testing.T) {
	plain, other := DefaultRecipe(), DefaultRecipe()
	other.LayerRates = []string{"head.*=2"}
	if strings.Contains(string(plain.Identity()), "freeze") || plain.Hash() == other.Hash() {
		t.Errorf("%s and %s", plain.Identity(), other.Identity())
	}
	// Results of when frozen BNs normalised by the batch are not those of now.
	for text, r := range map[string]Recipe{"freeze": {Freeze: []string{"stem.*"}}, "rate": {LayerRates: []string{"stem.*=0"}}} {
		if !strings.HasSuffix(string(r.Identity()), `,"frozen_bn":"running"}`) {
			t.Errorf("%s: %s", text, r.Identity())
		}
	}
	if strings.Contains(string(other.Identity()), "frozen_bn") {
		t.Errorf("nothing is frozen: %s", other.Identity())
	}
}
