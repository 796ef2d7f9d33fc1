package study

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"netspace/train"
	"netspace/trial"
)

// progressEvery is the time between two events of progress: often enough for a bar.
const progressEvery = 200 * time.Millisecond

// Worker is what works on the trials of studies, one at a time. Its zero value is ready to use. Close it in the end.
type Worker struct {
	log *journal // of dir and host, nil before the first trial
	dir string
	who string // host

	maker Maker // of the last trial
}

// Close gives the worker's journal back.
func (w *Worker) Close() error {
	if w.log == nil {
		return nil
	}
	err := w.log.Close()
	w.log = nil
	return err
}

// open opens a journal for a task, or goes on with the one that is open.
func (w *Worker) open(task Task) error {
	if w.log != nil && w.dir == task.Dir && w.who == task.Host {
		return nil
	}
	if err := w.Close(); err != nil {
		return err
	}
	log, err := openFreeJournal(task.Dir, task.Host)
	if err != nil {
		return err
	}
	w.log, w.dir, w.who = log, task.Dir, task.Host
	return nil
}

// Work has a task trained, and what came of it is in the
// journals, on the disk, when Work returns. tell is told of what happens meanwhile, TrialStarted first.
//
// A trial that fails is no error. An error is not the trial's fault, or that of ctx;
// the trial then goes on from its last checkpoint.
func (w *Worker) Work(ctx context.Context, task Task, trainer trial.Trainer, tell func(Event)) (err error) {
	engine, err := trainer.Describe(task.Task)
	if err != nil {
		return err
	}
	id, err := parseID(task.ID)
	if err != nil {
		return err
	}
	if err := w.open(task); err != nil {
		return err
	}
	ended := false
	defer func() {
		if !ended { // the lock on a journal says that its writer is at the trial that it began last
			err = errors.Join(err, w.Close())
		}
	}()
	if w.maker.Engine != engine || w.maker.Data != task.Data.Name || w.maker.Program == "" {
		w.maker = makerHere(engine, task.Data.Name)
	}
	if err := w.log.begin(w.maker, startRecord{Trial: id, Attempt: task.Attempt, PID: os.Getpid()}); err != nil {
		return err
	}
	checkpoints, err := takeOver(filepath.Join(task.Dir, checkpointDir, task.ID), task.Attempt)
	if err != nil {
		return err
	}
	tell(Event{Kind: TrialStarted, Task: task})

	began := time.Now()
	var last time.Time // when progress was told
	var epochs []Epoch
	report := func(p train.Progress) {
		e := Event{Kind: TrialProgress, Task: task, Share: p.Done, ImagesPerSecond: p.ImagesPerSecond, Left: p.ETA}
		if p.Finished != nil {
			epoch := epochOf(*p.Finished)
			epochs = append(epochs, epoch)
			e.Kind, e.Epoch = TrialEpoch, &epoch
			_ = w.log.append(false, record{Epoch: &epochRecord{Trial: id, Epoch: epoch}}) // for viewers alone
		}
		if now := time.Now(); p.Finished != nil || now.Sub(last) >= progressEvery {
			last = now
			tell(e)
		}
	}
	result, err := trainer.Train(ctx, task.Task, checkpoints, report)
	var damaged *train.CheckpointError
	if errors.As(err, &damaged) { // start over: a checkpoint is only a shortcut
		if err := os.RemoveAll(checkpoints); err != nil {
			return err
		}
		result, err = trainer.Train(ctx, task.Task, checkpoints, report)
	}
	var failure *trial.Failure
	var end record
	switch {
	case err == nil && len(result.Epochs) > 0 && task.Steps > 0 && result.Epochs[len(result.Epochs)-1].Epoch < task.Recipe.Epochs:
		end.Paused = &pausedRecord{Trial: id, Attempt: task.Attempt, Seconds: result.Seconds, Epochs: epochsOf(result.Epochs)}
	case err == nil:
		end.Done = &doneRecord{Trial: id, Error: result.Error, Error5: result.Error5, Seconds: result.Seconds,
			ImagesPerSecond: result.ImagesPerSecond, Epochs: epochsOf(result.Epochs)}
	case errors.As(err, &failure):
		end.Failed = &failedRecord{Trial: id, Attempt: task.Attempt, Death: trial.Death{Reason: failure.Error(), Cause: failure.Cause, Log: failure.Log}, Seconds: time.Since(began).Seconds(), Epochs: epochs}
	case ctx.Err() == nil && superseded(ctx, task, id):
		return nil // what the journals say counts
	default:
		return err
	}
	if err := end.check(); err != nil {
		return fmt.Errorf("the trainer tells of %w", err)
	}
	if err := w.log.append(true, end); err != nil {
		return err
	}
	ended = true
	if end.Paused != nil {
		return nil
	}
	removeCheckpoints(task.Dir, task.ID)
	return nil
}

