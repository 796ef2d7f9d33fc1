package executor_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"netspace/engine"
	"netspace/train"
	"netspace/trial"
)

// counter is a trainer that counts epochs in its folder, some milliseconds each.
type counter struct{}

func (counter) Describe(trial.Task) (engine.Description, error) {
	return engine.Description{Name: "counter"}, nil
}

func (counter) Train(ctx context.Context, t trial.Task, dir string, report func(train.Progress)) (res train.Result, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return res, err
	}
	file := filepath.Join(dir, "epochs")
	text, _ := os.ReadFile(file)
	done, _ := strconv.Atoi(string(text))
	for e := 1; e <= t.Recipe.Epochs; e++ {
		v := float64(t.Seed%1000)/20 + 10/float64(e)
		stats := train.EpochStats{Epoch: e, TrainLoss: v, TrainError: v, Evaluated: true, ValLoss: v, ValError: v}
		res.Epochs, res.Error = append(res.Epochs, stats), v
		if e <= done {
			continue
		}
		select {
		case <-ctx.Done():
			return res, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
		if err := os.WriteFile(file+".new", []byte(strconv.Itoa(e)), 0o644); err != nil {
			return res, err
		}
		if err := os.Rename(file+".new", file); err != nil {
			return res, err
		}
		report(train.Progress{Done: float64(e) / float64(t.Recipe.Epochs), Finished: &stats})
	}
	return res, nil
}
