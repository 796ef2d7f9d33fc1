package analysis_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netspace/analysis"
	"netspace/interop"
	"netspace/space"
	"netspace/study"
)

// written writes a file and gives its path.
func written(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func opened(t testing.TB, path string, mapping ...string) analysis.Source {
	t.Helper()
	m, err := interop.ParseMapping(mapping...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := analysis.Open(context.Background(), path, m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lines are networks of a source as others would hand them on: as they were
// built, with their errors and nothing else.
func lines(t testing.TB, s analysis.Source) string {
	t.Helper()
	var b bytes.Buffer
	for _, tr := range s.Populations[0].Trials {
		line, err := json.Marshal(map[string]any{"spec": tr.Spec, "error": tr.Error})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

// A population of specs and errors says of its rules what the one that it was
// made of says, as far as networks as they are built tell it.
func TestRefineImported(t *testing.T) {
	made := drawn(t, "anynetx-a", 160, 7, func(n space.Network, rng *rand.Rand) float64 {
		e := noise(rng)
		if !ascends(n) {
			e += 2
		}
		return e
	})
	s := opened(t, written(t, "theirs.jsonl", lines(t, made)))
	if s.Imported == nil || s.Imported.Format != "jsonl" || s.Protocol != nil || s.Populations[0].Space != "theirs" || len(s.Imported.Unknown()) != 6 {
		t.Fatalf("%+v", s.Imported)
	}
	r, err := analysis.Refine(context.Background(), s, "anynetx-a", analysis.RefineOptions{Resamples: 1000})
	if err != nil {
		t.Fatal(err)
	}
	c, own := r.Candidates[0], candidate(t, refine(t, made, analysis.RefineOptions{Resamples: 1000}), "width never decreases")
	if c.Label != own.Label || c.Standing != analysis.Better || c.Log10 != own.Log10 {
		t.Errorf("first is %s, %s, %+v; of the study %+v", c.Label, c.Standing, c.Log10, own.Log10)
	}
	if c.Space.Network.Stages != 3 || c.Space.Network.Stem != (space.Stem{Type: "cifar", Width: 16}) {
		t.Errorf("what all networks share is not in the derived space: %+v", c.Space.Network)
	}
	var fault *study.RequestError
	if _, err := analysis.Refine(context.Background(), s, "no-such-space", analysis.RefineOptions{}); !errors.As(err, &fault) {
		t.Errorf("an unknown space: %v", err)
	}
}

// Group widths that narrow stages cut are of a network that shares them.
func TestRefineImportedGroups(t *testing.T) {
	made := drawn(t, "anynetx-c", 60, 8, func(_ space.Network, rng *rand.Rand) float64 { return noise(rng) })
	s := opened(t, written(t, "theirs.jsonl", lines(t, made)))
	r, err := analysis.Refine(context.Background(), s, "anynetx-b", analysis.RefineOptions{Resamples: 200})
	if err != nil {
		t.Fatal(err)
	}
	if c := candidate(t, r, "one group width for all stages"); c.Part != 60 {
		t.Errorf("%d of 60 networks share their group width", c.Part)
	}
}

const spec = `"spec":{"family":"regnet","depth":13,"w0":24,"wa":36,"wm":2.5,"group_width":8,"bottleneck":1`

func TestOpen(t *testing.T) {
	// What a failed network counts with, counted and stated complexity.
	s := opened(t, written(t, "p.jsonl", `{`+spec+`},"error":30,"flops":7}
{`+spec+`,"classes":10},"error":null}
{`+spec+`,"resolution":32,"classes":10},"error":20,"flops":7,"space":"other"}
{`+spec+`},"error":null}
`))
	p := s.Populations
	if len(p) != 2 || len(p[0].Trials) != 2 || p[0].Trials[1].Error != 90 || p[0].Trials[1].State != study.Failed {
		t.Fatalf("%+v", p)
	}
	if p[0].Trials[0].Complexity.Flops != 7 || p[1].Trials[0].Complexity.Flops < 1000 {
		t.Errorf("flops %d as stated, %d counted", p[0].Trials[0].Complexity.Flops, p[1].Trials[0].Complexity.Flops)
	}
	if m := s.Imported; m.Bad != 1 || !strings.Contains(m.Faults[0], "p.jsonl:4: failed") {
		t.Errorf("%+v", m)
	}
	// As studies export it: failures with their error, reruns with their network.
	s = opened(t, written(t, "e.jsonl", `{`+spec+`},"error":30,"complexity":{"flops":7}}
{`+spec+`},"error":31,"rerun":1}
{`+spec+`},"error":90,"state":"failed"}
`))
	if all := s.Populations[0].Trials; len(all) != 2 || len(all[0].Reruns) != 1 || all[0].Reruns[0].Error != 31 || all[0].Complexity.Flops != 7 || all[1].State != study.Failed || all[1].Error != 90 || all[1].Index != 1 {
		t.Errorf("%+v", all)
	}
	var request *study.RequestError
	for name, c := range map[string]struct{ path, want string }{
		"fractions": {written(t, "f.jsonl", `{`+spec+`},"error":0.3}`+"\n"), "--map error_fraction=error"},
		"nothing":   {written(t, "n.jsonl", `{`+spec+`}}`+"\n"), "none of its 1 records"},
		"no format": {written(t, "n.txt", "x\n"), "is no population"},
		"no file":   {filepath.Join(t.TempDir(), "none.json"), "no such file"},
	} {
		if _, err := analysis.Open(context.Background(), c.path, nil); !errors.As(err, &request) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := opened(t, written(t, "f.jsonl", `{`+spec+`},"error":0.3}`+"\n"), "error=error"); s.Populations[0].Trials[0].Error != 0.3 {
		t.Errorf("stated percent: %+v", s.Populations[0].Trials[0])
	}
	if _, err := analysis.Open(context.Background(), filepath.Join("testdata", "tiny"), interop.Mapping{"error": "x"}); !errors.As(err, &request) {
		t.Errorf("a study with a mapping: %v", err)
	}
	if s := opened(t, filepath.Join("testdata", "tiny")); s.Imported != nil || s.Protocol == nil {
		t.Error("a study is not read as one")
	}
}

// What is known of the conditions must agree; a study is not compared with what
// was trained elsewhere without a word.
func TestImportedComparable(t *testing.T) {
	record := func(dataset string) string {
		return `[{"net": {"width": 8, "depth": 4}, "optim": {"base_lr": 0.1, "max_ep": ` + dataset + `}, "min_test_top1": 7.5}]`
	}
	a, b, c := opened(t, written(t, "A.json", record("3"))), opened(t, written(t, "B.json", record("3"))), opened(t, written(t, "C.json", record("4")))
	var different *analysis.DifferentError
	if err := analysis.Comparable([]analysis.Source{a, b}); err != nil {
		t.Error(err)
	}
	if err := analysis.Comparable([]analysis.Source{a, c}); !errors.As(err, &different) || !strings.Contains(err.Error(), "recipe.epochs: 3 in") {
		t.Errorf("%v", err)
	}
	own := opened(t, filepath.Join("testdata", "tiny"))
	if err := analysis.Comparable([]analysis.Source{own, a}); !errors.As(err, &different) || !strings.Contains(err.Error(), "trained elsewhere, under a recipe.batch, recipe.weight_decay that is not known") {
		t.Errorf("%v", err)
	}
	// Networks without a description have no drawing, and all else.
	comparison, err := analysis.Compare(context.Background(), []analysis.Source{a, b}, analysis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := comparison.Findings()
	if err != nil || len(f.Best[0]) != 0 || f.Spaces[0].Imported != "nds" {
		t.Errorf("%+v, %v", f.Best, err)
	}
	if _, err := json.Marshal(f); err != nil {
		t.Error(err)
	}
}

// Of networks that no one space has together, the most are taken; strides that a
// regnet does not have rule out that one candidate alone.
func TestRefineImportedKinds(t *testing.T) {
	var text strings.Builder
	for i := range 40 {
		depths, widths := "[1,2,3]", "[16,32,64]"
		if i%4 == 0 {
			depths, widths = "[1,2]", "[16,32]"
		}
		if i%2 == 0 {
			widths = strings.Replace(widths, "16", "48", 1)
		}
		text.WriteString(`{"depths":` + depths + `,"widths":` + widths + `,"strides":` + strings.NewReplacer("2", "1", "3", "2").Replace(depths) +
			`,"block":"basic","error":` + []string{"25", "20.5", "24", "21"}[i%4] + "}\n")
	}
	s := opened(t, written(t, "theirs.jsonl", text.String()))
	r, err := analysis.Refine(context.Background(), s, "anynetr-a", analysis.RefineOptions{Resamples: 200})
	if err != nil {
		t.Fatal(err)
	}
	if r.N != 30 || r.LeftOut != 10 || r.Network.Stages != 3 || r.Network.Strides[0] != 1 {
		t.Errorf("%+v, %+v", r.Population, r.Network)
	}
	if c := candidate(t, r, "width never decreases"); c.Part != 20 || c.Rest != 10 || c.Standing != analysis.Better {
		t.Errorf("%+v", c)
	}
}

// What is odd about errors as a whole is refused or noted.
func TestOddErrors(t *testing.T) {
	line := func(field string, v float64, depth int) string {
		return fmt.Sprintf(`{"spec": {"family": "regnet", "depth": %d, "w0": 24, "wa": 24.48, "wm": 2.54, "group_width": 8, "classes": 10, "resolution": 32}, %q: %g}`+"\n", depth, field, v)
	}
	lines := func(field string, values ...float64) (text string) {
		for i, v := range values {
			text += line(field, v, 12+i)
		}
		return text
	}
	for _, c := range []struct {
		name, text string
		refused    string
		noted      string
	}{
		{"a.jsonl", lines("error", 20, 21, 22), "", ""},
		{"a.jsonl", lines("error", 0.20, 0.21, 0.22), "--map error_fraction=error", ""},
		{"a.jsonl", lines("accuracy", 0.80, 0.81, 0.82), "all accuracies lie between 0 and 1: --map accuracy=accuracy says that these are percent, --map accuracy_fraction=accuracy", ""},
		{"a.jsonl", lines("accuracy", 80, 81, 82), "", ""},
		{"a.jsonl", lines("error", 0.20, 0.21, 22), "", "2 of 3 errors lie between 0 and 1, and are read as percent"},
		{"a.jsonl", lines("error", 0.9, 1.1, 1.2), "", ""},
		{"a.jsonl", line("error", 20, 12) + line("error", 20, 12) + line("error", 21, 12), "", "1 records repeat a network with its error"},
		{"a.json", "[]", "a.json: has no records", ""},
		{"a.csv", "depth,error\n", "a.csv: has no records", ""},
	} {
		s, err := analysis.Open(t.Context(), written(t, c.name, c.text), nil)
		var request *study.RequestError
		switch {
		case c.refused != "":
			if !errors.As(err, &request) || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v", c.text, err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.text, err)
		case c.noted == "" && len(s.Imported.Notes) > 0 || !strings.Contains(strings.Join(s.Imported.Notes, "\n"), c.noted):
			t.Errorf("%s: %q", c.text, s.Imported.Notes)
		}
	}
}

// Refining networks by a space that draws what they do not have is refused in one sentence.
func TestRefineByAnotherSpace(t *testing.T) {
	var text string
	for i := range 30 {
		text += fmt.Sprintf(`{"spec": {"family": "regnet", "depth": %d, "w0": 24, "wa": 24.48, "wm": 2.54, "group_width": 8}, "error": %d.5}`+"\n", 12+i%3, 20+i%7)
	}
	s := opened(t, written(t, "regnets.jsonl", text))
	_, err := analysis.Refine(t.Context(), s, "anynetx-a", analysis.RefineOptions{Resamples: 100})
	var request *study.RequestError
	if !errors.As(err, &request) || err.Error() != "anynetx-a draws width for its networks, and those of regnets do not have one: they were drawn from another space" {
		t.Error(err)
	}
}
