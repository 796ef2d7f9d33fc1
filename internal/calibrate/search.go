package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"netspace/design"
	"netspace/engine"
	"netspace/executor"
	"netspace/internal/tinydata"
	"netspace/stats"
	"netspace/study"
	"netspace/train"
	"netspace/trial"
)

// rerunNoise is the standard deviation of the error of one network from seed to seed that searches are simulated with, percentage points: assumed,
// as the kept population has no reruns.
const rerunNoise = 0.35

// replay is a trainer that gives the curves of real networks: each network of a search is one of these, drawn by its spec.
type replay struct{ population population }

func (r replay) Describe(trial.Task) (engine.Description, error) {
	return engine.Description{Name: "replay"}, nil
}

// of is the real network that a network of a search is.
func (r replay) of(key string) network {
	h := fnv.New64a()
	io.WriteString(h, key)
	return r.population[h.Sum64()%uint64(len(r.population))]
}

func (r replay) Train(_ context.Context, t trial.Task, _ string, _ func(train.Progress)) (res train.Result, err error) {
	n := r.of(t.Spec.Key())
	res.Error = n.Error + rerunNoise*rand.New(rand.NewPCG(t.Seed, 1)).NormFloat64()
	last := t.Recipe.Epochs
	if t.Steps > 0 {
		last = t.Steps / stepsPerEpoch
	}
	for e, seen := range n.Curve[:last] {
		res.Epochs = append(res.Epochs, train.EpochStats{Epoch: e + 1, TrainLoss: seen[0], TrainError: seen[1]})
	}
	res.Epochs[last-1].Evaluated, res.Epochs[last-1].ValError = true, res.Error
	if t.Final {
		res.Test = &train.Metrics{Images: 1}
	}
	return res, nil
}

// A study of searches, whose images are there for the sake of form.
const (
	searchStudy = `name: search
data: {name: %s, train: 80, validation: 20}
network: {stem: {type: cifar, width: 4}, stages: 2}
recipe: {epochs: 10, batch: 8}
seed: %d
search: {space: anynetx-a, budget: {trainings: %d}, schedule: %s, finalists: 3, reruns: 3, final: {recipe: {epochs: 10}}}
`
	stepsPerEpoch = 10
)

// searched is what a search of a budget came to.
type searched struct {
	begun          int
	error          float64 // of the winner, without noise
	behind         float64 // the best of those tried, points
	best           bool    // it is that
	stated, regret float64 // what the search says of it
}

// search runs a search on real curves.
func (r replay) search(ctx context.Context, images, schedule string, trainings int, seed uint64) (s searched, err error) {
	dir, err := os.MkdirTemp("", "netspace-search")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l, err := design.Search(ctx, study.Request{
		File: "search", Text: fmt.Appendf(nil, searchStudy, images, seed, trainings, schedule), Dir: filepath.Join(dir, "out"), Trainer: r,
	}, design.SearchOptions{
		Train: func(ctx context.Context, run *study.Run) error {
			return run.Execute(ctx, executor.Goroutines{Workers: 2, Trainer: r}, nil)
		},
		Trainer: r,
	})
	if err != nil {
		return s, err
	}
	folder, err := study.Open(ctx, filepath.Join(dir, "out"))
	if err != nil {
		return s, err
	}
	least := math.Inf(1)
	err = folder.Each(ctx, func(t study.Trial) error {
		least = math.Min(least, r.of(t.Spec.Key()).Error)
		return nil
	})
	s = searched{begun: len(l.Rungs[0].Networks), error: r.of(l.Winner.Spec.Key()).Error, stated: l.Winner.OfAll, regret: l.Winner.Regret}
	s.behind = s.error - least
	s.best = s.behind == 0
	return s, err
}

// searches is the table of docs/search.md.
func (s simulation) searches(ctx context.Context, w io.Writer) error {
	trained, err := real()
	if err != nil {
		return err
	}
	var r replay
	for _, name := range []string{"anynetx-a", "anynetx-d", "regnetx"} {
		r.population = append(r.population, trained[name]...)
	}
	dir, err := os.MkdirTemp("", "netspace-search")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	images := filepath.Join(dir, "images")
	if err := tinydata.WriteFiles(images, 120); err != nil {
		return err
	}
	fmt.Fprintf(w, "%d seeds for each number; 3 finalists, 3 reruns of each within the budget.\n\n", s.runs)
	fmt.Fprintln(w, "| budget, whole trainings | schedule | networks that begin | error of the winner, % | behind the best of those tried, points | as stated | it is the best of those tried, % | as stated |")
	fmt.Fprintln(w, "|---:|---|---:|---:|---:|---:|---:|---:|")
	for _, trainings := range []int{20, 30, 50} {
		var found [2][]searched
		for k, schedule := range []string{study.Random, study.Halving} {
			for run := range s.runs {
				one, err := r.search(ctx, images, schedule, trainings, s.seed+uint64(run))
				if err != nil {
					return err
				}
				found[k] = append(found[k], one)
			}
			mean := func(of func(searched) float64) float64 {
				sum := 0.0
				for _, f := range found[k] {
					sum += of(f)
				}
				return sum / float64(len(found[k]))
			}
			var errs []float64
			for _, f := range found[k] {
				errs = append(errs, f.error)
			}
			fmt.Fprintf(w, "| %d | %s | %.0f | %.2f ± %.2f | %.2f | %.2f | %.0f | %.0f |\n", trainings, schedule, mean(func(f searched) float64 { return float64(f.begun) }),
				mean(func(f searched) float64 { return f.error }), stats.StdDev(errs)/math.Sqrt(float64(len(errs))),
				mean(func(f searched) float64 { return f.behind }), mean(func(f searched) float64 { return f.regret }),
				100*mean(func(f searched) float64 {
					if f.best {
						return 1
					}
					return 0
				}), 100*mean(func(f searched) float64 { return f.stated }))
		}
		var better []float64
		sum := 0.0
		for i := range found[0] {
			better = append(better, found[0][i].error-found[1][i].error)
			sum += better[i]
		}
		fmt.Fprintf(w, "| | *random less halving* | | %.2f ± %.2f | | | | |\n", sum/float64(len(better)), stats.StdDev(better)/math.Sqrt(float64(len(better))))
	}
	return nil
}
