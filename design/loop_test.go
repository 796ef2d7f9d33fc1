package design

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/analysis"
	"netspace/engine"
	"netspace/executor"
	"netspace/study"
	"netspace/train"
	"netspace/trial"
)

// widening makes up results of networks that are the better the less their widths shrink from stage to stage, and of nothing else.
type widening struct {
	trained *atomic.Int64
	stop    func(n int64)
}

func (m widening) Describe(trial.Task) (engine.Description, error) {
	return engine.Description{Name: "made"}, nil
}

func (m widening) Train(ctx context.Context, t trial.Task, _ string, _ func(train.Progress)) (res train.Result, err error) {
	m.stop(m.trained.Add(1))
	if err := ctx.Err(); err != nil {
		return res, err
	}
	n, ok := t.Spec.AnyNet()
	if !ok {
		return res, errors.New("no stages")
	}
	v := 20 + float64(t.Seed%1000)/1000
	for i := 1; i < len(n.Stages); i++ {
		v += 4 * max(0, math.Log2(float64(n.Stages[i-1].Width)/float64(n.Stages[i].Width)))
	}
	last := t.Recipe.Epochs
	if t.Steps > 0 {
		last = t.Steps / 10
	}
	for e := 1; e <= last; e++ {
		res.Epochs = append(res.Epochs, train.EpochStats{Epoch: e, TrainLoss: v / 30, TrainError: v, Evaluated: true, ValLoss: v / 30, ValError: v})
	}
	res.Error = v
	return res, nil
}

const designed = "design: {start: anynetx-a, networks: 30, delta: 0.5, max_samples: 40, failures: 1, retry: true, budget: {trainings: 160}}"

