package study

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"

	"netspace/arch"
	"netspace/graph"
	"netspace/space"
	"netspace/trial"
)

// maxAttempts is how many times a trial whose worker dies is tried: what kills a
// trial twice more at the same place is the trial's own doing.
const maxAttempts = 3

// studyRecord is what must stay as it is for the results in a folder to belong
// together.
type studyRecord struct {
	Settings    json.RawMessage `json:"settings"` // Settings
	Data        string          `json:"data"`     // train.DataKey
	Input       trial.Input     `json:"input"`
	TrainImages int             `json:"train_images"`
	ValImages   int             `json:"val_images"`
}

// trialRecord puts a network in a population.
type trialRecord struct {
	Space      string           `json:"space"`
	Index      int              `json:"index"`
	ID         string           `json:"id"`
	Seed       uint64           `json:"seed"`
	Spec       arch.Spec        `json:"spec"`
	Asked      space.Asked      `json:"asked,omitempty"`
	Complexity graph.Complexity `json:"complexity"`
}

// outcome is what the journals say of one trial.
type outcome struct {
	done    *doneRecord
	failed  *failedRecord
	lost    []lostRecord // in the order read
	forgive int          // attempts up to this count for nothing
	started int          // attempts begun
	running bool         // a living process has begun and not ended it
	epochs  []Epoch      // of a trial that is not done, for viewers
	at      string       // time of done, to settle which of two counts
}

// history is the content of all journals of a folder.
type history struct {
	study    *studyRecord
	samples  map[string][]trialRecord // by space, in sample order
	outcomes map[string]*outcome      // by trial
	torn     map[string]int64         // bytes of torn ends by file
}

// readHistory replays the journals of a folder. The order of files, and of
// records in different files, does not matter.
func readHistory(dir string) (*history, error) {
	files, err := journalFiles(dir)
	if err != nil {
		return nil, err
	}
	h := &history{samples: map[string][]trialRecord{}, outcomes: map[string]*outcome{}, torn: map[string]int64{}}
	found := map[string]map[int]trialRecord{}
	for _, file := range files {
		if err := h.readFile(file, found); err != nil {
			return nil, err
		}
	}
	for name, byIndex := range found {
		// A crash may have torn the record of a sample; what follows a gap is sampled again.
		for i := 0; ; i++ {
			t, ok := byIndex[i]
			if !ok {
				break
			}
			h.samples[name] = append(h.samples[name], t)
		}
	}
	return h, nil
}

func (h *history) readFile(file string, found map[string]map[int]trialRecord) error {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	alive := locked(f) // before reading: a trial that ends meanwhile then counts as done, not as lost
	var last string    // the trial that this file's writer is at
	whole, err := scanJournal(f, file, func(r record) error {
		switch {
		case r.Study != nil:
			return h.addStudy(file, r.Study)
		case r.Trial != nil:
			t := *r.Trial
			if found[t.Space] == nil {
				found[t.Space] = map[int]trialRecord{}
			}
			if old, ok := found[t.Space][t.Index]; ok && old.ID != t.ID {
				return fmt.Errorf("%s: network %d of space %s is trial %s, another record of this folder says %s", file, t.Index, t.Space, t.ID, old.ID)
			}
			found[t.Space][t.Index] = t
		case r.Start != nil:
			o := h.outcome(r.Start.Trial)
			o.started = max(o.started, r.Start.Attempt)
			last = r.Start.Trial
		case r.Epoch != nil:
			h.outcome(r.Epoch.Trial).addEpoch(r.Epoch.Epoch)
		case r.Done != nil:
			o := h.outcome(r.Done.Trial)
			if o.done == nil || r.Time < o.at {
				o.done, o.at = r.Done, r.Time
			}
			last = ""
		case r.Failed != nil:
			h.outcome(r.Failed.Trial).failed = r.Failed
			last = ""
		case r.Lost != nil:
			o := h.outcome(r.Lost.Trial)
			o.lost = append(o.lost, *r.Lost)
		case r.Forgive != nil:
			o := h.outcome(r.Forgive.Trial)
			o.forgive = max(o.forgive, r.Forgive.Attempt)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err == nil && info.Size() > whole {
		h.torn[file] = info.Size() - whole
	}
	if alive && last != "" {
		h.outcome(last).running = true
	}
	return nil
}

func (h *history) addStudy(file string, s *studyRecord) error {
	if h.study != nil && !reflect.DeepEqual(h.study, s) {
		return fmt.Errorf("%s: its settings are not those of the other journals in this folder", file)
	}
	h.study = s
	return nil
}

func (h *history) outcome(trial string) *outcome {
	o := h.outcomes[trial]
	if o == nil {
		o = &outcome{}
		h.outcomes[trial] = o
	}
	return o
}

// addEpoch keeps one entry per epoch: an attempt that starts over repeats some.
func (o *outcome) addEpoch(e Epoch) {
	for i := range o.epochs {
		if o.epochs[i].Epoch == e.Epoch {
			o.epochs[i] = e
			return
		}
	}
	o.epochs = append(o.epochs, e)
}

// losses are the attempts whose worker died and that count.
func (o *outcome) losses() int {
	n := 0
	for _, l := range o.lost {
		if l.Attempt > o.forgive {
			n++
		}
	}
	return n
}

// nextAttempt is the number of the attempt to come, from 1.
func (o *outcome) nextAttempt() int {
	n := max(o.forgive, 0)
	for _, l := range o.lost {
		n = max(n, l.Attempt)
	}
	if o.failed != nil {
		n = max(n, o.failed.Attempt)
	}
	return n + 1
}

// failure is the reason that ended a trial without a result, or "".
func (o *outcome) failure() (reason string, ok bool) {
	if o.failed != nil && o.failed.Attempt > o.forgive {
		return o.failed.Reason, true
	}
	return "", false
}

// trial joins a place in a population with what is known of its trial.
func (h *history) trial(r trialRecord) Trial {
	t := Trial{ID: r.ID, Space: r.Space, Index: r.Index, Seed: r.Seed, Spec: r.Spec, Asked: r.Asked, Complexity: r.Complexity, State: Pending}
	o := h.outcomes[r.ID]
	if o == nil {
		return t
	}
	if o.done != nil {
		t.State = Done
		t.Error, t.Error5 = o.done.Error, o.done.Error5
		t.Seconds, t.ImagesPerSecond, t.Epochs = o.done.Seconds, o.done.ImagesPerSecond, o.done.Epochs
		return t
	}
	if reason, failed := o.failure(); failed {
		t.State, t.Reason = Failed, reason
		t.Error = ChanceError(h.study.Input.Classes, 1)
		if h.study.Input.Classes > 10 {
			t.Error5 = ChanceError(h.study.Input.Classes, 5)
		}
		t.Seconds, t.Epochs = o.failed.Seconds, o.failed.Epochs
		return t
	}
	if o.running {
		t.State = Running
	}
	t.Epochs = o.epochs
	return t
}