// begin writes that a worker begins with a trial, and who it is where it has not said so yet.
func (j *journal) begin(m Maker, s startRecord) error {
	records := []record{{Start: &s}}
	if j.maker == nil || *j.maker != m {
		records = []record{{Maker: &m}, {Start: &s}}
		j.maker = &m
	}
	return j.append(false, records...)
}

// takeOver gives the folder for the checkpoints of an attempt at a trial, and moves there what the last
// attempt before it left: in a folder of its own, or, in studies of version 1, beside these.
// If that attempt's worker is still at work, on a machine that was taken for dead, its next checkpoint fails, and it stops.
func takeOver(dir string, attempt int) (string, error) {
	own := filepath.Join(dir, strconv.Itoa(attempt))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return own, nil
	}
	if err != nil {
		return own, err
	}
	before := 0
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		switch {
		case n == attempt && err == nil:
			return own, nil // it goes on
		case err == nil && n < attempt:
			before = max(before, n)
		}
	}
	if before > 0 {
		return own, os.Rename(filepath.Join(dir, strconv.Itoa(before)), own)
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			if err := os.MkdirAll(own, 0o755); err != nil {
				return own, err
			}
			if err := os.Rename(filepath.Join(dir, e.Name()), filepath.Join(own, e.Name())); err != nil {
				return own, err
			}
		}
	}
	return own, nil
}

// superseded tells whether a trial has ended, or another run has claimed it, while this
// worker was at it.
func superseded(ctx context.Context, task Task, id trialID) bool {
	h, err := readHistory(ctx, task.Dir, task.Host)
	if err != nil {
		return false
	}
	o := h.outcome(id)
	return o.hasEnded() || o.nextAttempt() > task.Attempt+1
}

// removeCheckpoints removes what a trial that has ended no longer needs. It
// goes by another name first, so that nobody finds half of it. What cannot be
// removed now is removed by the next run.
func removeCheckpoints(dir, trial string) {
	path := filepath.Join(dir, checkpointDir, trial)
	gone := path + ".done"
	if err := os.Rename(path, gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	_ = os.RemoveAll(gone)
}

// DropCheckpoints removes the checkpoints of trials in a study folder that nobody means to go on with. One that is gone on with after all is trained from its
// beginning, to the same result. None of them may be at work. What cannot be removed, or is left by a crash, is for the next call.
func DropCheckpoints(dir string, trials []Trial) {
	for _, t := range trials {
		removeCheckpoints(dir, t.ID)
	}
}

func epochOf(e train.EpochStats) Epoch {
	return Epoch{Epoch: e.Epoch, TrainLoss: e.TrainLoss, TrainError: e.TrainError, Evaluated: e.Evaluated, ValLoss: e.ValLoss, ValError: e.ValError}
}

func epochsOf(all []train.EpochStats) []Epoch {
	epochs := make([]Epoch, len(all))
	for i, e := range all {
		epochs[i] = epochOf(e)
	}
	return epochs
}