func newDesign(t *testing.T, block string) study.Request {
	req := newStudy(t, block)
	text, err := os.ReadFile(req.File)
	if err == nil {
		text = []byte(strings.Replace(strings.Replace(string(text), "spaces: [anynetx-a, regnetx]\n", "", 1), "10K..100K", "10K..200K", 1))
		err = os.WriteFile(req.File, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// runLoop runs a loop, interrupted after every few trainings, if that is above 0.
func runLoop(t *testing.T, req study.Request, workersAtOnce int, every int64) (l analysis.Ladder, trained int64) {
	t.Helper()
	var n atomic.Int64
	for {
		ctx, cancel := context.WithCancel(t.Context())
		begun := n.Load()
		m := widening{&n, func(k int64) {
			if every > 0 && k >= begun+every {
				cancel()
			}
		}}
		l, err := Loop(ctx, req, LoopOptions{Tell: t.Logf, Train: func(ctx context.Context, run *study.Run) error {
			return run.Execute(ctx, executor.Goroutines{Workers: workersAtOnce, Trainer: m}, nil)
		}})
		stopped := ctx.Err() != nil
		cancel()
		if err == nil {
			return l, n.Load()
		}
		if !stopped {
			t.Fatal(err)
		}
	}
}

func ladderText(t *testing.T, l analysis.Ladder) string {
	t.Helper()
	l.Seconds = 0
	text, err := json.MarshalIndent(l, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The loop finds the one thing that matters, and comes to the same decisions however often it is interrupted.
func TestLoop(t *testing.T) {
	undisturbed, trained := runLoop(t, newDesign(t, designed), 1, 0)
	want := ladderText(t, undisturbed)
	if len(undisturbed.Rungs) == 0 || !undisturbed.Rungs[0].Accepted || !strings.Contains(undisturbed.Rungs[0].Label, "width") || undisturbed.Rungs[0].Difference >= 0 {
		t.Fatalf("the first rule is not about widths:\n%s", want)
	}
	for _, r := range undisturbed.Rungs {
		if r.After >= r.Before {
			t.Errorf("%s makes the space no smaller", r.Label)
		}
	}
	if len(undisturbed.Rungs) < 2 || undisturbed.Why == "" || undisturbed.Found != undisturbed.Spaces()[len(undisturbed.Spaces())-1] {
		t.Error(want)
	}

	req := newDesign(t, designed)
	if got, _ := runLoop(t, req, 3, trained/2); ladderText(t, got) != want {
		t.Errorf("interrupted: %s", cmp.Diff(want, ladderText(t, got)))
	}
	// From the folder alone, without its log: nothing is trained.
	if err := os.Remove(filepath.Join(req.Dir, analysis.LadderFile)); err != nil {
		t.Fatal(err)
	}
	req.File = ""
	if got, n := runLoop(t, req, 2, 0); ladderText(t, got) != want || n > 0 {
		t.Errorf("again, %d trainings: %s", n, cmp.Diff(want, ladderText(t, got)))
	}
	source, err := analysis.Load(t.Context(), req.Dir)
	if err != nil || source.Ladder == nil || ladderText(t, *source.Ladder) != want {
		t.Errorf("%+v, %v", source.Ladder, err)
	}
	var request *study.RequestError
	if _, err := study.Start(t.Context(), req); !errors.As(err, &request) || !strings.Contains(err.Error(), "netspace design") {
		t.Errorf("study run of a design: %v", err)
	}
	joins(t, req)
}

// A rule that failed is tried again on request alone, on another space, and if the networks there support it.
func TestRulesThatFailed(t *testing.T) {
	failed := map[string]string{"one bottleneck": "a", "quantised": "a"}
	for _, c := range []struct {
		candidate analysis.Candidate
		on        string
		retry     bool
		want      bool
	}{
		{analysis.Candidate{Label: "one group width", Standing: analysis.TooFew}, "a", false, false},
		{analysis.Candidate{Label: "one bottleneck", Standing: analysis.Better}, "b", false, true},
		{analysis.Candidate{Label: "one bottleneck", Standing: analysis.Better}, "b", true, false},
		{analysis.Candidate{Label: "one bottleneck", Standing: analysis.NotWorse}, "b", true, false},
		{analysis.Candidate{Label: "one bottleneck", Standing: analysis.Better}, "a", true, true},
		{analysis.Candidate{Label: "one bottleneck", Standing: analysis.Unclear}, "b", true, true},
		{analysis.Candidate{Label: "widths", Family: "quantised", Standing: analysis.Estimated}, "b", true, true},
	} {
		if got := out(c.candidate, c.on, failed, c.retry); got != c.want {
			t.Errorf("%s, %s, on %s, retry %t: %t", c.candidate.Label, c.candidate.Standing, c.on, c.retry, got)
		}
	}
}

// A rule that leaves fewer networks than a comparison may train is left out, and is no failure.
func TestSpacesThatAreTooSmall(t *testing.T) {
	file := filepath.Join(t.TempDir(), "small.yaml")
	req := newDesign(t, strings.Replace(designed, "start: anynetx-a, networks: 30", "start: "+file+", networks: 20", 1))
	small := `name: small
family: anynet
network: {block: X, stages: 2, stem: {type: cifar, width: 4}}
parameters:
  depth: {uniform: 1..4, shared: true}
  width: 16
  bottleneck: {power-of-two: 1..2}
  group_width: {power-of-two: 1..2}
`
	if err := os.WriteFile(file, []byte(small), 0o644); err != nil {
		t.Fatal(err)
	}
	l, trained := runLoop(t, req, 2, 0)
	if l.Why != analysis.NoRule || len(l.Rungs) > 0 || trained < 20 {
		t.Errorf("%d trainings: %s", trained, ladderText(t, l))
	}
	again, more := runLoop(t, req, 1, 0)
	if ladderText(t, again) != ladderText(t, l) || more > 0 {
		t.Errorf("again, %d trainings: %s", more, cmp.Diff(ladderText(t, l), ladderText(t, again)))
	}
}

// A loop whose budget is spent says so, and goes on with a larger one.
func TestBudget(t *testing.T) {
	req := newDesign(t, strings.Replace(designed, "trainings: 160", "trainings: 35", 1))
	l, trained := runLoop(t, req, 2, 0)
	if l.Why != analysis.OutOfBudget || trained > 35 || l.Found != "anynetx-a" {
		t.Errorf("%d trainings: %+v", trained, l)
	}
	text, err := os.ReadFile(req.File)
	if err == nil {
		err = os.WriteFile(req.File, []byte(strings.Replace(string(text), "trainings: 35", "trainings: 60", 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if l, _ := runLoop(t, req, 2, 0); len(l.Rungs) == 0 {
		t.Errorf("%+v", l)
	}
}

// joins checks that a job of a cluster may join in what the folder asks for, and tells how much is left of that: of a loop what its budget had no room for.
func joins(t *testing.T, req study.Request) (pending int) {
	t.Helper()
	run, err := study.Start(t.Context(), study.Request{Dir: req.Dir, Trainer: req.Trainer, Joins: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Close(); err != nil {
		t.Error(err)
	}
	return run.Pending()
}
