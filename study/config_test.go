package study

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/metric"
	"netspace/space"
	"netspace/train"
	"netspace/trial"
)

// Every rule of study files has a bad file that breaks it; its first lines say
// what the error must contain.
func TestBadStudyFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = LoadConfig(file)
		if err == nil {
			t.Errorf("%s: no error", file)
			continue
		}
		wants := 0
		for line := range strings.Lines(string(text)) {
			want, ok := strings.CutPrefix(line, "# want: ")
			if !ok {
				continue
			}
			wants++
			if want = strings.TrimSpace(want); !strings.Contains(err.Error(), want) {
				t.Errorf("%s: want %q in\n%v", file, want, err)
			}
		}
		if got := strings.Count(err.Error(), "\n") + 1; got != wants {
			t.Errorf("%s: %d faults, want %d:\n%v", file, got, wants, err)
		}
	}
}

func TestFullStudyFile(t *testing.T) {
	got, err := LoadConfig("testdata/full.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	se, head, dropPath, dropout := 0.25, 0, 0.1, 0.2
	recipe := train.DefaultRecipe()
	recipe.Epochs, recipe.LR, recipe.WeightDecay = 5, 0.1, 5e-5
	want := Config{
		Name: "full-1.0_x", Samples: 100, Spaces: []string{"anynetx-a", "my/space.yaml"},
		Data:   trial.Data{Name: "some/folder", Train: 10, Validation: 5, Resolution: 32},
		Limits: DefaultLimits(),
		Settings: Settings{
			Network: space.Template{Block: "Y", Stem: space.Stem{Type: "cifar", Width: 16}, Stages: 3, Strides: []int{1, 2, 2},
				Activation: "silu", SE: &se, HeadWidth: &head, DropPath: &dropPath, Dropout: &dropout},
			Regime: space.Regime{Bounds: metric.Bounds{metric.Flops: {Min: 4e6, Max: 5e6}, metric.Params: {Max: 8e6}, metric.Acts: {Min: 1000, Max: math.Inf(1)}}, Rules: []string{"params_M <= 3 + 5.5 * flops_B"}},
			Recipe: recipe, Seed: 1<<53 - 1,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	// The settings survive their way through a journal.
	if changes, err := got.changes(want.Settings); err != nil || len(changes) > 0 {
		t.Fatalf("%v, %v", changes, err)
	}
}

func TestExamplesAreGood(t *testing.T) {
	files, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if _, err := LoadConfig(file); err != nil {
			t.Error(err)
		}
	}
}
