package analysis_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"netspace/analysis"
	"netspace/analysis/analysistest"
	"netspace/stats"
	"netspace/study"
)

// pilots are a study, and the same networks trained with less: errors of half the spread, and noise.
func pilots(t *testing.T, noise float64) (whole, short analysis.Source) {
	t.Helper()
	whole = analysistest.Study(t, "pilot", 40, "anynetx-a", "regnetx")
	short = analysistest.Study(t, "pilot", 40, "anynetx-a", "regnetx")
	rng := rand.New(rand.NewPCG(5, 6))
	for i, p := range whole.Populations {
		for k := range p.Trials {
			w, s := &p.Trials[k], &short.Populations[i].Trials[k]
			w.State, s.State = study.Done, study.Done
			w.Error = 20 + 4*rng.NormFloat64() + float64(i)
			s.Error = 40 + w.Error/2 + noise*rng.NormFloat64() - 3*float64(i)
			w.Seconds, s.Seconds, w.Epochs, s.Epochs = 36, 9, nil, nil
		}
	}
	return whole, short
}

func TestPlanDecision(t *testing.T) {
	whole, short := pilots(t, 0)
	p, err := analysis.PlanDecision([]analysis.Source{whole, short}, analysis.PlanOptions{Delta: 1, EMax: 100, Workers: 2})
	if err != nil || len(p.Plans) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	w, s := p.Plans[0], p.Plans[1]
	if w.Basis != analysis.Whole || w.Rank != 1 || math.Abs(w.Slope-1) > 1e-12 || w.Networks != s.Networks {
		t.Errorf("whole: %+v", w)
	}
	if s.Basis != analysis.Trained || math.Abs(s.Rank-1) > 1e-9 || math.Abs(s.Slope-0.5) > 1e-9 || math.Abs(s.StdDev-w.StdDev/2) > 1e-9 {
		t.Errorf("short, without noise: %+v", s)
	}
	// Half the spread of half the differences takes as many networks, at a quarter of the time.
	n, err := stats.ModelsNeeded(w.StdDev, w.StdDev, 1, 0.05, 0.8)
	if err != nil || w.Needed != n || s.Needed < n-1 || s.Needed > n+1 || math.Abs(w.Hours-float64(n)*36/3600) > 1e-9 || s.Hours > w.Hours/3.9 {
		t.Errorf("%d networks are needed: %+v, %+v", n, w, s)
	}
	whole, short = pilots(t, 4)
	p, err = analysis.PlanDecision([]analysis.Source{whole, short}, analysis.PlanOptions{Delta: 1})
	if err != nil {
		t.Fatal(err)
	}
	if s := p.Plans[1]; s.Rank > 0.7 || s.RankLo >= s.Rank || s.RankHi <= s.Rank || s.Needed < 3*p.Plans[0].Needed {
		t.Errorf("short, with more noise than signal: %+v", s)
	}
	// One network of forty that is beyond hope does not decide, nor do those of the short trainings.
	whole, short = pilots(t, 0)
	before, err := analysis.PlanDecision([]analysis.Source{whole, short}, analysis.PlanOptions{Delta: 1})
	if err != nil {
		t.Fatal(err)
	}
	trials, others := whole.Populations[0].Trials, short.Populations[0].Trials
	worst := slices.IndexFunc(trials, func(n study.Trial) bool { return n.Error > before.Plans[0].EMax })
	trials[worst].Error, others[worst].Error = 90, 90
	after, err := analysis.PlanDecision([]analysis.Source{whole, short}, analysis.PlanOptions{Delta: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range before.Plans {
		a := after.Plans[i]
		if a.Needed != b.Needed || a.Slope != b.Slope || a.EMax != b.EMax || b.EMax < 15 || b.Needed == 0 {
			t.Errorf("plan %d: %+v with a network beyond hope, %+v without", i, a, b)
		}
	}
	if _, err := analysis.PlanDecision([]analysis.Source{{}}, analysis.PlanOptions{}); !errors.Is(err, analysis.ErrNothing) {
		t.Errorf("no networks: %v", err)
	}
}

// A pilot whose errors do not differ plans nothing, and networks that are not described are networks, too.
func TestPlansOfOddPilots(t *testing.T) {
	for what, line := range map[string]string{"equal": `{"error": 25}`, "one of each space": `{"error": %d, "space": "%[1]d"}`} {
		var text string
		for i := range 6 {
			if strings.Contains(line, "%") {
				text += fmt.Sprintf(line, 20+i) + "\n"
			} else {
				text += line + "\n"
			}
		}
		_, err := analysis.PlanDecision([]analysis.Source{opened(t, written(t, "a.jsonl", text))}, analysis.PlanOptions{})
		var request *study.RequestError
		if !errors.As(err, &request) || !strings.Contains(err.Error(), "no two networks of a space differ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	p, err := analysis.PlanDecision([]analysis.Source{opened(t, written(t, "a.jsonl", "{\"error\": 20}\n{\"error\": 21}\n{\"error\": 23}\n{\"error\": 22}\n{\"error\": 21}\n"))}, analysis.PlanOptions{})
	if err != nil || p.Plans[0].Networks != 5 || p.Plans[0].Needed == 0 {
		t.Errorf("%+v, %v", p, err)
	}
}
