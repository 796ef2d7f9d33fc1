package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netspace/analysis"
)

// theirs is a file of networks of a space whose errors are lower where widths do
// not decrease.
func theirs(t *testing.T, name string, n int) string {
	t.Helper()
	out, errs, status := netspace(t, "sample", name, "-n", fmt.Sprint(n), "--json", "--stages", "3", "--stem", "cifar:16")
	if status != exitOK {
		t.Fatal(errs)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var text strings.Builder
	for line := range strings.Lines(out) {
		var net struct {
			Spec json.RawMessage
		}
		var stages struct{ Stages []struct{ Width int } }
		if err := json.Unmarshal([]byte(line), &net); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(net.Spec, &stages); err != nil {
			t.Fatal(err)
		}
		e := 20 + rng.NormFloat64()
		for i, s := range stages.Stages[1:] {
			if s.Width < stages.Stages[i].Width {
				e += 1.5
			}
		}
		fmt.Fprintf(&text, "{\"spec\":%s,\"error\":%.3f}\n", net.Spec, e)
	}
	path := filepath.Join(t.TempDir(), "theirs.jsonl")
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// What refine writes is read by space, and the same numbers come out again.
func TestRefine(t *testing.T) {
	file, folder := theirs(t, "anynetx-c", 120), t.TempDir()
	picture := filepath.Join(folder, "rules.svg")
	args := []string{"refine", file, "--space", "anynetx-c", "--rule", "blocks <= 20", "--json", "-o", filepath.Join(folder, "spaces"), "--figure", picture}
	out, errs, status := netspace(t, args...)
	if status != exitOK {
		t.Fatalf("status %d\n%s", status, errs)
	}
	if again, _, _ := netspace(t, args...); again != out {
		t.Error("not the same again")
	}
	var lines []analysis.CandidateJSON
	for text := range strings.Lines(out) {
		var c analysis.CandidateJSON
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, c)
	}
	first := lines[0]
	if string(first.Rule) != `{"non-decreasing":"width"}` || !first.Supported || first.Standing != analysis.Better || *first.Mean.Hi >= 0 || first.N+first.Rest != 120 || *first.Log10Size < 0.7 {
		t.Errorf("%+v", first)
	}
	if first.Of.Imported == nil || first.Of.Candidates != len(lines) || first.Of.Level != 0.95 || first.Of.N != 120 {
		t.Errorf("%+v", first.Of)
	}
	stated := false
	for _, c := range lines {
		stated = stated || string(c.Rule) == `"blocks <= 20"`
		described, errs, status := netspace(t, "space", c.File, "--json")
		if status != exitOK {
			t.Fatalf("%s: %s", c.File, errs)
		}
		var size struct {
			Name string
			Size struct{ Log10 struct{ Value float64 } }
		}
		if err := json.Unmarshal([]byte(described), &size); err != nil || size.Name != c.Name || size.Size.Log10.Value != c.Log10After.Value {
			t.Errorf("%s: %s, %v; the size is said to be %v", c.File, described, err, c.Log10After.Value)
		}
	}
	if !stated {
		t.Error("the stated rule is no candidate")
	}
	if info, err := os.Stat(picture); err != nil || info.Size() == 0 {
		t.Error(err)
	}
	text, _, status := netspace(t, "refine", file, "--space", "anynetx-c")
	if status != exitOK || !strings.Contains(text, "(imported, jsonl)") || !strings.Contains(text, "Best supported: width never decreases") {
		t.Errorf("status %d\n%s", status, text)
	}
}

func TestRefineOfAStudy(t *testing.T) {
	dir := tinyStudy(t)
	before := listing(t, dir)
	out, errs, status := netspace(t, "refine", dir, "--space", "regnetx", "--json")
	if status != exitOK || strings.Contains(out, `"supported":true`) {
		t.Errorf("three networks support a rule: status %d\n%s%s", status, out, errs)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("the folder was\n%s\nand is\n%s", before, after)
	}
}

func TestRefineRefuses(t *testing.T) {
	dir, file := tinyStudy(t), theirs(t, "anynetx-c", 12)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no space":         {[]string{dir}, "give --space one of anynetx-a, regnetx"},
		"another space":    {[]string{dir, "--space", "anynetx-z"}, "no population of a space"},
		"an unknown space": {[]string{file, "--space", "anynetx-z"}, "neither a built-in space nor a file"},
		"a bad rule":       {[]string{file, "--space", "anynetx-c", "--rule", "widths > 8"}, "widths"},
		"by":               {[]string{dir, "--by", "min"}, "must be area, mean or median"},
		"delta":            {[]string{dir, "--delta", "0"}, "must be above 0"},
		"power":            {[]string{dir, "--power", "1"}, "must be between 0 and 1"},
		"a bad mapping":    {[]string{file, "--map", "eror=x"}, "--map"},
		"no file":          {[]string{filepath.Join(dir, "none.json")}, "no such file"},
		"no argument":      {nil, "accepts 1 arg"},
	} {
		out, errs, status := netspace(t, append([]string{"refine"}, c.args...)...)
		if status != exitUsage || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%s: status %d, want %d\n%s%s", name, status, exitUsage, out, errs)
		}
	}
}

// A population that was trained elsewhere is compared and shown like any other,
// and marked.
func TestImportedPopulations(t *testing.T) {
	file := theirs(t, "anynetx-c", 30)
	out, errs, status := netspace(t, "compare", file)
	if status != exitOK || !strings.Contains(out, "was trained elsewhere, and read as jsonl") {
		t.Errorf("status %d\n%s%s", status, out, errs)
	}
	out, _, status = netspace(t, "compare", file, "--json")
	if status != exitOK || !strings.Contains(out, `"imported":"jsonl"`) {
		t.Errorf("status %d\n%s", status, out)
	}
	out, errs, status = netspace(t, "report", file, "-o", "-")
	if status != exitOK || !strings.Contains(out, "trained elsewhere, and read from") || strings.Contains(out, "NaN") {
		t.Errorf("status %d\n%s", status, errs)
	}
	if _, errs, status = netspace(t, "compare", file, tinyStudy(t)); status != exitUsage || !strings.Contains(errs, "that is not known") {
		t.Errorf("beside a study: status %d\n%s", status, errs)
	}
	if out, _, status = netspace(t, "compare", file, tinyStudy(t), "--force"); status != exitOK || !strings.Contains(out, "theirs") {
		t.Errorf("forced: status %d\n%s", status, out)
	}
}
