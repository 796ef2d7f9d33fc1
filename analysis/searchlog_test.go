package analysis

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A log of before it named what a model of latency decided says so by what was measured, when, and who took part.
func TestReadEarlierSearchLog(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]map[int]bool{
		`{"drawn":4,"rungs":[{"networks":[2,0]}],"latency":{"measured":{"0":1,"2":2,"3":9},"late":{"2":true},"predicted":2}}`: {1: false, 2: true},
		`{"drawn":4,"rungs":[],"latency":{"measured":{"0":1},"predicted":0}}`:                                                 {},
		`{"drawn":4,"rungs":[{"networks":[2,0]}],"latency":{"measured":{"0":1},"modelled":{"2":true}}}`:                       {2: true},
	} {
		if err := os.WriteFile(filepath.Join(dir, SearchFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := ReadSearchLog(dir)
		if err != nil || !cmp.Equal(l.Latency.Modelled, want) {
			t.Errorf("%s: %v, %v", text, err, cmp.Diff(want, l.Latency.Modelled))
		}
	}
}
