package executor

import (
	"context"
	"sync"

	"netspace/study"
	"netspace/trial"
)

// Goroutines is an executor whose workers are goroutines of this process: for trainers that cost little, as
// simulations and tests have, where a crash need not be survived.
type Goroutines struct {
	Workers int // at least 1
	Trainer trial.Trainer
}

// Execute trains what run has until nothing is left, a worker fails or ctx ends.
func (x Goroutines) Execute(ctx context.Context, run *study.Run) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for slot := range x.Workers {
		all.Go(func() {
			var w study.Worker
			defer w.Close()
			for ctx.Err() == nil {
				task, ok, err := run.Next(ctx)
				if err == nil && !ok {
					return
				}
				if err == nil {
					err = w.Work(ctx, task, x.Trainer, func(study.Event) {})
				}
				if err == nil {
					_, _, err = run.Ended(slot, task, nil)
				}
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}
