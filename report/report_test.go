package report

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/analysis"
	"netspace/analysis/analysistest"
	"netspace/arch"
	"netspace/figure"
	"netspace/graph"
	"netspace/space"
	"netspace/stats"
	"netspace/study"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var quick = analysis.Options{Delta: analysis.DefaultDelta, Resamples: 500}

func mustCompare(t testing.TB, o analysis.Options, sources ...analysis.Source) analysis.Comparison {
	t.Helper()
	c, err := analysis.Compare(context.Background(), sources, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustFind(t testing.TB, o analysis.Options, sources ...analysis.Source) analysis.Findings {
	t.Helper()
	f, err := mustCompare(t, o, sources...).Findings()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustPage(t testing.TB, f analysis.Findings) string {
	t.Helper()
	var b bytes.Buffer
	if err := Page(&b, f); err != nil {
		t.Fatal(err)
	}
	return b.String()
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
		comparison := mustCompare(t, quick, analysis.Source{Populations: c.populations})
		if got := reading(comparison, comparison.Reading()); !regexp.MustCompile(c.want).MatchString(got) {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}

// The page refers to nothing outside itself, runs no script, closes its
// elements, and holds what was made up.
func TestPage(t *testing.T) {
	s := analysistest.Study(t, "demo", 30, "anynetx-a", "regnetx")
	s.Populations[0].Trials[3].State = study.Failed
	s.Populations[0].Trials[3].Error = 90
	s.Populations[0].Trials[3].Reason = "the loss is <script>alert(1)</script>"
	page := mustPage(t, mustFind(t, quick, s))
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
	if again := mustPage(t, mustFind(t, quick, s)); again != page {
		t.Error("the same results gave another page")
	}
}

// The page of a design loop begins with what it came to, and shows every rule.
func TestPageOfALadder(t *testing.T) {
	s := analysistest.Study(t, "loop", 30, "anynetx-a", "anynetx-b")
	lo, hi := -2.0, 0.5
	s.Ladder = &analysis.Ladder{Name: "loop", Start: "anynetx-a", Found: "anynetx-b", Delta: 0.5, Alpha: 0.05, Log10: 13.7, Why: analysis.Exhausted, Rungs: []analysis.Rung{
		{Number: 1, Base: "anynetx-a", Space: "narrow", Label: "narrow & deep", After: 11, Finding: "worse", Difference: 3},
		{Number: 2, Base: "anynetx-a", Space: "anynetx-b", Label: "one bottleneck", After: 12.5, Accepted: true, Finding: "not-worse", Difference: -0.75, Lo: &lo, Hi: &hi, Full: 30},
	}}
	found := mustFind(t, quick, s)
	mean := map[string]string{}
	for _, sp := range found.Spaces {
		mean[sp.Label] = fmt.Sprintf("%.1f\u00a0%%", sp.Mean.Value)
	}
	page := mustPage(t, found)
	for _, want := range []string{
		"One rule leads from anynetx-a to anynetx-b: " + mean["anynetx-b"] + " mean error in the place of " + mean["anynetx-a"] + ", among 10^12.5 networks in the place of 10^13.7.",
		"1. narrow &amp; deep", "<b>one bottleneck</b>", "−0.75<small>−2.00 … &#43;0.50</small>", "kept: not worse", "too many rules failed",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "per space asked for") != (s.Protocol.Samples > 0) {
		t.Error("what was asked for")
	}
	if files := Figures(found); files[1].Name != "ladder.svg" || !bytes.Contains(files[1].Data, []byte("+ one bottleneck")) {
		t.Errorf("the second figure is %s", files[1].Name)
	}
}

// Pages of the smallest and oddest populations.
func TestPageEdges(t *testing.T) {
	fail := func(s analysis.Source) analysis.Source {
		for i := range s.Populations[0].Trials {
			tr := &s.Populations[0].Trials[i]
			tr.State, tr.Error, tr.Reason, tr.Epochs = study.Failed, 90, "crashed", nil
		}
		return s
	}
	eff := analysistest.Study(t, "eff", 3, "regnetx")
	for i := range eff.Populations[0].Trials {
		eff.Populations[0].Trials[i].Spec = arch.EffNet{
			Common: arch.Common{Stem: arch.Stem{Width: 8}, Activation: graph.SiLU},
			Stages: []arch.EffStage{{Depth: 1 + i, Width: 8, Stride: 1, Expand: 1, Kernel: 3}, {Depth: 2, Width: 16, Stride: 2, Expand: 6, Kernel: 5}},
		}.Spec()
	}
	many := analysistest.Study(t, "many", 1, "anynetx-a", "anynetx-b", "anynetx-c", "anynetx-d", "anynetx-e", "regnetx", "a", "b", "c", "d")
	for name, sources := range map[string][]analysis.Source{
		"one network":             {analysistest.Study(t, "one", 1, "regnetx")},
		"two networks":            {analysistest.Study(t, "two", 2, "regnetx", "anynetx-a")},
		"all failed":              {fail(analysistest.Study(t, "failed", 4, "anynetx-a"))},
		"one space all failed":    {fail(analysistest.Study(t, "failed", 4, "anynetx-a", "regnetx"))},
		"another family":          {eff},
		"more spaces than colour": {many},
		"two studies":             {analysistest.Study(t, "a", 12, "anynetx-a"), analysistest.Study(t, "b", 12, "anynetx-e")},
	} {
		f := mustFind(t, quick, sources...)
		page := mustPage(t, f)
		for _, bad := range []string{"NaN", "Inf", "%!", "ZgotmplZ"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page holds %q", name, bad)
			}
		}
		if files := Figures(f); len(files) < 5 {
			t.Errorf("%s: %d figures", name, len(files))
		}
		if err := Text(io.Discard, f.Comparison); err != nil {
			t.Error(err)
		}
	}
}

// A large study makes a page that a browser takes easily.
func TestPageSize(t *testing.T) {
	if testing.Short() {
		t.Skip("a page of 3000 networks")
	}
	page := mustPage(t, mustFind(t, analysis.Options{Delta: 0.5, Resamples: 100}, analysistest.Study(t, "large", 500, "anynetx-a", "anynetx-b", "anynetx-c", "anynetx-d", "anynetx-e", "regnetx")))
	if mb := float64(len(page)) / 1e6; mb > 2.5 {
		t.Errorf("the page of 3000 networks has %.1f MB", mb)
	}
	if !strings.Contains(page, "2") || !strings.Contains(page, "more are not listed") {
		t.Error("the page does not say that its list is cut")
	}
}

func TestFigures(t *testing.T) {
	found := mustFind(t, quick, analysistest.Study(t, "demo", 40, "anynetx-a", "regnetx"))
	var names []string
	for _, f := range Figures(found) {
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
	if err := Text(&b, mustCompare(t, analysis.Options{Delta: 0.5}, analysistest.Study(t, "demo", 20, "anynetx-a", "anynetx-e", "regnetx"))); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare.txt", b.String())
}

// golden compares with a file of testdata, which -update writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("%s changed; look at it, then go test ./report -update\n%s", name, d)
	}
}

// The drawings of a network and of a sample: a title per block, and the name as it is.
func TestDrawings(t *testing.T) {
	r := arch.RegNet{Depth: 13, W0: 24, WA: 36, WM: 2.5, GroupWidth: 8, Bottleneck: 1, Common: arch.Common{Stem: arch.Stem{Width: 32}, Activation: graph.ReLU}}
	silhouette, err := r.Spec().Silhouette()
	if err != nil {
		t.Fatal(err)
	}
	network := string(figure.File(Network("RegNet <X>", silhouette)))
	if strings.Count(network, "<title>block ") != 13 || !strings.Contains(network, "RegNet &lt;X&gt;") {
		t.Errorf("%s", network)
	}
	golden(t, "network.svg", strings.ReplaceAll(network, "><", ">\n<"))

	bars := func(edges ...float64) stats.Histogram {
		return stats.Histogram{Edges: edges, Counts: []int{3, 1, 2}[:len(edges)-1], Log: edges[0] > 0}
	}
	sample := analysis.Sample{Space: "a<b", Networks: 6, Complexity: []analysis.Numbers{{Name: "flops", Histogram: bars(1e6, 2e6, 4e6, 8e6)}}, Parameters: []analysis.Numbers{
		{Name: "stages[0].width", Histogram: bars(6, 12, 24, 48)}, {Name: "stages[1].width", Histogram: bars(6, 12)},
		{Name: "group_width", Shared: true, Histogram: bars(0, 1, 2)}, {Name: "recipe.lr", Histogram: bars(0.00005, 0.0002, 0.0004)},
	}}
	grid := string(figure.File(Sample(sample)))
	for _, want := range []string{"a&lt;b: 6 networks", ">flops<", ">stages[1].width<", ">group_width of all stages<"} {
		if !strings.Contains(grid, want) {
			t.Errorf("no %s", want)
		}
	}
	golden(t, "sample.svg", strings.ReplaceAll(grid, "><", ">\n<"))
	for _, empty := range []analysis.Sample{{Space: "none"}, {Space: "none", Complexity: []analysis.Numbers{{Name: "flops"}}}} {
		if err := xml.Unmarshal(figure.File(Sample(empty)), new(struct{})); err != nil {
			t.Errorf("an empty sample: %v", err)
		}
	}
}

// The page says what is missing, what failed and what differs.
func TestPageWarns(t *testing.T) {
	a, b := analysistest.Study(t, "a", 6, "anynetx-a", "regnetx"), analysistest.Study(t, "b", 6, "anynetx-e")
	trials := a.Populations[0].Trials
	trials[0].State, trials[0].Error, trials[0].Reason = study.Failed, 90, "out of memory"
	trials[1].State, trials[2].State = study.Pending, study.Running
	for i := range a.Populations[1].Trials {
		a.Populations[1].Trials[i].State = study.Pending
	}
	b.Protocol.Recipe.Epochs = 10
	page := mustPage(t, mustFind(t, quick, a, b))
	for _, want := range []string{"out of memory", "4 of 6 networks have finished", "regnetx is left out", "recipe.epochs: 5 in studies/a"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// The page says who made the results, and has the texts of the spaces.
func TestPageProvenance(t *testing.T) {
	s := analysistest.Study(t, "demo", 6, "mine")
	s.Spaces = []analysis.SpaceText{{Name: "mine", Files: []space.File{{Path: "mine.yaml", Text: "base: anynetx-c # <mine>"}}}}
	maker := func(cpu string, n int) study.Made {
		return study.Made{Trials: n, Maker: study.Maker{Host: "node1", Program: "netspace v1", CPU: cpu}}
	}
	s.Provenance = &study.Provenance{Data: "abc123", Makers: []study.Made{maker("Xeon", 4), maker("EPYC", 1)}, Unknown: 1, Differing: true}
	page := mustPage(t, mustFind(t, quick, s))
	for _, want := range []string{"base: anynetx-c # &lt;mine&gt;", "4 by ", "Xeon", "EPYC", "node1", "netspace v1", "abc123", "1 by a version that did not record it", "may differ"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestSymbol(t *testing.T) {
	for _, c := range []struct {
		p    analysis.Parameter
		want string
	}{
		{analysis.Parameter{Name: analysis.Blocks}, "depth d"}, {analysis.Parameter{Name: "depth"}, "depth d"}, {analysis.Parameter{Name: "depth", Shared: true}, "depth d of each stage"},
		{analysis.Parameter{Name: "stages[0].width"}, "width w₁"}, {analysis.Parameter{Name: "stages[11].group_width"}, "group width g₁₂"},
		{analysis.Parameter{Name: "group_width", Shared: true}, "group width g"}, {analysis.Parameter{Name: "recipe.weight_decay"}, "weight decay"}, {analysis.Parameter{Name: "stem_width"}, "stem width"},
	} {
		if got := symbol(c.p); got != c.want {
			t.Errorf("%+v: %q, want %q", c.p, got, c.want)
		}
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
