package interop

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"netspace/arch"
	"netspace/graph"
	"netspace/train"
)

var update = flag.Bool("update", false, "rewrite the golden files; inspect the difference before committing it")

// TestPublished: the authors' files of published models, and the 6n+2 network,
// give the published complexity to the last digit.
func TestPublished(t *testing.T) {
	for file, want := range map[string]graph.Complexity{
		"regnetx-400mf.pycls.yaml":      {Flops: 397678568, Params: 5157512, Acts: 3143272},
		"regnety-400mf.pycls.yaml":      {Flops: 401849056, Params: 4344144, Acts: 3892496},
		"resnet-50.pycls.yaml":          {Flops: 4089185256, Params: 25557032, Acts: 11315688},
		"resnet-50-defaults.pycls.yaml": {Flops: 3855945738, Params: 23528522, Acts: 10787850}, // stride in the 1×1, 10 classes
		"resnext-50.pycls.yaml":         {Flops: 4230480872, Params: 25028904, Acts: 14602216},
		"efficientnet-b0.pycls.yaml":    {Flops: 385825092, Params: 5288548, Acts: 6748036},
		"resnet-56-cifar.pycls.yaml":    {Flops: 125747850, Params: 855770, Acts: 544778},
	} {
		m, err := Resolve(filepath.Join("testdata", file))
		if err != nil {
			t.Error(err)
			continue
		}
		if got, err := m.Spec.Complexity(arch.Input{}); err != nil || got != want {
			t.Errorf("%s: counted %+v (%v), published %+v", file, got, err, want)
		}
		if m.Format != FormatPycls {
			t.Errorf("%s: format %s", file, m.Format)
		}
	}
}

// TestForeignFiles: what each file becomes, with recipe, notes and ignored
// keys; and the recipe is one that training accepts.
func TestForeignFiles(t *testing.T) {
	for _, pattern := range []string{"testdata/*.pycls.yaml", "testdata/*.ini"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			if strings.Contains(file, ".bad.") {
				continue
			}
			m, err := Resolve(file)
			if err != nil {
				t.Error(err)
				continue
			}
			text, err := m.Spec.MarshalYAML()
			if err != nil {
				t.Error(err)
				continue
			}
			var b strings.Builder
			b.Write(text)
			for _, key := range m.Ignored {
				b.WriteString("# ignored: " + key + "\n")
			}
			for _, note := range m.Notes {
				b.WriteString("# note: " + note + "\n")
			}
			golden(t, strings.TrimSuffix(file, filepath.Ext(file))+".txt", b.String())

			if back, err := arch.ParseSpec(text, file); err != nil {
				t.Errorf("%s, converted: %v", file, err)
			} else if back.Key() != m.Spec.Key() {
				t.Errorf("%s: the converted file is another network", file)
			}
			recipe, err := yaml.Marshal(m.Spec.Recipe)
			if err != nil {
				t.Error(err)
				continue
			}
			if _, err := train.DecodeRecipe(recipe, file, train.DefaultRecipe()); err != nil {
				t.Errorf("%s: training refuses the recipe: %v", file, err)
			}
		}
	}
}

func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".txt") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(data, filepath.Base(file))
		if err == nil {
			t.Errorf("%s: no error, but %+v", file, m)
			continue
		}
		golden(t, strings.TrimSuffix(file, filepath.Ext(file))+".txt", err.Error()+"\n")
	}
}

func TestResolve(t *testing.T) {
	for model, want := range map[string]Format{
		"regnetx_004": FormatZoo, "../arch/testdata/anynet.good.yaml": FormatSpec, "../arch/testdata/regnet.good.json": FormatSpec,
		"testdata/searched.ini": FormatRegNetSearch, "testdata/regnet-defaults.pycls.yaml": FormatPycls,
	} {
		if m, err := Resolve(model); err != nil || m.Format != want {
			t.Errorf("%s: format %s, %v, want %s", model, m.Format, err, want)
		}
	}
	for model, want := range map[string]string{"regnetx_005": "nearest", "nowhere.yaml": "no such file", "testdata": "testdata"} {
		if _, err := Resolve(model); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", model, err, want)
		}
	}
}

// TestGroupWidthRule: the RegNet search cuts the group width to a multiple of
// 8 that is not above the initial width, before anything else.
func TestGroupWidthRule(t *testing.T) {
	for _, c := range []struct{ w0, g, want string }{{"84", "90", "80"}, {"42", "8", "8"}, {"42", "47", "40"}, {"96", "31", "24"}, {"80", "80", "80"}} {
		text := "[net]\ninitial_width = " + c.w0 + "\nslope = 20\nquantized_param = 2\nnetwork_depth = 12\ngroup_width = " + c.g + "\n"
		m, err := Parse([]byte(text), "x.ini")
		if err != nil {
			t.Error(err)
			continue
		}
		spec, err := m.Spec.MarshalYAML()
		if err != nil || !strings.Contains(string(spec), "group_width: "+c.want+"\n") {
			t.Errorf("initial_width %s, group_width %s: want %s in\n%s", c.w0, c.g, c.want, spec)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data, "fuzz")
		if err == nil {
			if err := m.Spec.Validate(); err != nil {
				t.Fatalf("read without error, but %v", err)
			}
			text, err := m.Spec.MarshalYAML()
			if err != nil {
				t.Fatal(err)
			}
			again, err := arch.ParseSpec(text, "written.yaml")
			if err != nil || again.Key() != m.Spec.Key() {
				t.Fatalf("written\n%s\nit is another network: %v", text, err)
			}
		}
	})
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s, -want +got:\n%s", file, diff)
	}
}
