//go:build unix

// Command benchstudy measures what a study costs besides training, as it grows: it runs studies whose trainer
// does nothing, with netspace's own worker processes, and then looks at them with the program's commands.
//
//	go run ./internal/benchstudy -netspace bin/netspace 1000 10000 100000
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"netspace/engine"
	"netspace/executor"
	"netspace/internal/machine"
	"netspace/internal/tinydata"
	"netspace/study"
	"netspace/train"
	"netspace/trial"
)

// idle is the trainer: a curve of five epochs, made up from the seed.
type idle struct{}

func (idle) Describe(trial.Task) (engine.Description, error) {
	return engine.Description{Name: "idle"}, nil
}

func (idle) Train(_ context.Context, t trial.Task, _ string, report func(train.Progress)) (res train.Result, err error) {
	for e := 1; e <= t.Recipe.Epochs; e++ {
		v := float64(t.Seed%4000)/100 + 30/float64(e)
		stats := train.EpochStats{Epoch: e, TrainLoss: v / 30, TrainError: v, Evaluated: true, ValLoss: v / 30, ValError: v}
		res.Epochs, res.Error = append(res.Epochs, stats), v
		report(train.Progress{Done: float64(e) / float64(t.Recipe.Epochs), Finished: &stats})
	}
	return res, nil
}

func main() {
	executor.WorkerMain(idle{})
	program := flag.String("netspace", "bin/netspace", "the program whose commands are measured")
	dir := flag.String("dir", "", "folder to leave the studies in; a temporary one otherwise")
	workers := flag.Int("workers", 2, "worker processes")
	flag.Parse()
	if err := run(*program, *dir, *workers, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "benchstudy:", err)
		os.Exit(1)
	}
}

const file = `name: bench
data: {name: %q, train: 128, validation: 64}
network: {stem: {type: cifar, width: 16}, stages: 3}
regime: {flops: 200K..2M}
recipe: {epochs: 5, batch: 16}
samples: %d
spaces: [anynetx-a, anynetx-b, anynetx-e, regnetx]
`

func run(program, base string, workers int, sizes []string) error {
	if base == "" {
		var err error
		if base, err = os.MkdirTemp("", "netspace-bench"); err != nil {
			return err
		}
		defer os.RemoveAll(base)
	}
	images := filepath.Join(base, "images")
	if err := tinydata.WriteFiles(images, 256); err != nil {
		return err
	}
	fmt.Printf("%s, %d workers; seconds, and MB of the process at most\n\n", machine.ReadCPU().Model, workers)
	fmt.Println("| networks | sampling | per trial | run MB | continuing | status | export csv | export jsonl | compare | report | report MB | page MB |")
	fmt.Println("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, size := range sizes {
		n, err := strconv.Atoi(size)
		if err != nil || n < 4 {
			return fmt.Errorf("%q is no number of networks", size)
		}
		if err := measure(program, workers, n/4, base, images); err != nil {
			return err
		}
	}
	return nil
}

// measure prints a row.
func measure(program string, workers, samples int, base, images string) error {
	dir := filepath.Join(base, strconv.Itoa(samples))
	path := dir + ".yaml"
	if err := os.WriteFile(path, fmt.Appendf(nil, file, images, samples), 0o644); err != nil {
		return err
	}
	ctx := context.Background()
	start := time.Now()
	debug.SetGCPercent(50) // as netspace study run does
	r, err := study.Start(ctx, study.Request{File: path, Dir: dir, Trainer: idle{}})
	if err != nil {
		return err
	}
	sampled := time.Since(start)
	trials := r.Totals().Trials
	start = time.Now()
	err = r.Execute(ctx, executor.Local{Workers: workers}, nil)
	took := time.Since(start)
	r.Close()
	if err != nil {
		return err
	}
	fmt.Printf("| %d | %.1f s | %.2f ms | %d |", 4*samples, sampled.Seconds(), took.Seconds()*1000/float64(trials), peak(syscall.RUSAGE_SELF))
	page := dir + ".html"
	for _, args := range [][]string{
		{"study", "run", dir},
		{"study", "status", dir},
		{"study", "export", dir, "--format", "csv", "-o", dir + ".csv"},
		{"study", "export", dir, "--format", "jsonl", "-o", dir + ".jsonl"},
		{"compare", dir},
		{"report", dir, "-o", page},
	} {
		c := exec.Command(program, args...)
		start := time.Now()
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", args, err, out)
		}
		fmt.Printf(" %.2f s |", time.Since(start).Seconds())
		if args[0] == "report" {
			fmt.Printf(" %d |", c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss>>10)
		}
	}
	info, err := os.Stat(page)
	if err != nil {
		return err
	}
	fmt.Printf(" %.1f |\n", float64(info.Size())/1e6)
	return nil
}

// peak is the largest resident size of this process so far, in MB.
func peak(who int) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return u.Maxrss >> 10
}
