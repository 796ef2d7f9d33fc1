package space

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"netspace/arch"
	"netspace/metric"
	"netspace/strict"
)

// TestBadFiles reads every file of testdata/bad, whose comments say which
// faults it has: those and no others.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(data)) {
				if text, ok := strings.CutPrefix(line, "# want: "); ok {
					want = append(want, strings.TrimSpace(text))
				}
			}
			_, err = Load(file)
			var e *strict.Error
			if !errors.As(err, &e) {
				t.Fatalf("the error is %v", err)
			}
			for _, w := range want {
				if !slices.ContainsFunc(e.Faults, func(f strict.Fault) bool {
					return strings.Contains(f.Error(), w) && strings.HasPrefix(f.Error(), file+":")
				}) {
					t.Errorf("no fault says %q", w)
				}
			}
			if len(e.Faults) != len(want) || t.Failed() {
				t.Errorf("the faults are\n%v", err)
			}
		})
	}
}

func TestLoadUnknown(t *testing.T) {
	for name, want := range map[string]string{
		"anynetx-f":       "nearest names are anynetx-",
		"zzz":             "built in are anynetr-a",
		"no/such.yaml":    "no such file",
		"testdata/absent": "is neither a built-in space nor a file",
	} {
		if _, err := Load(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// asJSON turns a YAML file into what a JSON Schema validates.
func asJSON(t *testing.T, data []byte) any {
	t.Helper()
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		return nil
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSchema validates all good files, and rejects the bad ones whose faults
// are of form rather than meaning.
func TestSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddResource("space.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("space.json")
	if err != nil {
		t.Fatal(err)
	}
	good, _ := filepath.Glob("testdata/good/*.yaml")
	builtin, _ := filepath.Glob("builtin/*.yaml")
	for _, file := range append(good, builtin...) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); err != nil {
			t.Errorf("%v", err)
		}
		if err := schema.Validate(asJSON(t, data)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, name := range []string{"unknown-fields", "family", "no-family", "template", "distributions", "rules", "regime"} {
		data, err := os.ReadFile("testdata/bad/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(asJSON(t, data)) == nil {
			t.Errorf("the schema accepts testdata/bad/%s.yaml", name)
		}
	}
}

// TestSchemaKnowsTheLanguage notices words that the schema lacks.
func TestSchemaKnowsTheLanguage(t *testing.T) {
	text := string(Schema())
	words := append(append(slices.Clone(kindNames[:]), ruleNames[:]...), BlockWords()...)
	for _, d := range definitions {
		words = append(words, d.name)
	}
	for _, w := range words {
		if !strings.Contains(text, `"`+w+`"`) {
			t.Errorf("the schema does not know %s", w)
		}
	}
	if !json.Valid(Schema()) {
		t.Error("the schema is no JSON")
	}
}

func TestDerive(t *testing.T) {
	e, err := Load("anynetx-e")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"anynetx-d", "anynetx-c", "anynetx-b", "anynetx-a"}, e.Bases); diff != "" {
		t.Error(diff)
	}
	var rules []string
	for _, r := range e.Rules {
		rules = append(rules, r.String())
	}
	if diff := cmp.Diff([]string{"equal bottleneck", "equal group_width", "non-decreasing width", "non-decreasing depth"}, rules); diff != "" {
		t.Error(diff)
	}
	d := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(d, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("mine.yaml", "base: anynety-d\nnetwork: {stages: 3, strides: [1, 2, 2]}\nregime: {flops: 4M..5M, params: ..1M}\n")
	s, err := Load(write("child.yaml", "base: mine.yaml\nparameters: {width: {uniform: 16..64, multiple: 16}}\nregime: {flops: 5M..6M}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "child" || s.Regime.Bounds[metric.Flops] != (metric.Range{Min: 5e6, Max: 6e6}) || s.Regime.Bounds[metric.Params] != (metric.Range{Min: 0, Max: 1e6}) || s.Network.Block != "Y" || s.Network.Stages != 3 || s.parameter("width").Priors[0].Kind != Uniform || len(s.Parameters) != 4 {
		t.Errorf("%+v", s)
	}
	write("a.yaml", "base: b.yaml\n")
	if _, err := Load(write("b.yaml", "base: a.yaml\n")); err == nil || !strings.Contains(err.Error(), "derives from itself") {
		t.Errorf("a circle: %v", err)
	}
}

func TestBlocksBringTheirSE(t *testing.T) {
	quarter, half := 0.25, 0.5
	for _, c := range []struct {
		name string
		base string
		over Template
		want float64
	}{
		{"Y", "anynety-a", Template{}, quarter},
		{"R over Y", "anynety-a", Template{Block: "R"}, 0},
		{"X over Y", "anynety-a", Template{Block: "X"}, 0},
		{"Y over X", "anynetx-a", Template{Block: "Y"}, quarter},
		{"Y with its own", "anynetx-a", Template{Block: "Y", SE: &half}, half},
		{"only SE", "anynetx-a", Template{SE: &half}, half},
	} {
		s, err := Load(c.base)
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Sampler(Config{Network: c.over})
		if err != nil {
			t.Fatal(err)
		}
		if p.net.se != c.want {
			t.Errorf("%s: se %v, want %v", c.name, p.net.se, c.want)
		}
	}
}

var tiny28 = arch.Input{Channels: 1, Height: 28, Width: 28, Classes: 10}

// TestDocs reads every space of docs/spaces.md.
func TestDocs(t *testing.T) {
	data, err := os.ReadFile("../docs/spaces.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(data), "```yaml\n")[1:]
	if len(blocks) < 5 {
		t.Errorf("only %d examples", len(blocks))
	}
	for _, b := range blocks {
		b, _, _ = strings.Cut(b, "```")
		s, err := Parse([]byte(b), "docs/spaces.md")
		if err != nil {
			t.Errorf("%s\n%v", b, err)
			continue
		}
		cfg := Config{Workers: 1}
		if s.Network.Stem.Type == "cifar" {
			cfg.Input = tiny28
		}
		if _, _, err := s.Sample(t.Context(), cfg, 2); err != nil {
			t.Errorf("%s\n%v", b, err)
		}
	}
	for _, name := range Names() {
		stem, _, _ := strings.Cut(name, "-")
		if !strings.Contains(string(data), "`"+stem) {
			t.Errorf("%s is not told", name)
		}
	}
}

// The texts of a space and its bases are enough to read it where its files are not.
func TestFilesAreEnough(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml":        "base: lib/b.yaml\nrules: [non-decreasing: width]\n",
		"lib/b.yaml":    "base: ../lib/c\nname: middle\n",
		"lib/c":         "base: anynetx-c\nabout: the lowest\n",
		"anynetx-c.txt": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := Load(filepath.Join(dir, "a.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files := want.Files()
	if len(files) < 4 || files[0].Path != filepath.Join(dir, "a.yaml") || files[3].Path != "anynetx-c" || files[0].Text != string(want.Source()) {
		t.Fatalf("%d files: %+v", len(files), files)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	got, err := ParseFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	draw := func(s *Space) (keys []string) {
		networks, _, err := s.Sample(t.Context(), Config{Input: arch.Input{Channels: 3, Height: 32, Width: 32, Classes: 10}, Seed: 1}, 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range networks {
			keys = append(keys, n.Spec.Key())
		}
		return keys
	}
	if got.Name != want.Name || !slices.Equal(got.Files(), files) || !slices.Equal(got.Bases, want.Bases) || !slices.Equal(draw(got), draw(want)) {
		t.Fatalf("read from its texts it is %s of %v, not %s of %v", got.Name, got.Bases, want.Name, want.Bases)
	}
	if _, err := ParseFiles(files[:1]); err == nil || !strings.Contains(err.Error(), "lib/b.yaml") {
		t.Errorf("without its bases: %v", err)
	}
}
