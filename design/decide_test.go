package design

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"netspace/arch"
	"netspace/engine"
	"netspace/executor"
	"netspace/internal/tinydata"
	"netspace/stats"
	"netspace/study"
	"netspace/train"
	"netspace/trial"
)

// made is a trainer that makes up results, from the network and the seed: curves whose first epochs tell something of the last, of networks that
// are the better the larger they are. Networks of space B, which are RegNets, are worse by worse points.
type made struct {
	worse  float64
	epochs *atomic.Int64 // trained
	stop   func(n int64) // is told how many trainings began
	n      *atomic.Int64
}

func (m made) Describe(trial.Task) (engine.Description, error) {
	return engine.Description{Name: "made"}, nil
}

func (m made) Train(ctx context.Context, t trial.Task, _ string, report func(train.Progress)) (res train.Result, err error) {
	if m.stop != nil {
		m.stop(m.n.Add(1))
	}
	if err := ctx.Err(); err != nil {
		return res, err
	}
	rng := rand.New(rand.NewPCG(t.Seed, 1))
	if rng.IntN(40) == 0 {
		return res, &trial.Failure{Err: errors.New("made to fail"), Cause: trial.Diverged}
	}
	c, err := t.Spec.Complexity(t.Input.Arch())
	if err != nil {
		return res, err
	}
	final := 20 + math.Exp(0.5*rng.NormFloat64()) - math.Log(float64(c.Params)/5000)
	if _, ok := t.Spec.Network.(arch.RegNet); ok {
		final += m.worse
	}
	last := t.Recipe.Epochs
	if t.Steps > 0 {
		last = t.Steps / 10 // steps of an epoch
	}
	for e := 1; e <= last; e++ {
		v := final + float64(t.Recipe.Epochs-e)*(3+0.1*rng.NormFloat64())
		res.Epochs = append(res.Epochs, train.EpochStats{Epoch: e, TrainLoss: v / 30, TrainError: v, Evaluated: true, ValLoss: v / 30, ValError: v})
		res.Error = v
		m.epochs.Add(1)
	}
	return res, nil
}

func newStudy(t *testing.T, decide string) study.Request {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	tinydata.Write(t, filepath.Join(dir, "images"), 120)
	file := filepath.Join(dir, "study.yaml")
	text := fmt.Sprintf(`name: decide
data: {name: %s, train: 80, validation: 40}
network: {stem: {type: cifar, width: 4}, stages: 2}
regime: {flops: 10K..100K}
recipe: {epochs: 10, batch: 8}
spaces: [anynetx-a, regnetx]
seed: 3
%s
`, filepath.Join(dir, "images"), decide)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return study.Request{File: file, Dir: filepath.Join(dir, "out"), Trainer: made{}}
}

// decide decides, and is interrupted after every few trainings, if that is above 0.
func decide(t *testing.T, req study.Request, n int, worse float64, every int64) (d Decision, epochs int64) {
	t.Helper()
	var trained atomic.Int64
	for {
		ctx, cancel := context.WithCancel(t.Context())
		m := made{worse: worse, epochs: &trained, n: new(atomic.Int64), stop: func(k int64) {
			if k == every {
				cancel()
			}
		}}
		var looks []Look
		d, err := Decide(ctx, req, Options{
			Train: func(ctx context.Context, run *study.Run) error {
				return run.Execute(ctx, executor.Goroutines{Workers: n, Trainer: m}, nil)
			},
			Look: func(l Look) { looks = append(looks, l) },
		})
		stopped := ctx.Err() != nil
		cancel()
		if err != nil && stopped {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(looks) != len(d.Looks) {
			t.Errorf("was told of %d looks of %d", len(looks), len(d.Looks))
		}
		return d, trained.Load()
	}
}

func text(t *testing.T, d Decision) string {
	t.Helper()
	data, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const between = "decide: {between: [anynetx-a, regnetx], delta: 0.25, max_samples: 120}"

// The decision is the same however often it was interrupted, however many workers trained, and whatever else is in the folder.
func TestDecisionDependsOnTheNetworksAlone(t *testing.T) {
	undisturbed, epochs := decide(t, newStudy(t, between), 1, 0.3, 0)
	want := text(t, undisturbed)
	if len(undisturbed.Looks) < 3 || undisturbed.Why == "" {
		t.Fatalf("this test needs a decision that takes more looks than\n%s", want)
	}
	last := undisturbed.Looks[len(undisturbed.Looks)-1]
	if full := int64(2 * 10 * last.Full); epochs > full+int64(2*10*last.Short) {
		t.Errorf("%d epochs were trained for %d full trainings", epochs, 2*last.Full)
	}
	interrupted, _ := decide(t, newStudy(t, between), 3, 0.3, 7)
	if got := text(t, interrupted); got != want {
		t.Errorf("interrupted, the decision is\n%s\nand not\n%s", got, want)
	}
	more := newStudy(t, between+"\nsamples: 40")
	if d, _ := decide(t, more, 2, 0.3, 0); text(t, d) != want {
		t.Errorf("with more networks in the folder the decision is\n%s\nand not\n%s", text(t, d), want)
	}
	again, epochs := decide(t, more, 1, 0.3, 0)
	if text(t, again) != want || epochs > 0 {
		t.Errorf("a study that is decided was trained for %d epochs and gives\n%s", epochs, text(t, again))
	}
}

func TestFindings(t *testing.T) {
	for _, c := range []struct {
		worse   float64
		finding stats.Finding
	}{{6, stats.WorseB}, {-6, stats.BetterB}} {
		d, epochs := decide(t, newStudy(t, between), 2, c.worse, 0)
		if d.Finding != c.finding || d.Why != Decided || len(d.Looks) != 1 || epochs > 2*10*10 {
			t.Errorf("of spaces that differ by %g points: %s after %d epochs", c.worse, text(t, d), epochs)
		}
		if d.Finding == stats.WorseB && !strings.Contains(d.Text(), "regnetx is worse than anynetx-a: +") {
			t.Error(d.Text())
		}
	}
}

// A network that failed counts as the worst, also where a look asks for its curve.
func TestFailedNetworksCount(t *testing.T) {
	n := study.Trial{State: study.Failed, Error: 90, Epochs: []study.Epoch{{Epoch: 1, TrainLoss: 2, TrainError: 70}}}
	got := seen(n, 3)
	if got[0][1] != 70 || !math.IsInf(got[1][0], 1) || !math.IsInf(got[2][1], 1) {
		t.Error(got)
	}
}

func TestQuestionsThatCannotBeAsked(t *testing.T) {
	req := newStudy(t, "samples: 1")
	for what, o := range map[string]Options{
		"no block decide":    {},
		"none of the spaces": {Decide: &study.Decide{Between: [2]string{"anynetx-a", "regnety"}, Alpha: 0.05, Power: 0.8, MaxSamples: 9}},
		"alpha 0":            {Decide: &study.Decide{Between: [2]string{"anynetx-a", "regnetx"}, Power: 0.8, MaxSamples: 9}},
	} {
		_, err := Decide(t.Context(), req, o)
		var request *study.RequestError
		if !errors.As(err, &request) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
