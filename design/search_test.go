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
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netspace/analysis"
	"netspace/engine"
	"netspace/engine/reference"
	"netspace/executor"
	"netspace/internal/tinydata"
	"netspace/latency"
	"netspace/study"
	"netspace/train"
	"netspace/trial"
	"netspace/weights"
	"netspace/weights/safetensors"
)

// planted makes up results: networks are the better the deeper they are, of equal depths the narrower ones, and their curves tell so from the first epoch, with noise
// that the seed decides.
type planted struct {
	trained, epochs *atomic.Int64
	tests           *atomic.Int64 // how often test images were read
	stop            func(n int64)
	clock           *atomic.Int64 // that a training moves on by its seconds; nil: none
}

func (p planted) Describe(trial.Task) (engine.Description, error) {
	return engine.Description{Name: "made"}, nil
}

// truth is the error of a network without noise.
func truth(n study.Trial) float64 {
	a, _ := n.Spec.AnyNet()
	return 60 - 3*math.Log2(float64(a.Depth())) + 0.001*float64(a.Stages[0].Width)
}

func (p planted) Train(ctx context.Context, t trial.Task, _ string, report func(train.Progress)) (res train.Result, err error) {
	if n := p.trained.Add(1); p.stop != nil {
		p.stop(n)
	}
	if err := ctx.Err(); err != nil {
		return res, err
	}
	rng := rand.New(rand.NewPCG(t.Seed, 1))
	if rng.IntN(40) == 0 && t.Weights == "" {
		return res, &trial.Failure{Err: errors.New("made to fail"), Cause: trial.Diverged}
	}
	v := truth(study.Trial{Spec: t.Spec}) + 0.2*rng.NormFloat64()
	last := t.Recipe.Epochs
	if t.Steps > 0 {
		last = t.Steps / 10 // steps of an epoch
	}
	for e := 1; e <= last; e++ {
		now := v + float64(t.Recipe.Epochs-e)*(2+0.05*rng.NormFloat64())
		res.Epochs = append(res.Epochs, train.EpochStats{Epoch: e, TrainLoss: now / 30, TrainError: now, Evaluated: true, ValLoss: now / 30, ValError: now})
		res.Error = now
		p.epochs.Add(1)
	}
	c, err := t.Spec.Complexity(t.Input.Arch())
	if err != nil {
		return res, err
	}
	res.Seconds = float64(c.Flops) * float64(last) / 1e5
	if p.clock != nil {
		p.clock.Add(int64(res.Seconds * 1e9))
	}
	if t.Weights != "" {
		g, err := t.Spec.Graph(t.Input.Arch())
		if err == nil {
			err = os.MkdirAll(filepath.Dir(t.Weights), 0o755)
		}
		if err == nil {
			err = safetensors.WriteFile(t.Weights, weights.Initial(g, t.Seed, false))
		}
		if err != nil {
			return res, err
		}
	}
	if t.Final {
		p.tests.Add(1)
		res.Test = &train.Metrics{Images: 20, Error: 25}
	}
	return res, nil
}

func newSearch(t *testing.T, block string) study.Request {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	tinydata.Write(t, filepath.Join(dir, "images"), 120)
	file := filepath.Join(dir, "study.yaml")
	text := fmt.Sprintf(`name: search
data: {name: %s, train: 80, validation: 20}
network: {stem: {type: cifar, width: 4}, stages: 2}
regime: {flops: ..100K}
recipe: {epochs: 9, batch: 8}
seed: 3
search: {space: anynetx-a, %s}
`, filepath.Join(dir, "images"), block)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return study.Request{File: file, Dir: filepath.Join(dir, "out"), Trainer: planted{}}
}

// runSearch runs a search, interrupted after every few trainings, if that is above 0.
func runSearch(t *testing.T, req study.Request, workersAtOnce int, every int64, p planted) (analysis.SearchLog, error) {
	t.Helper()
	return runSearchWith(t, req, workersAtOnce, every, p, nil)
}

func runSearchWith(t *testing.T, req study.Request, workersAtOnce int, every int64, p planted, meter func([]string) (latency.Meter, string, error)) (analysis.SearchLog, error) {
	t.Helper()
	for {
		ctx, cancel := context.WithCancel(t.Context())
		begun := p.trained.Load()
		p.stop = func(n int64) {
			if every > 0 && n >= begun+every {
				cancel()
			}
		}
		o := SearchOptions{
			Train: func(ctx context.Context, run *study.Run) error {
				return run.Execute(ctx, executor.Goroutines{Workers: workersAtOnce, Trainer: p}, nil)
			},
			Trainer: p,
			Meter:   meter,
			Engine:  func() (engine.Engine, error) { return reference.New(), nil },
		}
		if p.clock != nil {
			o.Now = func() time.Time { return time.Unix(0, p.clock.Load()) }
		}
		l, err := Search(ctx, req, o)
		stopped := ctx.Err() != nil
		cancel()
		if err == nil || !stopped {
			return l, err
		}
	}
}

