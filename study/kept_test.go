package study

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/internal/tinydata"
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
	tinydata.Write(t, s.data, 160)
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
		got := strings.ReplaceAll(s.exportAs(t, JSONL), `,"cause":"refused"`, "") // which that program did not know
		if diff := cmp.Diff(wanted.String(), got); diff != "" {
			t.Fatalf("with %s networks a space:\n%s", samples, diff)
		}
	}
}
