package study

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"netspace/arch"
	"netspace/dataset"
	"netspace/engine"
	"netspace/train"
)

// The protocol between an executor and a worker process: the worker reads one
// Task as a JSON line from its standard input, trains it, and writes messages
// as JSON lines to its standard output. The end of the input tells it to stop,
// which is also what it sees when its parent dies; so no worker outlives its
// parent for long. The result goes into a journal before it is told.

// message is what a worker says.
type message struct {
	Kind            EventKind `json:"kind"`
	Share           float64   `json:"share,omitempty"`
	ImagesPerSecond float64   `json:"images_per_second,omitempty"`
	SecondsLeft     float64   `json:"seconds_left,omitempty"`
	Epoch           *Epoch    `json:"epoch,omitempty"`
	Error           float64   `json:"error,omitempty"`
	Reason          string    `json:"reason,omitempty"`
}

// What a worker says besides the kinds of Event.
const (
	workerStopped EventKind = "stopped" // it was told to stop, and the checkpoint holds what it did
	workerBroken  EventKind = "broken"  // not the trial's fault: no other trial would fare better
)

const (
	progressEvery = 200 * time.Millisecond
	// stopGrace is how long a worker may take to stop by itself: enough for a
	// checkpoint of a usual network. After it the process ends; the last
	// checkpoint on disk then counts.
	stopGrace = 1200 * time.Millisecond
)

// Worker is the body of a worker process.
type Worker struct {
	In     io.Reader
	Out    io.Writer
	Engine func(name string) (engine.Engine, error)
	Kill   func() // ends the process; called when it was told to stop and did not in time
}

// Run trains the one task that it is given. A trial that fails is no error: it
// is written in the journal and told.
func (w Worker) Run(ctx context.Context) error {
	in := bufio.NewReader(w.In)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("worker: read the task: %w", err)
	}
	var task Task
	if err := json.Unmarshal(line, &task); err != nil {
		return fmt.Errorf("worker: read the task: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in) // until the parent closes it, or is no more
		cancel()
	}()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopGrace, w.Kill) })
	defer stop()
	preferForOOM()

	out := json.NewEncoder(w.Out)
	end, err := w.train(ctx, task, func(m message) { _ = out.Encode(m) }) // a parent that is gone is seen by In
	if err != nil {
		end = message{Kind: workerBroken, Reason: err.Error()}
		if ctx.Err() != nil {
			end = message{Kind: workerStopped}
		}
	}
	return out.Encode(end)
}

