package study

import (
	"context"
	"errors"
	"os"
	"path/filepath"
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
	log, err := openFreeJournal(task.Dir)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := log.append(false, record{Start: &startRecord{Trial: task.ID, Attempt: task.Attempt, PID: os.Getpid()}}); err != nil {
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
	checkpoints := filepath.Join(task.Dir, checkpointDir, task.ID)
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
	default:
		return err
	}
	if err := log.append(true, end); err != nil {
		return err
	}
	removeCheckpoints(task.Dir, task.ID)
	return nil
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
