package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/arch"
	"netspace/graph"
	"netspace/stats"
	"netspace/study"
	"netspace/trial"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func mustCompare(t testing.TB, o Options, sources ...Source) Comparison {
	t.Helper()
	c, err := Compare(sources, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustPage(t testing.TB, c Comparison) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Page(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var quick = Options{Delta: DefaultDelta, Resamples: 500}

// A failed trial stays in its population with the error of chance; one that has
// not finished does not count, and is said to be missing.
func TestFailedStayPendingDoNot(t *testing.T) {
	s := synthetic(t, "demo", 6, "anynetx-a", "regnetx", "anynetx-e")
	for i := range s.Populations[0].Trials {
		tr := &s.Populations[0].Trials[i]
		tr.State, tr.Error = study.Done, 20
	}
	a := s.Populations[0].Trials
	a[0].State, a[0].Error, a[0].Reason = study.Failed, 90, "out of memory"
	a[1].State, a[1].Error = study.Pending, 0
	a[2].State, a[2].Error = study.Running, 0
	for i := range s.Populations[2].Trials {
		s.Populations[2].Trials[i].State = study.Pending
	}
	c := mustCompare(t, quick, s)
	if len(c.Spaces) != 2 || !cmp.Equal(c.Omitted, []string{"anynetx-e"}) {
		t.Fatalf("%d spaces, omitted %v", len(c.Spaces), c.Omitted)
	}
	got := c.Spaces[0]
	if got.N != 4 || got.Failed != 1 || got.Pending != 2 {
		t.Errorf("n %d, failed %d, pending %d; want 4, 1, 2", got.N, got.Failed, got.Pending)
	}
	if want := (3*20.0 + 90) / 4; got.Mean.Value != want {
		t.Errorf("mean %v, want %v: the failure counts with 90", got.Mean.Value, want)
	}
	if len(got.Ranked()) != 3 {
		t.Errorf("%d networks are ranked, want the 3 that were done", len(got.Ranked()))
	}
	page := mustPage(t, c)
	for _, want := range []string{"out of memory", "4 of 6 networks have finished", "anynetx-e is left out"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestNothingFinished(t *testing.T) {
	s := synthetic(t, "demo", 2, "regnetx")
	for i := range s.Populations[0].Trials {
		s.Populations[0].Trials[i].State = study.Pending
	}
	if _, err := Compare([]Source{s}, quick); !errors.Is(err, ErrNothing) {
		t.Errorf("error %v, want ErrNothing", err)
	}
}

func TestLabels(t *testing.T) {
	a, b := synthetic(t, "a", 2, "anynetx-a", "regnetx"), synthetic(t, "b", 2, "regnetx")
	c := mustCompare(t, quick, a, b)
	var got []string
	for _, s := range c.Spaces {
		got = append(got, s.Label)
	}
	if want := []string{"anynetx-a", "a/regnetx", "b/regnetx"}; !cmp.Equal(got, want) {
		t.Errorf("labels %v, want %v", got, want)
	}
	b.Config.Name, b.Populations[0].Study, b.Dir = "a", "a", "elsewhere/a"
	if c = mustCompare(t, quick, a, b); c.Spaces[2].Label != "a/regnetx (elsewhere/a)" {
		t.Errorf("two studies of one name: %q", c.Spaces[2].Label)
	}
}

func TestComparable(t *testing.T) {
	a, b := synthetic(t, "a", 2, "regnetx"), synthetic(t, "b", 3, "anynetx-a")
	b.Config.Seed, b.Config.Network.Stages = 7, 4
	if err := Comparable([]Source{a, b}); err != nil {
		t.Errorf("another seed, sample and template: %v", err)
	}
	b.Config.Recipe.Epochs = 10
	b.Config.Regime.Flops.Max = 9e6
	b.Config.Data.Train = 5000
	err := Comparable([]Source{a, b})
	var different *DifferentError
	if !errors.As(err, &different) {
		t.Fatalf("error %v, want a *DifferentError", err)
	}
	want := []string{
		"data.train: 10000 in studies/a, 5000 in studies/b",
		"recipe.epochs: 5 in studies/a, 10 in studies/b",
		"regime.flops: 4M..5M in studies/a, 4M..9M in studies/b",
	}
	if d := cmp.Diff(want, different.Changes); d != "" {
		t.Error(d)
	}
	if page := mustPage(t, mustCompare(t, quick, a, b)); !strings.Contains(page, "recipe.epochs: 5 in studies/a") {
		t.Error("a page of studies that differ does not warn")
	}
}

func TestReading(t *testing.T) {
	one := func(label string, errs ...float64) study.Population {
		p := study.Population{Study: "s", Space: label}
		for i, e := range errs {
			p.Trials = append(p.Trials, study.Trial{Index: i, State: study.Done, Error: e})
		}
		return p
	}
	good := []float64{13, 13.2, 13.4, 13.1, 13.5, 13.3, 13.6, 13.2, 13.4, 13.1, 13.3, 13.2}
	bad := []float64{16, 16.5, 15.8, 17, 16.2, 16.9, 18, 16.6, 16.1, 17.5, 16.4, 16.3}
	for name, c := range map[string]struct {
		populations []study.Population
		want        string
	}{
		"decided":   {[]study.Population{one("bad", bad...), one("good", good...)}, `^good is best: .* ahead of bad with probability 0\.999`},
		"the first": {[]study.Population{one("good", good...), one("bad", bad...)}, `^good is best: .* \(by 3\.21, 95 % interval 2\.\d\d … 3\.\d\d\)`},
		"undecided": {[]study.Population{one("a", bad[:4]...), one("b", append([]float64{14}, bad[1:4]...)...)}, `^Undecided at the top: b has the largest .* takes about \d+ networks of each\.$`},
		"alike":     {[]study.Population{one("a", good...), one("b", append([]float64{12.9}, good[1:]...)...)}, `^Undecided at the top: b has .* The two areas differ by less than 0\.5 points\.$`},
		"one space": {[]study.Population{one("good", good...)}, `^good: half of its networks are below 13\.25 %, the best of 12 is at 13\.00 %`},
		"one value": {[]study.Population{one("good", 13)}, `^good has one network, with an error of 13\.00 %`},
		"one each":  {[]study.Population{one("good", 13), one("bad", 14)}, `^good is ahead of bad, but one network says nothing`},
	} {
		s := Source{Input: trial.Input{Classes: 10}, Populations: c.populations}
		if got := mustCompare(t, quick, s).Reading(); !regexp.MustCompile(c.want).MatchString(got) {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}

// The page refers to nothing outside itself, runs no script, closes its
// elements, and holds what was made up.
func TestPage(t *testing.T) {
	s := synthetic(t, "demo", 30, "anynetx-a", "regnetx")
	s.Populations[0].Trials[3].State = study.Failed
	s.Populations[0].Trials[3].Error = 90
	s.Populations[0].Trials[3].Reason = "the loss is <script>alert(1)</script>"
	c := mustCompare(t, quick, s)
	page := mustPage(t, c)
	for _, bad := range []string{"<script", "http:", "https:", "src=", "url(", "@import", "<link", "NaN", "Inf", "%!", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, href := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(href[1], "#") || !strings.Contains(page, `id="`+href[1][1:]+`"`) {
			t.Errorf("a link to %s leads nowhere in the page", href[1])
		}
	}
	for _, want := range []string{
		"<!doctype html>", "<title>demo", "fashion-mnist: 10000 training and 5000 validation images of 1 × 28 × 28, 10 classes",
		"flops 4M..5M", "5 epochs, batch 128", "&lt;script&gt;", "depth d₁", "slope wₐ", "wₘ", "family: regnet",
		"netspace report studies/demo", "netspace study run demo.yaml", "Efficiency of random search", "Kolmogorov",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var open []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			open = append(open, e.Name.Local)
		case xml.EndElement:
			if n := len(open); n == 0 || open[n-1] != e.Name.Local {
				t.Fatalf("</%s> closes %v", e.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if again := mustPage(t, mustCompare(t, quick, s)); again != page {
		t.Error("the same results gave another page")
	}
}

// Pages of the smallest and oddest populations.
func TestPageEdges(t *testing.T) {
	fail := func(s Source) Source {
		for i := range s.Populations[0].Trials {
			tr := &s.Populations[0].Trials[i]
			tr.State, tr.Error, tr.Reason, tr.Epochs = study.Failed, 90, "crashed", nil
		}
		return s
	}
	eff := synthetic(t, "eff", 3, "regnetx")
	for i := range eff.Populations[0].Trials {
		eff.Populations[0].Trials[i].Spec = arch.EffNet{
			Common: arch.Common{Stem: arch.Stem{Width: 8}, Activation: graph.SiLU},
			Stages: []arch.EffStage{{Depth: 1 + i, Width: 8, Stride: 1, Expand: 1, Kernel: 3}, {Depth: 2, Width: 16, Stride: 2, Expand: 6, Kernel: 5}},
		}.Spec()
	}
	many := synthetic(t, "many", 1, "anynetx-a", "anynetx-b", "anynetx-c", "anynetx-d", "anynetx-e", "regnetx", "a", "b", "c", "d")
	for name, sources := range map[string][]Source{
		"one network":             {synthetic(t, "one", 1, "regnetx")},
		"two networks":            {synthetic(t, "two", 2, "regnetx", "anynetx-a")},
		"all failed":              {fail(synthetic(t, "failed", 4, "anynetx-a"))},
		"one space all failed":    {fail(synthetic(t, "failed", 4, "anynetx-a", "regnetx"))},
		"another family":          {eff},
		"more spaces than colour": {many},
		"two studies":             {synthetic(t, "a", 12, "anynetx-a"), synthetic(t, "b", 12, "anynetx-e")},
	} {
		c := mustCompare(t, quick, sources...)
		page := mustPage(t, c)
		for _, bad := range []string{"NaN", "Inf", "%!", "ZgotmplZ"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page holds %q", name, bad)
			}
		}
		if files := c.Figures(); len(files) < 5 {
			t.Errorf("%s: %d figures", name, len(files))
		}
		if err := c.Text(io.Discard); err != nil {
			t.Error(err)
		}
		c.JSON()
	}
}

// A large study makes a page that a browser takes easily.
func TestPageSize(t *testing.T) {
	if testing.Short() {
		t.Skip("a page of 3000 networks")
	}
	page := mustPage(t, mustCompare(t, Options{Delta: 0.5, Resamples: 100}, synthetic(t, "large", 500, "anynetx-a", "anynetx-b", "anynetx-c", "anynetx-d", "anynetx-e", "regnetx")))
	if mb := float64(len(page)) / 1e6; mb > 2.5 {
		t.Errorf("the page of 3000 networks has %.1f MB", mb)
	}
	if !strings.Contains(page, "2") || !strings.Contains(page, "more are not listed") {
		t.Error("the page does not say that its list is cut")
	}
}

func TestFigures(t *testing.T) {
	c := mustCompare(t, quick, synthetic(t, "demo", 40, "anynetx-a", "regnetx"))
	var names []string
	for _, f := range c.Figures() {
		names = append(names, f.Name)
		var any struct{ XMLName xml.Name }
		if err := xml.Unmarshal(f.Data, &any); err != nil || any.XMLName.Space != "http://www.w3.org/2000/svg" {
			t.Errorf("%s is no SVG file: %v, %v", f.Name, any.XMLName, err)
		}
		if bytes.Contains(f.Data, []byte("var(")) {
			t.Errorf("%s refers to the page's colours", f.Name)
		}
	}
	want := []string{"edf.svg", "search.svg", "edf-by-params.svg", "flops.svg", "params.svg", "acts.svg", "curves-anynetx-a.svg", "best-anynetx-a.svg", "curves-regnetx.svg", "best-regnetx.svg"}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
}

// The text for a terminal, to be reviewed as it is printed.
func TestText(t *testing.T) {
	var b bytes.Buffer
	if err := mustCompare(t, Options{Delta: 0.5}, synthetic(t, "demo", 20, "anynetx-a", "anynetx-e", "regnetx")).Text(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "compare.txt")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("the text changed; look at it, then go test ./report -update\n%s", d)
	}
}

func TestJSON(t *testing.T) {
	spaces, pairs := mustCompare(t, quick, synthetic(t, "demo", 20, "anynetx-a", "regnetx")).JSON()
	if len(spaces) != 2 || len(pairs) != 1 {
		t.Fatalf("%d spaces, %d pairs", len(spaces), len(pairs))
	}
	for _, s := range spaces {
		for _, name := range []string{"min", "mean", "median", "area"} {
			if r, ok := s.Intervals[name]; !ok || r.Lo > r.Hi {
				t.Errorf("%s: interval of %s is %+v", s.Space, name, r)
			}
		}
	}
	if got := spaces[1].Mean - spaces[0].Mean; math.Abs(got-pairs[0].Mean.Difference) > 1e-9 {
		t.Errorf("the pair differs by %v, the means by %v", pairs[0].Mean.Difference, got)
	}
	// One network each: no intervals, and JSON all the same.
	spaces, pairs = mustCompare(t, quick, synthetic(t, "demo", 1, "anynetx-a", "regnetx")).JSON()
	text, err := json.Marshal([]any{spaces, pairs})
	if err != nil {
		t.Fatal(err)
	}
	if len(spaces[0].Intervals) != 0 || !bytes.Contains(text, []byte(`"better":null`)) {
		t.Errorf("%s", text)
	}
}

func TestParameters(t *testing.T) {
	names := func(space string) []string {
		var out []string
		for _, c := range parameters(synthetic(t, "demo", 60, space).Populations[0].Trials) {
			out = append(out, c.Label)
		}
		return out
	}
	for space, want := range map[string]string{
		"anynetx-a": "depth d|depth d₁|depth d₂|depth d₃|width w₁|width w₂|width w₃|bottleneck ratio b₁|bottleneck ratio b₂|bottleneck ratio b₃|group width g₁|group width g₂|group width g₃",
		// One b for all stages; the g of narrow stages is cut to their width.
		"anynetx-b": "depth d|depth d₁|depth d₂|depth d₃|width w₁|width w₂|width w₃|bottleneck ratio b|group width g₁|group width g₂|group width g₃",
		"regnetx":   "depth d|initial width w₀|slope wₐ|quantisation wₘ|bottleneck ratio b|group width g",
	} {
		if d := cmp.Diff(strings.Split(want, "|"), names(space)); d != "" {
			t.Errorf("%s: %s", space, d)
		}
	}

	// What is drawn of the recipe is a parameter; what does not vary is none.
	trials := synthetic(t, "demo", 3, "regnetx").Populations[0].Trials
	for i := range trials {
		trials[i].Spec = trials[0].Spec
		trials[i].Spec.Recipe = map[string]any{"lr": 0.05 * float64(i+1), "epochs": uint64(5), "schedule": "cosine"}
	}
	got := parameters(trials)
	if len(got) != 1 || got[0].Label != "lr" || got[0].Value[1] != 0.1 {
		t.Errorf("parameters %+v, want lr", got)
	}
}

func TestDescribe(t *testing.T) {
	n := arch.AnyNet{Common: arch.Common{Stem: arch.Stem{Width: 8}, Activation: graph.ReLU}, Stages: []arch.Stage{
		{Depth: 1, Width: 24, Stride: 2, Bottleneck: 1, GroupWidth: 8}, {Depth: 3, Width: 64, Stride: 2, Bottleneck: 1, GroupWidth: 16}}}
	if got, want := describe(n.Spec()), "d 1, 3 · w 24, 64 · b 1 · g 8, 16"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	n.Block = arch.Basic
	if got, want := describe(n.Spec()), "d 1, 3 · w 24, 64"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestFormat(t *testing.T) {
	for _, c := range [][2]string{
		{signed(-0.001, 2), "0.00"}, {signed(-1.234, 2), "−1.23"}, {difference(0.004, 2), "0.00"}, {difference(0.5, 2), "+0.50"},
		{probability(0.9999), "> 0.999"}, {probability(0), "< 0.001"}, {probability(0.5), "0.500"}, {probability(math.NaN()), "–"},
		{interval(stats.Estimate{Value: 1, Lo: -0.5, Hi: 2}, 1), "−0.5 … 2.0"}, {interval(stats.Estimate{Lo: math.NaN(), Hi: math.NaN()}, 1), "–"},
		{percent0(17.5), "17.5 %"}, {shellWord("out/a b"), "'out/a b'"}, {shellWord("out/a"), "out/a"}, {fileName("a/b c"), "a-b-c"},
	} {
		if c[0] != c[1] {
			t.Errorf("got %q, want %q", c[0], c[1])
		}
	}
}

// testdata/tiny is the folder of a study that was really run.
func TestLoad(t *testing.T) {
	s, err := Load(filepath.Join("testdata", "tiny"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Config.Name != "tiny" || s.TrainImages != 64 || s.Input.Classes != 10 || len(s.Populations) != 2 || !strings.Contains(s.File, "samples: 3") {
		t.Errorf("%+v", s)
	}
	c := mustCompare(t, quick, s)
	if len(c.Spaces) != 2 || c.Spaces[0].N != 3 {
		t.Errorf("%+v", c.Spaces)
	}
	if _, err := Load(t.TempDir()); !errors.Is(err, study.ErrNoStudy) {
		t.Errorf("an empty folder: %v", err)
	}
}
