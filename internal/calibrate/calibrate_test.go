package main

import (
	"bytes"
	"io"
	"math"
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
	for _, place := range [][3]string{{"statistics.md", begin, end}, {"statistics.md", beginLoops, endLoops}, {"search.md", beginSearch, endSearch}} {
		text, err := os.ReadFile(filepath.Join("docs", place[0]))
		if err != nil || strings.Count(string(text), place[1]) != 1 || strings.Count(string(text), place[2]) != 1 {
			t.Errorf("docs/%s has no place for the tables between %s and %s, %v", place[0], place[1], place[2], err)
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

// A short form of the table of design loops: good rules are found, bad ones seldom kept.
func TestLoops(t *testing.T) {
	t.Chdir(root)
	trained, err := real()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := cut(trained["anynetx-a"].errors())
	if err != nil {
		t.Fatal(err)
	}
	images := filepath.Join(t.TempDir(), "images")
	tinydata.Write(t, images, 120)
	cases := loopCases()
	run := func(c loopCase, runs int) (sum looped) {
		all, err := simulation{runs, 1}.looped(t.Context(), planted{errs, c.plants}, images, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			sum.tried, sum.kept, sum.bad, sum.wrong, sum.found, sum.trainings = sum.tried+l.tried, sum.kept+l.kept, sum.bad+l.bad, sum.wrong+l.wrong, sum.found+l.found, sum.trainings+l.trainings
			sum.gain += l.gain / float64(runs)
		}
		t.Logf("%s, alpha %g: %+v", c.name, c.alpha, sum)
		return sum
	}
	// Two bad rules are tried of each loop nearly always, and a fortieth of them is kept.
	if bad := run(cases[0], 6); bad.bad < 9 || bad.wrong > 2 || math.Abs(bad.gain) > loopDelta/2 {
		t.Errorf("%+v", bad)
	}
	// The better one of the good rules is found by nearly every loop.
	if mixed := run(cases[3], 3); mixed.found < 3 || mixed.gain < loopDelta || mixed.trainings > 3*cases[3].budget {
		t.Errorf("%+v", mixed)
	}
}
