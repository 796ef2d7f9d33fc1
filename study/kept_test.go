package study

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/arch"
	"netspace/graph"
	"netspace/train"
)

// testdata/v1 is what the first version of the format left: a study that was
// killed while it trained (with a checkpoint, and a journal whose end is torn),
// and what the same program exported in the end, with five networks of each space.
func TestFolderOfVersion1IsContinuedAndExtended(t *testing.T) {
	want, err := os.ReadFile("testdata/v1/export.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	if err := os.CopyFS(base, os.DirFS("testdata/v1")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(base) // its study file names images and a space beside it
	s := tinyStudy{dir: filepath.Join(base, "kept"), data: filepath.Join(base, "images"), file: filepath.Join(base, "kept", fileName)}
	writeImages(t, s.data, 160)
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	s.text = string(text)

	for _, samples := range []string{"4", "5"} {
		s.edit(t, "samples: 4", "samples: "+samples) // the first time nothing changes
		s.run(t, 2)
		var wanted strings.Builder
		for line := range strings.Lines(string(want)) {
			if samples == "5" || !strings.Contains(line, `"index":4,`) {
				wanted.WriteString(line)
			}
		}
		if diff := cmp.Diff(wanted.String(), s.exportAs(t, JSONL)); diff != "" {
			t.Fatalf("with %s networks a space:\n%s", samples, diff)
		}
	}
}

// Results of earlier versions are found again by these.
func TestIdentitiesStay(t *testing.T) {
	recipe := train.DefaultRecipe()
	stem := arch.Stem{Type: arch.CIFARStem, Width: 16}
	staged := arch.AnyNet{Stem: stem, Activation: graph.ReLU, SE: 0.25, Stages: []arch.Stage{{Depth: 2, Width: 24, Stride: 1, Bottleneck: 2, GroupWidth: 4}, {Depth: 1, Width: 64, Stride: 2, Bottleneck: 0.5, GroupWidth: 16}}}
	drawn := staged.Spec()
	drawn.Recipe, drawn.Resolution = map[string]any{"lr": 0.3}, 24
	for _, c := range []struct {
		spec   arch.Spec
		engine string
		id     string
		seed   uint64
	}{
		{arch.RegNet{Depth: 13, W0: 24, WA: 36, WM: 2.5, GroupWidth: 8, Bottleneck: 1, Stem: stem, Activation: graph.ReLU}.Spec(), "", "fe931200c666b439", 5537864117350730},
		{staged.Spec(), "", "33b83be291da26f7", 4907248557852041},
		{staged.Spec(), "reference", "367c695f372240a8", 6915842701418677},
		{drawn, "", "6dd21a70c49f9a91", 8146750594282108},
		{arch.EffNet{Stem: stem, Activation: graph.SiLU, SE: 0.25, HeadWidth: 64, Stages: []arch.EffStage{{Depth: 1, Width: 24, Stride: 2, Expand: 6, Kernel: 5}}}.Spec(), "", "673bafe60483bd1c", 7104184583142041},
	} {
		study := studyRecord{Data: "0123456789abcdef", Input: Input{Channels: 1, Height: 28, Width: 28, Classes: 10}}
		id, seed, err := identify(c.spec, recipe, study, Settings{Seed: 9, Engine: c.engine})
		if err != nil || id != c.id || seed != c.seed {
			t.Errorf("%s of engine %q: trial %s with seed %d (%v); want %s with %d", c.spec.Key(), c.engine, id, seed, err, c.id, c.seed)
		}
	}
}
