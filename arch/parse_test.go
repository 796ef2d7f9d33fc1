package arch

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files; inspect the difference before committing it")

// TestBadSpecs: every rule of spec files has a bad file, and beside it the
// message that it gives.
func TestBadSpecs(t *testing.T) {
	files := glob(t, "testdata/*.bad.*")
	for _, file := range files {
		if strings.HasSuffix(file, ".txt") {
			continue
		}
		data := read(t, file)
		spec, err := ParseSpec(data, filepath.Base(file))
		if err == nil {
			t.Errorf("%s: no error, but %+v", file, spec)
			continue
		}
		golden(t, strings.TrimSuffix(file, filepath.Ext(file))+".txt", err.Error()+"\n")
	}
}

// TestGoodSpecs: good files read, build, and survive being written as YAML and JSON.
func TestGoodSpecs(t *testing.T) {
	for _, file := range glob(t, "testdata/*.good.*") {
		spec, err := LoadSpec(file)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if _, err := spec.Graph(Input{}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		roundTrip(t, spec)
	}
}

func TestSpecFileMeansTheZoo(t *testing.T) {
	spec, err := LoadSpec("testdata/regnet.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m, _ := Published("RegNetX-400MF")
	if diff := cmp.Diff(m.Spec, spec); diff != "" {
		t.Errorf("-zoo +file:\n%s", diff)
	}
	inJSON, err := LoadSpec("testdata/regnet.good.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(spec, inJSON); diff != "" {
		t.Errorf("-YAML +JSON:\n%s", diff)
	}
}

func roundTrip(t interface {
	Helper()
	Fatalf(string, ...any)
}, spec Spec) {
	t.Helper()
	for _, form := range []struct {
		name string
		make func(any) ([]byte, error)
		read func([]byte, any) error
	}{
		{"YAML", yaml.Marshal, func(b []byte, v any) error { return yaml.Unmarshal(b, v) }},
		{"JSON", json.Marshal, json.Unmarshal},
	} {
		data, err := form.make(spec)
		if err != nil {
			t.Fatalf("write %s: %v", form.name, err)
		}
		var back Spec
		if err := form.read(data, &back); err != nil {
			t.Fatalf("read %s back: %v\n%s", form.name, err, data)
		}
		if diff := cmp.Diff(spec, back); diff != "" {
			t.Fatalf("%s round trip, -before +after:\n%s\n%s", form.name, diff, data)
		}
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	return files
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(read(t, file)), got); diff != "" {
		t.Errorf("%s, -want +got:\n%s", file, diff)
	}
}
