package space

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"netspace/strict"
)

// Whatever is in a space file, it is refused with its faults, or it can be
// described and reads the same when it is written.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"testdata/good", "testdata/bad", "builtin"} {
		files, err := filepath.Glob(dir + "/*.yaml")
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { parses(t, data) })
}

// Whatever stands as a rule, it is refused or kept as written.
func FuzzRule(f *testing.F) {
	for _, rule := range []string{"non-decreasing: width", "stages[1].width <= 4 * stages[0].width", "all(stages, .depth < 9)", "flops < 4M", "let x = 1; x > 0",
		"sum(stages, .depth) in 3..9", "a.b.c", "((((", "\"", "w ^ w ^ w", "all(1..999, all(1..999, true))", "1/0 > 0", "stages[99].width > 1"} {
		f.Add(rule)
	}
	f.Fuzz(func(t *testing.T, rule string) {
		text, err := json.Marshal(map[string]any{"base": "anynet-a", "rules": []string{rule}})
		if err != nil {
			t.Fatal(err)
		}
		if s := parses(t, text); s != nil && len(s.Rules) > 0 && s.Rules[len(s.Rules)-1].String() == "" {
			t.Errorf("%q is no rule in words", rule)
		}
	})
}

func parses(t *testing.T, data []byte) *Space {
	t.Helper()
	s, err := Parse(data, "space.yaml")
	if err != nil {
		var faults *strict.Error
		if !errors.As(err, &faults) || err.Error() == "" {
			t.Fatalf("%q is a %T", err, err)
		}
		return nil
	}
	text, err := s.MarshalYAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(text, "written.yaml")
	if err != nil {
		t.Fatalf("written\n%s\n%v", text, err)
	}
	if twice, err := again.MarshalYAML(); err != nil || string(twice) != string(text) {
		t.Errorf("written\n%s\nand read it is written\n%s\n%v", text, twice, err)
	}
	if p, err := s.Sampler(Config{}); err == nil {
		p.Describe()
	}
	return s
}