// preferForOOM asks the kernel to end a worker before its parent when memory
// runs out, for that costs one trial. Where it cannot be asked nothing changes.
func preferForOOM() {
	f, err := os.OpenFile("/proc/self/oom_score_adj", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.WriteString("500")
}

// train gives the last message. An error is not the trial's fault.
func (w Worker) train(ctx context.Context, task Task, say func(message)) (message, error) {
	var none message
	log, err := openFreeJournal(task.Dir)
	if err != nil {
		return none, err
	}
	defer log.Close()
	if err := log.append(false, record{Start: &startRecord{Trial: task.Trial, Attempt: task.Attempt, PID: os.Getpid()}}); err != nil {
		return none, err
	}
	say(message{Kind: TrialStarted})

	began := time.Now()
	checkpoints := filepath.Join(task.Dir, checkpointDir, task.Trial)
	var epochs []Epoch
	result, err := w.run(ctx, task, checkpoints, func(p train.Progress) {
		if p.Finished == nil {
			return
		}
		e := epochOf(*p.Finished)
		epochs = append(epochs, e)
		_ = log.append(false, record{Epoch: &epochRecord{Trial: task.Trial, Epoch: e}}) // for viewers alone
	}, say)
	if err == nil {
		done := doneRecord{Trial: task.Trial, Error: result.Error, Error5: result.Error5, Seconds: result.Seconds,
			ImagesPerSecond: result.ImagesPerSecond, Epochs: epochsOf(result.Epochs)}
		if err := log.append(true, record{Done: &done}); err != nil {
			return none, err
		}
		removeCheckpoints(task.Dir, task.Trial)
		return message{Kind: TrialDone, Error: result.Error, ImagesPerSecond: result.ImagesPerSecond}, nil
	}
	if ctx.Err() != nil || notTheTrial(err) {
		return none, err
	}
	failed := failedRecord{Trial: task.Trial, Attempt: task.Attempt, Reason: err.Error(), Seconds: time.Since(began).Seconds(), Epochs: epochs}
	if err := log.append(true, record{Failed: &failed}); err != nil {
		return none, err
	}
	removeCheckpoints(task.Dir, task.Trial)
	return message{Kind: TrialFailed, Error: ChanceError(task.Input.Classes, 1), Reason: err.Error()}, nil
}

// run trains the network of a task and tells how far it is, at most every progressEvery.
func (w Worker) run(ctx context.Context, task Task, checkpoints string, finished func(train.Progress), say func(message)) (train.Result, error) {
	var none train.Result
	eng, err := w.Engine(task.Engine)
	if err != nil {
		return none, err
	}
	data, err := task.openData(ctx)
	if err != nil {
		return none, err
	}
	defer data.Close()
	net, err := task.Spec.TrainingGraph(inputOf(data.Info).arch(), arch.FromRecipe{DropPath: task.Recipe.DropPath, Dropout: task.Recipe.Dropout, BNEpsilon: task.Recipe.BNEpsilon})
	if err != nil {
		return none, err
	}
	var last time.Time
	job := train.Job{
		Graph: net, Data: data, Recipe: task.Recipe, Seed: task.Seed,
		Engine: eng, Threads: 1, Dir: checkpoints, Resume: true,
		Progress: func(p train.Progress) {
			finished(p)
			if now := time.Now(); p.Finished != nil || now.Sub(last) >= progressEvery {
				last = now
				m := message{Kind: TrialProgress, Share: p.Done, ImagesPerSecond: p.ImagesPerSecond, SecondsLeft: p.ETA.Seconds()}
				if p.Finished != nil {
					e := epochOf(*p.Finished)
					m.Kind, m.Epoch = TrialEpoch, &e
				}
				say(m)
			}
		},
	}
	result, err := train.Run(ctx, job)
	var damaged *train.CheckpointError
	if errors.As(err, &damaged) { // start over: a checkpoint is only a shortcut
		if err := os.RemoveAll(checkpoints); err != nil {
			return none, err
		}
		return train.Run(ctx, job)
	}
	return result, err
}

// openData opens the images that a network is trained on: in its own resolution
// if it has one, else those that the study was planned with.
func (t Task) openData(ctx context.Context) (*dataset.Data, error) {
	own := t.Spec.Resolution != 0
	if own {
		t.Data.Resolution = t.Spec.Resolution
	}
	data, err := t.Data.open(ctx)
	if err != nil || own {
		return data, err
	}
	key, err := train.DataKey(data)
	if err == nil && key != t.DataKey {
		err = &ChangedError{Dir: t.Dir, Changes: []string{"data: the images or their labels are other ones than when the study was started"}}
	}
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	return data, nil
}

// notTheTrial tells errors of the disk and the data from those of a network:
// after them no other trial would fare better.
func notTheTrial(err error) bool {
	var (
		path    *fs.PathError
		link    *os.LinkError
		sys     *os.SyscallError
		missing *dataset.MissingError
		format  *dataset.FormatError
		option  *dataset.OptionError
		changed *ChangedError
		none    *engine.ErrUnavailable
	)
	return errors.As(err, &path) || errors.As(err, &link) || errors.As(err, &sys) ||
		errors.As(err, &missing) || errors.As(err, &format) || errors.As(err, &option) ||
		errors.As(err, &changed) || errors.As(err, &none)
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

func inputOf(i dataset.Info) Input {
	return Input{Channels: i.Channels, Height: i.Height, Width: i.Width, Classes: i.Classes}
}

func (i Input) arch() arch.Input {
	return arch.Input{Channels: i.Channels, Height: i.Height, Width: i.Width, Classes: i.Classes}
}
