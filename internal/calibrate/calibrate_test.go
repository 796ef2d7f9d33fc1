package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netspace/internal/tinydata"
	"netspace/stats"
	"netspace/study"
)

var root = filepath.Join("..", "..")

// A short form of the table of decisions: seldom wrong, mostly right, and for less than the fixed comparison takes.
func TestDecisionsOfRealPopulations(t *testing.T) {
	t.Chdir(root)
	trained, err := real()
	if err != nil {
		t.Fatal(err)
	}
	a, b := trained["anynetx-a"], trained["anynetx-d"]
	if len(a) != 150 || len(b) != 150 || len(trained["regnetx"]) != 150 {
		t.Fatalf("%d, %d and %d networks", len(a), len(b), len(trained["regnetx"]))
	}
	emax, err := stats.DefaultEMax(a.errors(), b.errors())
	if err != nil {
		t.Fatal(err)
	}
	s := simulation{60, 1}
	const few = 0.05 + 0.085 // three standard deviations of a share of 5 %
	for _, c := range []struct {
		d, accepted, most float64 // at least, of the simulations; networks of each space on average
	}{{-1, 0.95, 30}, {0, 0.65, 80}, {delta, 0, 80}, {1, 0, 40}} {
		got, err := s.decide(t.Context(), a, b.shifted(a, emax, c.d), emax, c.d, design5, true)
		if err != nil {
			t.Fatal(err)
		}
		for what := range got {
			got[what] /= float64(s.runs)
		}
		t.Logf("D = %g: %v", c.d, got)
		if got["wrong"] > few || got["covered"] < 1-few {
			t.Errorf("D = %g: %.2f of the findings are wrong, %.2f of the intervals right", c.d, got["wrong"], got["covered"])
		}
		if got["accepted"] < c.accepted || c.d == 1 && got["worse"] < 0.95 || got["cost"] > c.most {
			t.Errorf("D = %g: accepted %.2f, worse %.2f, for %.1f trainings", c.d, got["accepted"], got["worse"], got["cost"])
		}
	}
}

func TestTablesAreWritten(t *testing.T) {
	t.Chdir(root)
	file := filepath.Join(t.TempDir(), "statistics.md")
	if err := os.WriteFile(file, []byte("before\n"+begin+"old\n"+end+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var texts [2][]byte
	for i := range texts {
		if err := (document{begin, end, simulation{1, 1}.tables}).write(t.Context(), file, io.Discard); err != nil {
			t.Fatal(err)
		}
		texts[i], _ = os.ReadFile(file)
	}
	text := string(texts[0])
	if !bytes.Equal(texts[0], texts[1]) || !strings.HasPrefix(text, "before\n"+begin+"1 simulations") || !strings.HasSuffix(text, end+"after\n") ||
		strings.Contains(text, "old") || strings.Count(text, "\n| anynetx-a |") != 4 || strings.Contains(text, "NaN") {
		t.Errorf("%s", text)
	}
	if err := (document{begin, end, simulation{1, 1}.tables}).write(t.Context(), "LICENSE", io.Discard); err == nil {
		t.Error("tables were written into a document that has no place for them")
	}
	for name, lines := range map[string][2]string{"statistics.md": {begin, end}, "search.md": {beginSearch, endSearch}} {
		text, err := os.ReadFile(filepath.Join("docs", name))
		if err != nil || strings.Count(string(text), lines[0]) != 1 || strings.Count(string(text), lines[1]) != 1 {
			t.Errorf("docs/%s has no place for the tables, %v", name, err)
		}
	}
}

// A short form of the benchmark of searches: halving finds better networks for the same trainings.
func TestSearches(t *testing.T) {
	t.Chdir(root)
	trained, err := real()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	tinydata.Write(t, filepath.Join(dir, "images"), 120)
	var r replay
	for _, name := range []string{"anynetx-a", "anynetx-d", "regnetx"} {
		r.population = append(r.population, trained[name]...)
	}
	var sums [2]float64
	for k, schedule := range []string{study.Random, study.Halving} {
		for seed := range uint64(4) {
			s, err := r.search(t.Context(), filepath.Join(dir, "images"), schedule, 20, seed+1)
			if err != nil {
				t.Fatal(err)
			}
			sums[k] += s.error / 4
		}
	}
	if t.Logf("%.2f %% and %.2f %%", sums[0], sums[1]); sums[1] > sums[0] {
		t.Errorf("halving finds errors of %.2f %%, random search of %.2f %%", sums[1], sums[0])
	}
}
