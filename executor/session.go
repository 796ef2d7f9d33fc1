package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"netspace/internal/atomicfile"
	"netspace/study"
	"netspace/trial"
)

// A session is what a job of a cluster runs: this program again, which trains on its node what nobody else sees to, as
// study run does, until nothing is left or it is told to stop. All that sessions have in common, with each other and with
// whoever submitted them, is the study folder.

// sessionVariable holds the order of a session in its environment.
const sessionVariable = "NETSPACE_SESSION"

// order is what a session is to do.
type order struct {
	Dir     string        `json:"dir"`
	Engine  string        `json:"engine,omitempty"`
	Data    string        `json:"data,omitempty"`
	Workers int           `json:"workers"`
	Silence time.Duration `json:"silence,omitempty"`
	Lease   time.Duration `json:"lease,omitempty"`
}

// lastWords is what a session leaves behind that did not end because nothing was left.
type lastWords struct {
	Error   string              `json:"error,omitempty"`
	Machine *study.MachineError `json:"machine,omitempty"`
	Stopped bool                `json:"stopped,omitempty"` // it was told to, or near the end of its time
}

// wordsFile is where a job's last words are.
func wordsFile(dir, job string) string { return filepath.Join(dir, slurmDir, job+".json") }

// statusStopped is the exit status of a session that is to be started again: EX_TEMPFAIL, as sites set
// RequeueExit to.
const statusStopped = 75

// runSession does what an order says and gives the exit status.
func runSession(text string, trainer trial.Trainer) int {
	err := session(text, trainer)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "netspace:", err)
	switch {
	case errors.Is(err, errTimeIsUp):
		return statusStopped
	case errors.Is(err, context.Canceled): // Slurm knows what comes of the job
		return 128 + int(syscall.SIGTERM)
	}
	return 1
}

// errTimeIsUp ends a session that Slurm warned of the end of its time.
var errTimeIsUp = errors.New("the time of the job is over soon, it goes on later")

func session(text string, trainer trial.Trainer) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return fmt.Errorf("read what the job is to do: %w", err)
	}
	// Slurm sends SIGTERM to what it cancels or preempts; then it also sees to what comes of the job.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	warned, stop := signal.NotifyContext(context.Background(), warning)
	defer stop()
	defer context.AfterFunc(warned, func() { cancel(errTimeIsUp) })()
	job := jobName(os.Getenv("SLURM_ARRAY_JOB_ID"), os.Getenv("SLURM_ARRAY_TASK_ID"))
	file := wordsFile(o.Dir, job)
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err := o.train(ctx, trainer)
	if err == nil {
		return nil
	}
	var words lastWords
	switch {
	case errors.Is(err, errTimeIsUp), errors.Is(err, context.Canceled):
		words.Stopped = true
	default:
		words.Error = err.Error()
		errors.As(err, &words.Machine)
	}
	if data, e := json.Marshal(words); e != nil {
		err = errors.Join(err, e)
	} else if e := atomicfile.WriteFile(file, data, 0o644); e != nil {
		err = errors.Join(err, e)
	}
	if errors.Is(err, errTimeIsUp) {
		// The last thing: Slurm ends a job that is requeued. Where it cannot be asked, the exit status may say it, or whoever
		// submitted the job.
		if out, e := exec.Command("scontrol", "requeue", os.Getenv("SLURM_JOB_ID")).CombinedOutput(); e != nil {
			fmt.Fprintf(os.Stderr, "netspace: scontrol requeue: %v: %s\n", e, out)
		}
	}
	return err
}

// train trains what nobody else sees to.
func (o order) train(ctx context.Context, trainer trial.Trainer) error {
	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	run, err := study.Start(ctx, study.Request{Dir: o.Dir, Engine: o.Engine, Data: o.Data, Trainer: trainer, Joins: true,
		Host: os.Getenv("SLURMD_NODENAME"), Lease: o.Lease, Note: say})
	if err != nil {
		return err
	}
	err = run.Execute(ctx, Local{Workers: o.Workers, Silence: o.Silence}, func(e study.Event) {
		switch e.Kind {
		case study.TrialStarted, study.TrialDone:
			say("%s %s (%s)", e.Kind, e.Task.Name(), e.Task.ID)
		case study.TrialFailed, study.TrialLost:
			say("%s %s (%s): %s", e.Kind, e.Task.Name(), e.Task.ID, e.Reason)
		}
	})
	return errors.Join(err, run.Close())
}
