package study

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/strict"
)

// rows reads an export.
func rows(t *testing.T, export string) (all []Trial) {
	t.Helper()
	for line := range strings.Lines(export) {
		var r Trial
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// Repeats train networks again with other seeds, and change nothing about the first trainings.
func TestRepeats(t *testing.T) {
	s, _ := finishedStudy(t)
	before := s.exportAs(t, JSONL)
	s.edit(t, "samples: 3", "samples: 3\nrepeats: {times: 2, networks: 2}")
	s.run(t, 2)
	var first strings.Builder
	seeds, ids, errs := map[uint64]bool{}, map[string]bool{}, map[string][]float64{}
	export := s.exportAs(t, JSONL)
	lines := slices.Collect(strings.Lines(export))
	for i, r := range rows(t, export) {
		if r.State != Done {
			t.Errorf("%s #%d, rerun %d is %s", r.Space, r.Index, r.Rerun, r.State)
		}
		seeds[r.Seed], ids[r.ID] = true, true
		if r.Rerun == 0 {
			first.WriteString(lines[i])
		}
		key := r.Spec.Key()
		errs[key] = append(errs[key], r.Error)
		if want := len(errs[key]) - 1; r.Rerun != want || r.Rerun > 2 || r.Rerun > 0 && r.Index > 1 {
			t.Errorf("rerun %d of %s #%d where %d was to come", r.Rerun, r.Space, r.Index, want)
		}
	}
	if diff := cmp.Diff(before, first.String()); diff != "" {
		t.Errorf("the first trainings changed: %s", diff)
	}
	if len(lines) != 6+8 || len(seeds) != len(lines) || len(ids) != len(lines) {
		t.Errorf("%d rows of %d seeds and %d identities; want 14", len(lines), len(seeds), len(ids))
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(errs)), func(e []float64) bool { return len(e) > 1 && slices.Max(e) > slices.Min(e) }) {
		t.Errorf("no rerun gave another error: %v", errs)
	}
	if events := s.run(t, 1); len(events) > 0 {
		t.Errorf("trained again: %+v", events)
	}
	st, err := Open(t.Context(), s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Status()[0]; got.Done != 3 || got.Reruns != 4 || got.RerunsDone != 4 {
		t.Errorf("%+v", got)
	}
	if v := st.View(st.history.now); v.Trials != 14 || v.Done != 14 || v.Best == nil {
		t.Errorf("%+v", v)
	}

	// Fewer repeats hide some, and lose none.
	s.edit(t, "repeats: {times: 2, networks: 2}", "repeats: 1")
	if events := s.run(t, 1); len(events) == 0 {
		t.Error("the third networks were not trained again")
	}
	s.edit(t, "repeats: 1", "repeats: 0")
	s.run(t, 1)
	if got := s.exportAs(t, JSONL); got != before {
		t.Error(cmp.Diff(before, got))
	}
	s.edit(t, "repeats: 0", "repeats: {times: 2, networks: 2}")
	if events := s.run(t, 1); len(events) > 0 || s.exportAs(t, JSONL) != export {
		t.Errorf("%+v", events)
	}
}

// Of two folders the merged one asks for all repeats.
func TestMergeRepeats(t *testing.T) {
	s, _ := finishedStudy(t)
	to := filepath.Join(t.TempDir(), "copy")
	if err := Copy(t.Context(), s.dir, to); err != nil {
		t.Fatal(err)
	}
	s.edit(t, "samples: 3", "samples: 3\nrepeats: {times: 1, networks: 1}")
	s.run(t, 1)
	m, err := Merge(t.Context(), to, s.dir)
	if err != nil || m.Results != 2 || m.Networks != 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	text, err := os.ReadFile(filepath.Join(to, fileName))
	if err != nil || !strings.Contains(string(text), "repeats: {times: 1, networks: 1}") {
		t.Errorf("%s, %v", text, err)
	}
	merged := s
	merged.dir = to
	if got, want := merged.export(t), s.export(t); got != want {
		t.Error(cmp.Diff(want, got))
	}
}

func TestReadRepeats(t *testing.T) {
	read := func(text string) (Repeats, error) {
		doc, err := strict.Parse([]byte(text), "f")
		if err != nil {
			t.Fatal(err)
		}
		f := doc.Root()
		r := readRepeats(doc, f)
		f.Finish()
		return r, doc.Err()
	}
	for text, want := range map[string]Repeats{
		"{}": {}, "repeats: 0": {}, "repeats: 100": {Times: 100}, "repeats: {times: 3}": {Times: 3}, "repeats: {times: 3, networks: 7}": {3, 7},
	} {
		if got, err := read(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"repeats: -1", "repeats: 101", "repeats: x", "repeats: 1.5", "repeats: [1]", "repeats: {networks: 3}", "repeats: {times: 1, networks: 0}", "repeats: {times: 1, x: 2}"} {
		var faults *strict.Error
		if _, err := read(text); !errors.As(err, &faults) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