func newPlanted() planted {
	return planted{trained: new(atomic.Int64), epochs: new(atomic.Int64), tests: new(atomic.Int64)}
}

func searchText(t *testing.T, l analysis.SearchLog) string {
	t.Helper()
	l.Seconds = 0
	if l.Final != nil {
		l.Final.Seconds = 0
	}
	text, err := json.MarshalIndent(l, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const searched = "budget: {trainings: 40}, finalists: 3, reruns: 3, estimate: 20, final: {recipe: {epochs: 12}}"

// A search finds a network of the best kind, within its budget, comes to the same decisions however often it is interrupted, and reads the test images once.
func TestSearch(t *testing.T) {
	p := newPlanted()
	undisturbed, err := runSearch(t, newSearch(t, searched), 1, 0, p)
	if err != nil {
		t.Fatal(err)
	}
	want := searchText(t, undisturbed)
	l := undisturbed
	if l.Winner == nil || l.Final == nil || l.Final.Test.Error != 25 || p.tests.Load() != 1 || l.Winner.Estimate == nil || l.Winner.Estimate.Images != 20 {
		t.Fatalf("%d readings of the test images:\n%s", p.tests.Load(), want)
	}
	if l.Cost > 40 || float64(p.epochs.Load()) != math.Round(l.Cost*9)+9+12 && l.Rungs[0].Failed == 0 {
		t.Errorf("a cost of %v, and %d epochs were trained", l.Cost, p.epochs.Load())
	}
	var sizes []int
	for _, r := range l.Rungs {
		sizes = append(sizes, len(r.Networks))
	}
	if len(sizes) != 3 || sizes[0] < 100 || sizes[2] >= sizes[1] {
		t.Errorf("rounds of %v networks", sizes)
	}

	req := newSearch(t, searched)
	p = newPlanted()
	got, err := runSearch(t, req, 3, 25, p)
	if err != nil || searchText(t, got) != want {
		t.Errorf("interrupted, %v: %s", err, cmp.Diff(want, searchText(t, got)))
	}
	trained := p.trained.Load()
	if p.tests.Load() != 1 {
		t.Errorf("the test images were read %d times", p.tests.Load())
	}
	// From the folder alone: nothing is trained.
	req.File = ""
	if got, err := runSearch(t, req, 2, 0, p); err != nil || searchText(t, got) != want || p.trained.Load() != trained {
		t.Errorf("again, %d trainings, %v: %s", p.trained.Load()-trained, err, cmp.Diff(want, searchText(t, got)))
	}

	folder, err := study.Open(t.Context(), req.Dir)
	if err != nil {
		t.Fatal(err)
	}
	all, err := folder.Populations(t.Context())
	if err != nil || len(all) != 1 || len(all[0].Trials) != sizes[0] {
		t.Fatalf("%v, %d populations", err, len(all))
	}
	best := slices.MinFunc(all[0].Trials, func(a, b study.Trial) int { return compare(truth(a), truth(b)) })
	winner := all[0].Trials[slices.IndexFunc(all[0].Trials, func(t study.Trial) bool { return t.Index == l.Winner.Index })]
	if truth(winner) > truth(best)+0.5 {
		t.Errorf("the winner has an error of %.2f, the best of %.2f", truth(winner), truth(best))
	}
	if c := winner.Complexity; c.Flops > 100_000 || c.Flops != l.Winner.Flops {
		t.Errorf("the winner has %d flops", c.Flops)
	}
	st := folder.Status()[0]
	if st.Samples != sizes[0] || st.Done+st.Failed+st.Short != sizes[0] || st.Pending != 0 || st.Reruns != 9 || st.RerunsDone != 9 {
		t.Errorf("%+v", st)
	}
	if v := folder.View(time.Now()); v.Trials != sizes[0]+9 || v.Done+v.Failed != v.Trials {
		t.Errorf("%+v", v)
	}
	var request *study.RequestError
	if _, err := study.Start(t.Context(), req); !errors.As(err, &request) || !strings.Contains(err.Error(), "netspace search") {
		t.Errorf("study run of a search: %v", err)
	}
	if n := joins(t, req); n > 0 {
		t.Errorf("a job would train %d networks", n)
	}
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// With a larger budget a search goes on; what it tested before stays on record.
func TestSearchGoesOn(t *testing.T) {
	req := newSearch(t, searched)
	p := newPlanted()
	first, err := runSearch(t, req, 2, 0, p)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(req.File)
	if err == nil {
		err = os.WriteFile(req.File, []byte(strings.Replace(string(text), "trainings: 40", "trainings: 60", 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	second, err := runSearch(t, req, 2, 0, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(second.Rungs[0].Networks) <= len(first.Rungs[0].Networks) || second.Winner.ID != first.Winner.ID && len(second.Earlier) != 1 || p.tests.Load() != int64(1+len(second.Earlier)) {
		t.Errorf("%d readings of the test images\n%s", p.tests.Load(), searchText(t, second))
	}
}

// Bounds that the space knows nothing of reject networks before any is trained.
func TestSearchBounds(t *testing.T) {
	req := newSearch(t, searched+", memory: ..6KB, weights_size: ..20KB, schedule: random")
	p := newPlanted()
	l, err := runSearch(t, req, 2, 0, p)
	if err != nil {
		t.Fatal(err)
	}
	if l.Rejected == 0 || l.Drawn-l.Rejected != len(l.Rungs[0].Networks) || len(l.Rungs) != 1 || l.Winner.Memory > 6000 || l.Winner.WeightsSize > 20_000 || len(l.Bounds) != 3 {
		t.Errorf("%s", searchText(t, l))
	}
	folder, err := study.Open(t.Context(), req.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if st := folder.Status()[0]; st.Samples != len(l.Rungs[0].Networks) || st.Pending != 0 {
		t.Errorf("%+v", st)
	}
	var request *study.RequestError
	for block, want := range map[string]string{
		strings.Replace(searched, "estimate: 20", "estimate: 30", 1): "search.estimate",
		searched + ", memory: ..100":                                 "wider bounds",
	} {
		if _, err := runSearch(t, newSearch(t, block), 2, 0, newPlanted()); !errors.As(err, &request) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", block, err)
		}
	}
}

// A budget of hours decides by a clock that the trainings move on; what it decided holds when the search is run again.
func TestSearchByTheClock(t *testing.T) {
	req := newSearch(t, "budget: {hours: 0.05}, finalists: 2, reruns: 2, final: {recipe: {epochs: 12}}")
	p := newPlanted()
	p.clock = new(atomic.Int64)
	l, err := runSearch(t, req, 1, 40, p)
	if err != nil {
		t.Fatal(err)
	}
	if s := l.Seconds; s > 180*1.05 || s < 180/2 || len(l.Sizes) != 3 || l.Sizes[0] < 30 {
		t.Errorf("%v of 180 seconds, %v networks", s, l.Sizes)
	}
	trained := p.trained.Load()
	if again, err := runSearch(t, req, 1, 0, p); err != nil || p.trained.Load() != trained || searchText(t, again) != searchText(t, l) {
		t.Errorf("again, %d trainings, %v: %s", p.trained.Load()-trained, err, cmp.Diff(searchText(t, l), searchText(t, again)))
	}
	var request *study.RequestError
	if _, err := runSearch(t, newSearch(t, "budget: {hours: 0.05}, finalists: 2, reruns: 2, final: {recipe: {epochs: 5000}}"), 1, 0, p); !errors.As(err, &request) || !strings.Contains(err.Error(), "more hours") {
		t.Errorf("a final training without end: %v", err)
	}
}

// ticks measures by a rule that the complexity of a network decides, off by up to a tenth.
type ticks struct{ n *atomic.Int64 }

func (m ticks) Measure(_ context.Context, t latency.Task) (latency.Result, error) {
	m.n.Add(1)
	c := t.Graph.Complexity()
	return latency.Result{Milliseconds: 1e-5 * float64(c.Flops) * (1 + 0.1*math.Sin(float64(c.Params)))}, nil
}

// A model of latency, of the networks that were measured, tells of most of the others; those that are reported were measured.
func TestSearchLatency(t *testing.T) {
	var n atomic.Int64
	meter := func([]string) (latency.Meter, string, error) { return ticks{&n}, "a clock", nil }
	req := newSearch(t, searched+", latency: ..500us")
	p := newPlanted()
	l, err := runSearchWith(t, req, 2, 0, p, meter)
	if err != nil {
		t.Fatal(err)
	}
	if l.Rejected == 0 || l.Winner.Latency == nil || *l.Winner.Latency > 0.5 || int(n.Load()) > l.Drawn/2 || l.Latency.Predicted == 0 || !(l.Latency.Model > 0.02 && l.Latency.Model < 0.3) {
		t.Errorf("%d of %d measured: %s", n.Load(), l.Drawn, searchText(t, l))
	}
	for _, f := range l.Finalists {
		if ms, measured := l.Latency.Measured[f.Index]; !measured || ms > 0.5 {
			t.Errorf("finalist #%d: %v ms", f.Index, ms)
		}
	}
	measured, trained := n.Load(), p.trained.Load()
	again, err := runSearchWith(t, req, 2, 0, p, meter)
	if err != nil || searchText(t, again) != searchText(t, l) || n.Load() != measured || p.trained.Load() != trained {
		t.Errorf("again, %v: %s", err, cmp.Diff(searchText(t, l), searchText(t, again)))
	}
}
