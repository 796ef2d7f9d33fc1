package executortest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"netspace/engine"
	"netspace/executor"
	"netspace/train"
	"netspace/trial"
)

// How a worker behaves, and where it leaves its process id.
const (
	behaviourVariable = "NETSPACE_EXECUTORTEST"
	pidsVariable      = "NETSPACE_EXECUTORTEST_PIDS"

	works       = "works"
	fails       = "fails"       // every second trial
	killedOnce  = "killed once" // in the third epoch of a trial's first attempt
	killed      = "killed"      // always
	panics      = "panics"
	early       = "early"        // dies before the first step
	firstEarly  = "first early"  // so does the first network of all
	hangs       = "hangs"        // makes a step, and no other
	stoppedOnce = "stopped once" // in the second epoch of a trial's first attempt
	deaf        = "deaf"         // ends before it reads the task
	garbage     = "garbage"      // prints other things before and while it works
	mute        = "mute"         // journals its result, and dies before it tells
	broken      = "broken"       // ends with an error that is no trial's fault
	slow        = "slow"         // waits after the first epoch that it trains, until it is told to stop
	stubborn    = "stubborn"

	failure = "it was told to fail"
)

// WorkerMain is executor.WorkerMain with the suite's trainer.
func WorkerMain() {
	behaviour, pids := os.Getenv(behaviourVariable), os.Getenv(pidsVariable)
	if behaviour == "" {
		return
	}
	_ = os.WriteFile(filepath.Join(pids, strconv.Itoa(os.Getpid())), nil, 0o644)
	switch {
	case behaviour == deaf && os.Getenv("NETSPACE_WORKER") != "": // and not what starts workers elsewhere
		os.Exit(9)
	case behaviour == garbage:
		fmt.Print("a library that greets\n\n{}\n{\"kind\":7}\n\x00\xff\n[1,2]\nnull\n{\"kind\":\"greeting\"}\n{\"kind\":\"done\",\"error\":1}\n{\"kind\":\"lost\"}\n")
	}
	executor.WorkerMain(pretender(behaviour))
}

// isFirst tells whether a trial is the first one that asks.
func isFirst(id string) bool {
	path := os.Getenv(pidsVariable) + ".first"
	if f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644); err == nil {
		_, _ = f.WriteString(id)
		f.Close()
	}
	text, err := os.ReadFile(path)
	return err == nil && string(text) == id
}

// pretender is a trial.Trainer that counts epochs instead of training.
type pretender string

func (p pretender) Describe(trial.Task) (engine.Description, error) {
	return engine.Description{Name: "pretender"}, nil
}

func (p pretender) Train(ctx context.Context, t trial.Task, dir string, report func(train.Progress)) (res train.Result, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return res, err
	}
	path := filepath.Join(dir, "checkpoint")
	done := 0
	if text, err := os.ReadFile(path); err == nil && !t.Fresh {
		done = strings.Count(string(text), ".")
	}
	first := done
	// The curve of all epochs is a function of the seed alone.
	point := func(e int) train.EpochStats {
		v := float64(t.Seed%1000)/20 + 10/float64(e)
		return train.EpochStats{Epoch: e, TrainLoss: v, TrainError: v, Evaluated: true, ValLoss: v, ValError: v}
	}
	if p == early || p == firstEarly && isFirst(t.ID) {
		os.Exit(7)
	}
	for e := 1; e <= t.Recipe.Epochs; e++ {
		stats := point(e)
		res.Epochs = append(res.Epochs, stats)
		res.Error = stats.ValError
		if e <= done {
			continue
		}
		report(train.Progress{Done: (float64(e) - 0.9) / float64(t.Recipe.Epochs), ImagesPerSecond: 1000, ETA: time.Second})
		switch p {
		case fails:
			if t.Seed%2 == 0 {
				return res, &trial.Failure{Err: errors.New(failure)}
			}
		case killedOnce:
			if e == 3 && first == 0 {
				kill()
			}
		case killed:
			kill()
		case hangs:
			select {}
		case stoppedOnce:
			if e == 2 && first == 0 {
				stop()
			}
		case panics:
			panic(failure)
		case broken:
			return res, errors.New(failure)
		case garbage:
			fmt.Println("epoch", e, "\n{\"kind\":\"done\"")
		}
		report(train.Progress{Done: (float64(e) - 0.5) / float64(t.Recipe.Epochs), ImagesPerSecond: 1000, ETA: time.Second})
		if err := os.WriteFile(path, []byte(strings.Repeat(".", e)), 0o644); err != nil {
			return res, err
		}
		report(train.Progress{Done: float64(e) / float64(t.Recipe.Epochs), Finished: &stats})
		switch p {
		case slow:
			<-ctx.Done()
		case stubborn:
			select {}
		}
		if ctx.Err() != nil {
			return res, ctx.Err()
		}
	}
	if p == mute {
		os.Stdout.Close()
	}
	return res, nil
}
