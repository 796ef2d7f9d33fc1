package report

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"netspace/analysis"
	"netspace/analysis/analysistest"
	"netspace/graph"
	"netspace/train"
)

// madeSearch is a search for a network of regnetx that has ended.
func madeSearch() analysis.SearchLog {
	ms := 0.7
	l := analysis.SearchLog{
		Name: "search", Space: "regnetx", Schedule: "halving", Trainings: 12,
		Bounds: []analysis.SearchBound{{Metric: "flops", Unit: "multiply-adds", Range: "..5M"}, {Metric: "weights_size", Unit: "bytes", Range: "..2M"}},
		Rungs:  []analysis.SearchRun{{Epochs: 2, Networks: []int{4, 2, 0, 1, 3, 5}, Failed: 1, Cost: 2.4}, {Epochs: 5, Networks: []int{2, 4}, Cost: 1.2}},
		Drawn:  9, Rejected: 3, Noise: 0.31,
		Latency: &analysis.Latencies{Device: "a phone", Measured: map[int]float64{2: 0.7, 4: 0.4}, Modelled: map[int]bool{6: false}, Predicted: 1, Fitted: 20, Median: 0.0314, P90: 0.112, Model: 0.09},
		Finalists: []analysis.Finalist{
			{Index: 2, Error: 14, Reruns: []float64{14.5, 14.7}, Mean: 14.6, Shrunk: 14.55, StdError: 0.2, Chance: 0.62, Complexity: graph.Complexity{Flops: 4_500_000, Params: 120_000, Acts: 90_000}},
			{Index: 4, Error: 15, Reruns: []float64{15.1, 15.5}, Mean: 15.3, Shrunk: 15.2, StdError: 0.2, Chance: 0.08, Complexity: graph.Complexity{Flops: 4_100_000, Params: 100_000, Acts: 80_000}},
		},
		Winner: &analysis.Winner{Index: 2, File: "winner.yaml", OfFinalists: 0.97, OfAll: 0.62, Regret: 0.12, Latency: &ms, Estimate: &analysis.Estimate{Images: 500, Error: 14.8, Lo: 11.9, Hi: 18.1}},
	}
	for metric, values := range map[string][2]float64{"flops": {4.5e6, 4.1e6}, "latency": {0.7, 0.4}} {
		l.Fronts = append(l.Fronts, analysis.NewFront(metric, []analysis.FrontPoint{{Index: 2, Value: values[0], Error: 14.4}, {Index: 4, Value: values[1], Error: 15.2}, {Index: 0, Value: values[0] * 1.1, Error: 19}}))
	}
	recipe := train.DefaultRecipe()
	recipe.Epochs = 25
	l.Final = &analysis.FinalTraining{Recipe: recipe, Images: 60000, Test: train.Metrics{Images: 10000, Error: 9.87}, TestLo: 9.3, TestHi: 10.5}
	return l
}

// What a search came to, in words for a terminal.
func TestSearchText(t *testing.T) {
	var b bytes.Buffer
	if err := Search(&b, madeSearch()); err != nil {
		t.Fatal(err)
	}
	golden(t, "search.txt", b.String())
	for name, c := range map[string]struct {
		change       func(*analysis.SearchLog)
		has, without string
	}{
		"no winner yet":        {func(l *analysis.SearchLog) { l.Winner, l.Finalists = nil, nil }, `The search goes on\.$`, "finalist"},
		"last training ahead":  {func(l *analysis.SearchLog) { l.Final = nil }, `Its last training is still to come\.$`, "test images"},
		"test images seen":     {func(l *analysis.SearchLog) { l.Earlier = make([]analysis.FinalTraining, 2) }, `read 2 times before`, "NaN"},
		"no estimate":          {func(l *analysis.SearchLog) { l.Winner.Estimate = nil }, `best of the 2 finalists`, "nothing was chosen by"},
		"no latency":           {func(l *analysis.SearchLog) { l.Latency, l.Winner.Latency = nil, nil }, `standard deviation of 0\.31`, "One image takes"},
		"all measured":         {func(l *analysis.SearchLog) { l.Latency.Fitted = 0 }, `One image takes 0\.7 ms as measured on a phone\.\n`, "model"},
		"a log of before P90":  {func(l *analysis.SearchLog) { l.Latency.Median, l.Latency.P90 = 0, 0 }, `not seen by 9 %\.\n`, "median"},
		"a finalist of chance": {func(l *analysis.SearchLog) { l.Finalists[1].Mean = 90 }, `90\.00`, "NaN"},
	} {
		l := madeSearch()
		c.change(&l)
		b.Reset()
		if err := Search(&b, l); err != nil {
			t.Fatal(err)
		}
		if text := strings.TrimSpace(b.String()); !regexp.MustCompile(c.has).MatchString(text) || strings.Contains(text, c.without) {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

// The page of a search begins with the error of its winner, and shows it on every front.
func TestPageOfASearch(t *testing.T) {
	l := madeSearch()
	s := analysistest.Study(t, "search", 6, "regnetx")
	s.Search = &l
	page := mustPage(t, mustFind(t, quick, s))
	for _, want := range []string{
		"Network #2 of regnetx has a test error of 9.87\u00a0%.", "<h2>The search</h2>", "flops ..5M, weights size ..2M bytes", `<a href="#search-log">Search</a>`, "the best of the 2 finalists with a chance of 97 %",
		"<td>#4</td>", "the winner: #2: 4.5M flops, error 14.40 %", "the winner: #2: 0.7 ms, error 14.40 %", "#0: 0.77 ms, error 19.00 %",
		"tell nothing of the distribution of errors in the space", "3.1 % in the median, on nine in ten by at most 11 %",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"NaN", "Inf", "%!", "ZgotmplZ", "search goes on"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for want, change := range map[string]func(){
		"its last training is still to come": func() { l.Final = nil },
		"The search goes on.":                func() { l.Winner, l.Finalists, l.Fronts = nil, nil, nil },
		"within its budgets.":                func() { l.Schedule = "random" },
	} {
		kept := l
		change()
		if page := mustPage(t, mustFind(t, quick, s)); !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
		l = kept
	}
}

// A front has a step for each network that no other beats, in the order of the metric.
func TestPareto(t *testing.T) {
	l := madeSearch()
	f := analysis.NewFront("params", []analysis.FrontPoint{{Index: 0, Value: 300, Error: 10}, {Index: 1, Value: 100, Error: 12}, {Index: 2, Value: 200, Error: 11}, {Index: 3, Value: 250, Error: 11.5}, {Index: 4, Value: 300, Error: 10}})
	var order []string
	for _, p := range f.Points {
		order = append(order, fmt.Sprint(p.Index))
	}
	if got := strings.Join(order, " "); got != "1 2 0" || len(f.Others) != 2 {
		t.Errorf("the front is %s, with %d others", got, len(f.Others))
	}
	if svg := string(draw(pareto(l, f))); strings.Count(svg, "<title>") < 5 || !strings.Contains(svg, "the winner: #2: 200 params") {
		t.Errorf("%s", svg)
	}
	if pareto(l, analysis.NewFront("params", nil)) != nil {
		t.Error("a front of no network is drawn")
	}
}
