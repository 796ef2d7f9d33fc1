package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netspace/analysis"
)

// tinyStudy copies the folder of a study that was run, with its file changed by
// the pairs of old and new text.
func tinyStudy(t *testing.T, changes ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tiny")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "analysis", "testdata", "tiny"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "study.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer(changes...).Replace(string(text))
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCompareText(t *testing.T) {
	out, errs, status := netspace(t, "compare", tinyStudy(t))
	if status != exitOK || errs != "" {
		t.Fatalf("status %d\n%s", status, errs)
	}
	for _, want := range []string{"anynetx-a", "regnetx", "failed", "median", "area to", "regnetx against anynetx-a"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestCompareJSON(t *testing.T) {
	out, _, status := netspace(t, "compare", "--json", "--emax", "95", tinyStudy(t))
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if status != exitOK || len(lines) != 3 {
		t.Fatalf("status %d, %d lines; want two spaces and a pair\n%s", status, len(lines), out)
	}
	var s analysis.SpaceJSON
	if err := json.Unmarshal([]byte(lines[1]), &s); err != nil {
		t.Fatal(err)
	}
	if s.Space != "regnetx" || s.N != 3 || s.EMax != 95 || s.Mean <= 0 || s.Mean > 100 || s.Intervals["mean"].Lo > s.Mean {
		t.Errorf("%+v", s)
	}
	var p analysis.PairJSON
	if err := json.Unmarshal([]byte(lines[2]), &p); err != nil {
		t.Fatal(err)
	}
	if p.A != "anynetx-a" || p.B != "regnetx" || p.NotWorse.Delta != analysis.DefaultDelta {
		t.Errorf("%+v", p)
	}
}

func TestCompareRefuses(t *testing.T) {
	a, b := tinyStudy(t), tinyStudy(t, "epochs: 2", "epochs: 3")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"another recipe": {[]string{"compare", a, b}, "recipe.epochs: 2 in " + a + ", 3 in " + b},
		"and report":     {[]string{"report", a, b, "-o", filepath.Join(t.TempDir(), "r.html")}, "--force compares them nevertheless"},
		"no folder":      {[]string{"compare", filepath.Join(t.TempDir(), "none")}, "no study in this folder"},
		"emax":           {[]string{"compare", a, "--emax", "120"}, "--emax 120: must be above 0 and at most 100"},
		"delta":          {[]string{"compare", a, "--delta", "0"}, "--delta 0: must be above 0"},
		"no argument":    {[]string{"compare"}, "requires at least 1 arg"},
		"both to stdout": {[]string{"report", a, "-o", "-", "--json"}, "name a file"},
	} {
		out, errs, status := netspace(t, c.args...)
		if status != exitUsage || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%s: status %d, want %d\n%s%s", name, status, exitUsage, out, errs)
		}
	}
	out, errs, status := netspace(t, "compare", "--force", a, b)
	if status != exitOK || !strings.Contains(out, "tiny/regnetx") || !strings.Contains(errs, "warning") {
		t.Errorf("with --force: status %d\n%s%s", status, out, errs)
	}
}

// A study that has sampled nothing has nothing to compare: a request error, and
// no file is left.
func TestNothingToCompare(t *testing.T) {
	dir := tinyStudy(t)
	if err := os.RemoveAll(filepath.Join(dir, "journal")); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(t.TempDir(), "r.html")
	for _, args := range [][]string{{"compare", dir}, {"report", dir, "-o", page}} {
		_, errs, status := netspace(t, args...)
		if status != exitUsage || !strings.Contains(errs, "no trial has finished yet") {
			t.Errorf("%v: status %d\n%s", args, status, errs)
		}
	}
	if _, err := os.Stat(page); err == nil {
		t.Error("a page was written")
	}
}

func TestReport(t *testing.T) {
	dir, out := tinyStudy(t), t.TempDir()
	before := listing(t, dir)
	page, figures, values := filepath.Join(out, "page.html"), filepath.Join(out, "figures"), filepath.Join(out, "values.json")
	stdout, errs, status := netspace(t, "report", dir, "-o", page, "--figures", figures, "--values", values, "--json")
	if status != exitOK {
		t.Fatalf("status %d\n%s", status, errs)
	}
	var line reportLine
	if err := json.Unmarshal([]byte(stdout), &line); err != nil {
		t.Fatal(err)
	}
	if line.Report != page || len(line.Figures) < 8 {
		t.Errorf("%+v", line)
	}
	for _, f := range append(line.Figures, line.Report, line.Values) {
		if info, err := os.Stat(f); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
	if after := listing(t, dir); after != before {
		t.Errorf("the study's folder was\n%s\nand is\n%s", before, after)
	}
	var read struct {
		Spaces     []analysis.SpaceJSON
		Parameters [][]analysis.Parameter
	}
	if text, err := os.ReadFile(values); err != nil || json.Unmarshal(text, &read) != nil || len(read.Spaces) != 2 || len(read.Parameters) != 2 {
		t.Errorf("values %+v, %v", read, err)
	}
	written, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	piped, _, status := netspace(t, "report", dir, "-o", "-")
	if status != exitOK || piped != string(written) {
		t.Error("the page on standard output is another one")
	}
}

// listing is the names in a folder.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}
