package study

import (
	"context"
	"errors"
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

// Work is what a worker does: it has a task trained, and what came of it is in the
// journals, on the disk, when Work returns. tell is told of what happens meanwhile, TrialStarted first.
//
// A trial that fails is no error. An error is not the trial's fault, or that of ctx;
// the trial then goes on from its last checkpoint.
func Work(ctx context.Context, task Task, trainer trial.Trainer, tell func(Event)) error {
	engine, err := trainer.Describe(task.Task)
	if err != nil {
		return err
	}
	log, err := openFreeJournal(task.Dir, task.Host)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := log.begin(makerHere(engine, task.Data.Name), startRecord{Trial: task.ID, Attempt: task.Attempt, PID: os.Getpid()}); err != nil {
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
			_ = log.append(false, record{Epoch: &epochRecord{Trial: task.ID, Epoch: epoch}}) // for viewers alone
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
	case err == nil:
		end.Done = &doneRecord{Trial: task.ID, Error: result.Error, Error5: result.Error5, Seconds: result.Seconds,
			ImagesPerSecond: result.ImagesPerSecond, Epochs: epochsOf(result.Epochs)}
	case errors.As(err, &failure):
		end.Failed = &failedRecord{Trial: task.ID, Attempt: task.Attempt, Reason: err.Error(), Seconds: time.Since(began).Seconds(), Epochs: epochs}
	case ctx.Err() == nil && superseded(task):
		return nil // what the journals say counts
	default:
		return err
	}
	if err := log.append(true, end); err != nil {
		return err
	}
	removeCheckpoints(task.Dir, task.ID)
	return nil
}

// begin writes that a worker begins with a trial, and who it is where the journal does
// not say so yet.
func (j *journal) begin(m Maker, s startRecord) error {
	records := []record{{Start: &s}}
	if j.maker == nil || *j.maker != m {
		records = []record{{Maker: &m}, {Start: &s}}
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
func superseded(task Task) bool {
	h, err := readHistory(task.Dir, task.Host)
	if err != nil {
		return false
	}
	o := h.outcome(task.ID)
	return o.hasEnded() || o.nextAttempt() > task.Attempt+1
}

// removeCheckpoints removes what a trial that has ended no longer needs. It
// goes by another name first, so that nobody finds half of it. What cannot be
// removed now is removed by the next run.
func removeCheckpoints(dir, trial string) {
	path := filepath.Join(dir, checkpointDir, trial)
	gone := path + ".done"
	if err := os.Rename(path, gone); err != nil {
		return
	}
	_ = os.RemoveAll(gone)
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
