package analysis_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/analysis"
	"netspace/analysis/analysistest"
	"netspace/metric"
	"netspace/space"
	"netspace/stats"
	"netspace/study"
)

func mustCompare(t testing.TB, o analysis.Options, sources ...analysis.Source) analysis.Comparison {
	t.Helper()
	c, err := analysis.Compare(context.Background(), sources, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustFind(t testing.TB, sources ...analysis.Source) analysis.Findings {
	t.Helper()
	f, err := mustCompare(t, quick, sources...).Findings()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var quick = analysis.Options{Delta: analysis.DefaultDelta, Resamples: 500}

// A failed trial stays in its population with the error of chance; one that has
// not finished does not count, and is said to be missing.
func TestFailedStayPendingDoNot(t *testing.T) {
	s := analysistest.Study(t, "demo", 6, "anynetx-a", "regnetx", "anynetx-e")
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
	f := mustFind(t, s)
	if len(f.Ranking)-6 != 3 || f.Failures[0] != (analysis.NetworkPlace{Space: 0, Network: 0}) || f.Network(f.Failures[0]).Reason != "out of memory" {
		t.Errorf("ranking %v, failures %v; want the 3 that were done and 6 others, and the one that was not", f.Ranking, f.Failures)
	}
}

func TestNothingFinished(t *testing.T) {
	s := analysistest.Study(t, "demo", 2, "regnetx")
	for i := range s.Populations[0].Trials {
		s.Populations[0].Trials[i].State = study.Pending
	}
	if _, err := analysis.Compare(context.Background(), []analysis.Source{s}, quick); !errors.Is(err, analysis.ErrNothing) {
		t.Errorf("error %v, want ErrNothing", err)
	}
}

func TestLabels(t *testing.T) {
	a, b := analysistest.Study(t, "a", 2, "anynetx-a", "regnetx"), analysistest.Study(t, "b", 2, "regnetx")
	c := mustCompare(t, quick, a, b)
	var got []string
	for _, s := range c.Spaces {
		got = append(got, s.Label)
	}
	if want := []string{"anynetx-a", "a/regnetx", "b/regnetx"}; !cmp.Equal(got, want) {
		t.Errorf("labels %v, want %v", got, want)
	}
	b.Name, b.Populations[0].Study, b.Dir = "a", "a", "elsewhere/a"
	if c = mustCompare(t, quick, a, b); c.Spaces[2].Label != "a/regnetx (elsewhere/a)" {
		t.Errorf("two studies of one name: %q", c.Spaces[2].Label)
	}
}

func TestComparable(t *testing.T) {
	a, b := analysistest.Study(t, "a", 2, "regnetx"), analysistest.Study(t, "b", 3, "anynetx-a")
	b.Protocol.Seed, b.Protocol.Network.Stages = 7, 4
	if err := analysis.Comparable([]analysis.Source{a, b}); err != nil {
		t.Errorf("another seed, sample and template: %v", err)
	}
	b.Protocol.Recipe.Epochs = 10
	b.Protocol.Regime.Bounds[metric.Flops].Max = 9e6
	b.Protocol.Data.Train = 5000
	err := analysis.Comparable([]analysis.Source{a, b})
	var different *analysis.DifferentError
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
	if f := mustFind(t, a, b); f.Different == nil {
		t.Error("what was found of studies that differ does not say so")
	}
	// What comes without its conditions is comparable with its like alone.
	a.Protocol = nil
	if err := analysis.Comparable([]analysis.Source{a, b}); !errors.As(err, &different) || !strings.Contains(err.Error(), "stated in studies/b, not stated in studies/a") {
		t.Errorf("conditions of one are not known: %v", err)
	}
	b.Protocol = nil
	if err := analysis.Comparable([]analysis.Source{a, b}); err != nil {
		t.Errorf("conditions of none are known: %v", err)
	}
}

func population(label string, errs ...float64) study.Population {
	p := study.Population{Study: "s", Space: label}
	for i, e := range errs {
		p.Trials = append(p.Trials, study.Trial{Index: i, State: study.Done, Error: e})
	}
	return p
}

func TestReading(t *testing.T) {
	good := []float64{13, 13.2, 13.4, 13.1, 13.5, 13.3, 13.6, 13.2, 13.4, 13.1, 13.3, 13.2}
	bad := []float64{16, 16.5, 15.8, 17, 16.2, 16.9, 18, 16.6, 16.1, 17.5, 16.4, 16.3}
	for name, c := range map[string]struct {
		populations []study.Population
		verdict     analysis.Verdict
		first       int
		alike, more bool
	}{
		"decided":   {[]study.Population{population("bad", bad...), population("good", good...)}, analysis.Best, 1, false, false},
		"the first": {[]study.Population{population("good", good...), population("bad", bad...)}, analysis.Best, 0, false, false},
		"undecided": {[]study.Population{population("a", bad[:4]...), population("b", append([]float64{14}, bad[1:4]...)...)}, analysis.Undecided, 1, false, true},
		"alike":     {[]study.Population{population("a", good...), population("b", append([]float64{12.9}, good[1:]...)...)}, analysis.Undecided, 1, true, false},
		"one space": {[]study.Population{population("good", good...)}, analysis.OneSpace, 0, false, false},
		"one value": {[]study.Population{population("good", 13)}, analysis.OneNetwork, 0, false, false},
		"one each":  {[]study.Population{population("good", 13), population("bad", 14)}, analysis.Unsure, 0, false, false},
	} {
		comparison := mustCompare(t, quick, analysis.Source{Populations: c.populations})
		r := comparison.Reading()
		if r.Verdict != c.verdict || r.First != c.first || r.Alike != c.alike || (r.Needed > 0) != c.more {
			t.Errorf("%s: %+v", name, r)
		}
		if (r.Second < 0) != (len(c.populations) == 1) {
			t.Errorf("%s: runner-up %d", name, r.Second)
		}
		// First less second, whichever of them is A in the pair.
		if r.Second >= 0 && r.Area.Value != comparison.Spaces[r.First].Area.Value-comparison.Spaces[r.Second].Area.Value {
			t.Errorf("%s: the areas differ by %v", name, r.Area.Value)
		}
		text, err := json.Marshal(r)
		if err != nil || bytes.Contains(text, []byte(`"area":null`)) != (r.Second < 0) {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
}

// What was found of populations that come without a study folder.
func TestFindingsWithoutAStudy(t *testing.T) {
	s := analysistest.Study(t, "demo", 20, "anynetx-c", "regnetx")
	s.Protocol, s.File = nil, ""
	f := mustFind(t, s)
	if len(f.Parameters[0]) == 0 || len(f.Best[1]) != analysis.MostOutlined || f.Different != nil {
		t.Errorf("%+v", f)
	}
}

// A distribution with its band, the efficiency of search, the curves and the best
// networks of a population that can be followed by hand.
func TestFindings(t *testing.T) {
	s := analysistest.Study(t, "demo", 4, "regnetx")
	trials := s.Populations[0].Trials
	for i, e := range []float64{20, 10, 30, 20} {
		trials[i].State, trials[i].Error = study.Done, e
	}
	trials[2].Epochs = trials[2].Epochs[:1] // one point makes no curve
	trials[0].Epochs[2].Evaluated = false   // nothing was measured there
	f := mustFind(t, s)
	d := f.Distributions[0]
	epsilon := stats.DKW(4, 0.95)
	if !cmp.Equal(d.X, []float64{10, 20, 30}) || !cmp.Equal(d.F, []float64{0.25, 0.75, 1}) || d.Epsilon != epsilon || d.Lo[0] != 0 || d.Lo[1] != 0.75-epsilon || d.Hi[1] != 1 {
		t.Errorf("distribution %+v", d)
	}
	if e := f.Search[0]; !cmp.Equal(e.K, []int{1, 2, 3, 4}) || e.Mean[0] != 20 || e.Mean[3] != 10 {
		t.Errorf("search %+v", e)
	}
	var order, ranks []int
	for _, p := range f.Ranking {
		order = append(order, p.Network)
	}
	for _, c := range f.Curves[0] {
		ranks = append(ranks, c.Rank)
	}
	if !cmp.Equal(order, []int{1, 0, 3, 2}) || !cmp.Equal(ranks, []int{0, 1, 2}) || !cmp.Equal(f.Curves[0][1].Epochs, []int{1, 2, 4, 5}) {
		t.Errorf("order %v, curves of ranks %v, epochs %v", order, ranks, f.Curves[0][1].Epochs)
	}
	best := f.Best[0][0]
	if n, _ := trials[1].Spec.AnyNet(); best.Network != 1 || !cmp.Equal(best.Silhouette.Widths, n.Widths()) {
		t.Errorf("best %+v", best)
	}
	if r := f.Relations[0]; r.Measure != "flops" || r.Values[0][2] != float64(trials[2].Complexity.Flops) || r.Range.Lo > r.Range.Hi {
		t.Errorf("relation %+v", r)
	}
	if f.Normalised != nil {
		t.Error("one space is normalised")
	}
}

// An outlier and a failure do not stretch the range of errors that is worth seeing.
func TestShown(t *testing.T) {
	s := analysistest.Study(t, "demo", 12, "regnetx")
	for i := range s.Populations[0].Trials {
		tr := &s.Populations[0].Trials[i]
		tr.State, tr.Error = study.Done, 15+float64(i)/4
	}
	s.Populations[0].Trials[4].Error = 60
	s.Populations[0].Trials[5].State, s.Populations[0].Trials[5].Error = study.Failed, 90
	if f := mustFind(t, s); f.Shown.Lo != 15 || f.Shown.Hi > 20 {
		t.Errorf("shown %+v", f.Shown)
	}
}

func TestNormalised(t *testing.T) {
	s := analysistest.Study(t, "demo", 40, "anynetx-a", "regnetx")
	for _, p := range s.Populations {
		for i := range p.Trials {
			p.Trials[i].Complexity.Params = int64(1000 + 10*i)
		}
	}
	n := mustFind(t, s).Normalised
	if n == nil || n.Measure != "params" || n.Bins != 8 || n.SharedBins != 8 || n.Networks != 80 || len(n.Distributions) != 2 {
		t.Fatalf("%+v", n)
	}
	for i := range s.Populations[1].Trials { // half of the range is beyond the other's
		s.Populations[1].Trials[i].Complexity.Params += 350
	}
	if n = mustFind(t, s).Normalised; n != nil {
		t.Errorf("most networks have no counterpart, and yet %+v", n)
	}
}

func TestJSON(t *testing.T) {
	lines := func(n int) (spaces []analysis.SpaceJSON, pairs []analysis.PairJSON, text []byte) {
		c := mustCompare(t, quick, analysistest.Study(t, "demo", n, "anynetx-a", "regnetx"))
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var read struct {
			Spaces []analysis.SpaceJSON
			Pairs  []analysis.PairJSON
		}
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		for i, s := range c.Spaces {
			if d := cmp.Diff(s.JSON(), read.Spaces[i]); d != "" {
				t.Error(d)
			}
		}
		return read.Spaces, read.Pairs, text
	}
	spaces, pairs, _ := lines(20)
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
	spaces, _, text := lines(1)
	if len(spaces[0].Intervals) != 0 || !bytes.Contains(text, []byte(`"better":null`)) {
		t.Errorf("%s", text)
	}
	// Everything that was found is JSON, of the oddest populations too.
	for _, n := range []int{1, 2, 20} {
		text, err := json.Marshal(mustFind(t, analysistest.Study(t, "demo", n, "anynetx-a", "regnetx")))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"reading":{"verdict":`, `"distributions":[{"x":[`, `"spaces":[{"study":"demo"`, `"protocol":{"data":`, `"silhouette":{"widths":[`} {
			if !bytes.Contains(text, []byte(want)) {
				t.Errorf("%d networks: no %s", n, want)
			}
		}
	}
}

func TestParameters(t *testing.T) {
	names := func(s analysis.Source) string {
		var out []string
		for _, p := range mustFind(t, s).Parameters[0] {
			if p.Shared {
				p.Name += " (shared)"
			}
			out = append(out, strings.ReplaceAll(p.Name, "stages", ""))
		}
		return strings.Join(out, " ")
	}
	for space, want := range map[string]string{
		"anynetx-a": "blocks [0].depth [1].depth [2].depth [0].width [1].width [2].width [0].bottleneck [1].bottleneck [2].bottleneck [0].group_width [1].group_width [2].group_width",
		// One b and one g for all stages, although narrow stages cut g.
		"anynetx-c": "blocks [0].depth [1].depth [2].depth [0].width [1].width [2].width bottleneck (shared) group_width (shared)",
		"regnetx":   "depth w0 wa wm bottleneck group_width",
	} {
		if got := names(analysistest.Study(t, "demo", 60, space)); got != want {
			t.Errorf("%s: %s\nwant %s", space, got, want)
		}
	}
	// Of old trials it is not known what was drawn: then it is what was built.
	old := analysistest.Study(t, "demo", 60, "anynetx-c")
	old.Populations[0].Trials[7].Asked = nil
	if got, want := names(old), "blocks [0].depth [1].depth [2].depth [0].width [1].width [2].width bottleneck (shared) [0].group_width [1].group_width [2].group_width"; got != want {
		t.Errorf("as built: %s\nwant %s", got, want)
	}
}

// Values are those that were drawn, and the range of the best is that of stats.
func TestParameterValues(t *testing.T) {
	s := analysistest.Study(t, "demo", 30, "anynetx-c")
	f := mustFind(t, s)
	p := f.Parameters[0][len(f.Parameters[0])-1]
	cut := false
	for j, i := range p.Networks {
		trial := f.Spaces[0].Finished[i]
		if v, _ := trial.Asked.Value("stages[2].group_width"); p.Values[j] != v {
			t.Errorf("network %d: %v, drawn was %v", i, p.Values[j], v)
		}
		n, _ := trial.Spec.AnyNet()
		cut = cut || float64(n.Stages[0].GroupWidth) != p.Values[j]
	}
	if !cut {
		t.Error("no group width was cut: the test shows nothing")
	}
	want, err := stats.BestRange(f.Spaces[0].Errors, p.Values)
	if err != nil || *p.Best != analysis.BestRange(want) {
		t.Errorf("best range %+v, want %+v (%v)", p.Best, want, err)
	}

	// What is drawn of the recipe is a parameter, of the specs of old trials too; what does not vary is none.
	s = analysistest.Study(t, "demo", 3, "regnetx")
	for i := range s.Populations[0].Trials {
		tr := &s.Populations[0].Trials[i]
		tr.Spec, tr.Asked = s.Populations[0].Trials[0].Spec, nil
		tr.Spec.Recipe = map[string]any{"lr": 0.05 * float64(i+1), "epochs": uint64(5), "schedule": "cosine"}
	}
	got := mustFind(t, s).Parameters[0]
	if len(got) != 1 || got[0].Name != "recipe.lr" || got[0].Values[1] != 0.1 {
		t.Errorf("parameters %+v, want recipe.lr", got)
	}
}

func TestStage(t *testing.T) {
	for name, want := range map[string]string{"stages[2].width": "width 2 true", "w0": "w0 0 false", "stages[-1].width": "stages[-1].width 0 false", "stages[x].width": "stages[x].width 0 false", "stages[99999999999].w": "stages[99999999999].w 0 false"} {
		field, stage, ok := analysis.Parameter{Name: name}.Stage()
		if got := fmt.Sprint(field, " ", stage, " ", ok); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// A sample counts every network in each of its histograms.
func TestSample(t *testing.T) {
	s, err := space.Load("anynetx-c")
	if err != nil {
		t.Fatal(err)
	}
	networks, _, err := s.Sample(context.Background(), space.Config{Regime: space.Regime{Bounds: metric.Bounds{metric.Flops: {Min: 360e6, Max: 400e6}}}}, 30)
	if err != nil {
		t.Fatal(err)
	}
	sample, err := analysis.NewSample(s.Name, networks)
	if err != nil {
		t.Fatal(err)
	}
	if len(sample.Complexity) != 3 || len(sample.Parameters) != 4+4+2 || !sample.Parameters[9].Shared || sample.Parameters[9].Name != "group_width" {
		t.Errorf("%+v", sample)
	}
	for _, n := range append(sample.Complexity, sample.Parameters...) {
		total := 0
		for _, k := range n.Counts {
			total += k
		}
		if total != 30 {
			t.Errorf("%s counts %d networks", n.Name, total)
		}
	}
	if empty, err := analysis.NewSample("none", nil); err != nil || len(empty.Complexity) != 3 || empty.Networks != 0 {
		t.Errorf("%+v, %v", empty, err)
	}
}

// testdata/tiny is the folder of a study that was really run.
func TestLoad(t *testing.T) {
	s, err := analysis.Load(context.Background(), filepath.Join("testdata", "tiny"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "tiny" || s.Protocol.TrainImages != 64 || s.Protocol.Input.Classes != 10 || s.Protocol.Samples != 3 || len(s.Populations) != 2 || !strings.Contains(s.File, "samples: 3") {
		t.Errorf("%+v", s)
	}
	c := mustCompare(t, quick, s)
	if len(c.Spaces) != 2 || c.Spaces[0].N != 3 {
		t.Errorf("%+v", c.Spaces)
	}
	if _, err := analysis.Load(context.Background(), t.TempDir()); !errors.Is(err, study.ErrNoStudy) {
		t.Errorf("an empty folder: %v", err)
	}
}
