package study

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/engine"
	"netspace/engine/reference"
	"netspace/trial"
)

func TestCopy(t *testing.T) {
	s, want := finishedStudy(t)
	write(t, filepath.Join(s.dir, checkpointDir, "0000000000000001", "1", "checkpoint"), "")
	journal := filepath.Join(s.dir, journalDir, hostName()+"-0.jsonl")
	text, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	write(t, journal, string(text)+`{"crc":"torn`)
	to := filepath.Join(t.TempDir(), "copy")
	if err := Copy(t.Context(), s.dir, to); err != nil {
		t.Fatal(err)
	}
	c := s
	c.dir = to
	if got := c.export(t); got != want {
		t.Fatal(cmp.Diff(want, got))
	}
	if events := c.run(t, 1); len(events) > 0 {
		t.Errorf("the copy trained something: %+v", events)
	}
	var request *RequestError
	if err := Copy(t.Context(), s.dir, to); !errors.As(err, &request) {
		t.Errorf("copied over a study: %v", err)
	}
	if err := Copy(t.Context(), t.TempDir(), filepath.Join(t.TempDir(), "x")); !errors.Is(err, ErrNoStudy) {
		t.Errorf("copied nothing: %v", err)
	}
}

// Two clusters train parts of one study: merged it has the results of both, and lacks nothing.
func TestMerge(t *testing.T) {
	all := newTinyStudy(t)
	all.edit(t, "samples: 3", "samples: 5")
	all.edit(t, "[anynetx-a, regnetx]", "[anynetx-a, regnetx, anynetx-e]")
	all.run(t, 2)
	want := all.export(t)

	base := filepath.Dir(all.file)
	part := func(name, samples, spaces string) tinyStudy {
		s := all
		s.dir, s.file = filepath.Join(base, name), filepath.Join(base, name+".yaml")
		s.edit(t, "samples: 5", samples)
		s.edit(t, "spaces: [anynetx-a, regnetx, anynetx-e]", "# which ones\nspaces: "+spaces)
		s.run(t, 1)
		return s
	}
	a := part("a", "samples: 5", "[anynetx-a]")
	b := part("b", "samples: 4", "[regnetx, anynetx-e]")
	m, err := Merge(t.Context(), a.dir, b.dir)
	if err != nil || m.Networks != 8 || m.Results == 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	if m, err := Merge(t.Context(), a.dir, b.dir); err != nil || m != (Merged{}) {
		t.Errorf("merged again: %+v, %v", m, err)
	}
	text, err := os.ReadFile(filepath.Join(a.dir, fileName))
	if err != nil || !strings.Contains(string(text), "[anynetx-a, regnetx, anynetx-e]") || !strings.Contains(string(text), "# which ones") {
		t.Fatalf("%s, %v", text, err)
	}
	a.file = filepath.Join(a.dir, fileName)
	a.run(t, 1) // the fifth networks of b's spaces
	if got := a.export(t); got != want {
		t.Fatal(cmp.Diff(want, got))
	}

	other := newTinyStudy(t)
	other.edit(t, "lr: 0.05", "lr: 0.06")
	other.run(t, 1)
	before := snapshot(t, a.dir)
	var request *RequestError
	if _, err := Merge(t.Context(), a.dir, other.dir); !errors.As(err, &request) || !strings.Contains(err.Error(), "recipe.lr: 0.06, was 0.05") {
		t.Errorf("another study: %v", err)
	}
	if diff := cmp.Diff(before, snapshot(t, a.dir)); diff != "" {
		t.Errorf("a refused merge changed the folder: %s", diff)
	}
}

func TestCheck(t *testing.T) {
	s, _ := finishedStudy(t)
	check := func() Checked {
		t.Helper()
		st, err := Open(t.Context(), s.dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := st.Check(t.Context(), CheckOptions{Retrain: 2, Trainer: trial.Builtin{Open: func(string) (engine.Engine, error) { return reference.New(), nil }}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := snapshot(t, s.dir)
	if c := check(); !c.OK() || c.Networks != 6 || c.Results != 6 || len(c.Retrained) != 2 || c.Differing != "" {
		t.Fatalf("%+v", c)
	}
	if diff := cmp.Diff(before, snapshot(t, s.dir)); diff != "" {
		t.Errorf("a check changed the folder: %s", diff)
	}
	// A result that was made up, with a right checksum.
	first := s.trials(t)[0]
	forge(t, s.dir, `"done":{"trial":"`+first.ID+`","error":1,"error5":0,"seconds":1,"images_per_second":1,"epochs":[]}`)
	found := false
	for seed := range uint64(20) {
		st, err := Open(t.Context(), s.dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := st.Check(t.Context(), CheckOptions{Retrain: 1, Seed: seed, Trainer: trial.Builtin{Open: func(string) (engine.Engine, error) { return reference.New(), nil }}})
		if err != nil {
			t.Fatal(err)
		}
		if r := c.Retrained[0]; r.ID == first.ID {
			found = true
			if c.OK() || r.Same || r.Error != 1 {
				t.Errorf("%+v", r)
			}
			break
		}
	}
	if !found {
		t.Error("20 draws of 6 trials did not hit one of them")
	}
}
