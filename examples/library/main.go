// A program of its own that uses netspace as a library: it looks at a design
// space, runs a study with worker processes of its own, and compares what came of it.
//
//	go run ./examples/library examples/demo.yaml
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"netspace/analysis"
	"netspace/executor"
	"netspace/metric"
	"netspace/report"
	"netspace/space"
	"netspace/study"
	"netspace/trial"
)

func main() {
	// A worker is this program again, in which this call does not return.
	executor.WorkerMain(new(trial.Any))

	if len(os.Args) != 2 {
		log.Fatal("usage: library STUDY.yaml")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := sample(ctx); err != nil {
		log.Fatal(err)
	}
	if err := run(ctx, os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

// sample prints three networks of a built-in space, drawn uniformly from those of 360 to 400 MFLOPs.
func sample(ctx context.Context) error {
	s, err := space.Load("regnetx")
	if err != nil {
		return err
	}
	regime := space.Regime{Bounds: metric.Bounds{metric.Flops: {Min: 360e6, Max: 400e6}}}
	networks, _, err := s.Sample(ctx, space.Config{Regime: regime, Seed: 1}, 3)
	if err != nil {
		return err
	}
	for _, n := range networks {
		fmt.Println(n, n.Complexity.Flops, "flops")
	}
	return nil
}

// run starts the study in file, or continues it where an earlier run stopped, and compares its spaces.
func run(ctx context.Context, file string) error {
	r, err := study.Start(ctx, study.Request{File: file, Note: log.Printf})
	if err != nil {
		return err
	}
	defer r.Close()
	tell := func(e study.Event) {
		if e.Kind == study.TrialDone {
			fmt.Printf("%s %d: %.2f %% error\n", e.Task.Space, e.Task.Index, e.Error)
		}
	}
	if err := r.Execute(ctx, executor.Local{}, tell); err != nil {
		return err
	}
	source, err := analysis.Load(ctx, r.Dir)
	if err != nil {
		return err
	}
	c, err := analysis.Compare(ctx, []analysis.Source{source}, analysis.Options{})
	if err != nil {
		return err
	}
	return report.Text(os.Stdout, c)
}
