package study

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"netspace/engine/engines"
	"netspace/internal/atomicfile"
	"netspace/strict"
	"netspace/train"
	"netspace/trial"
)

// RequestError marks an error of what was asked for (study file, data set,
// regime, folder), as opposed to one of carrying it out. Nothing was written.
type RequestError struct{ Err error }

func (e *RequestError) Error() string { return e.Err.Error() }
func (e *RequestError) Unwrap() error { return e.Err }

// Request says which study to run.
type Request struct {
	File string // study file; "" to continue the one in Dir
	Dir  string // study folder, made if it is not there; "" means out/<name of the study>
	// Engine that trains (see engine/engines); "" means engines.Default.
	Engine string
	// Retry tries the trials again that failed.
	Retry bool
	// Note is told what Start does that takes time, and what it repaired; nil: nobody.
	Note func(format string, args ...any)
}

// Run is a study at work: the trials that remain to be trained.
type Run struct {
	Dir    string
	Config Config

	mu     sync.Mutex
	log    *journal
	study  *studyRecord
	queue  []Task
	report func(Event)
	trials int // distinct ones of all populations
	done   int // of them, when the run began
	failed int
	best   *Trial // the best one done when the run began
}

// Start prepares a study: it reads the study file, opens the data set, samples
// what is not sampled yet and writes the plan into the folder. Nothing is
// written before all of that has succeeded. Close the Run when it is not needed any more.
func Start(ctx context.Context, req Request) (*Run, error) {
	if req.Note == nil {
		req.Note = func(string, ...any) {}
	}
	file := req.File
	if file == "" {
		file = filepath.Join(req.Dir, fileName)
	}
	text, err := strict.ReadFile(file)
	if err != nil {
		return nil, &RequestError{fmt.Errorf("study file: %w", err)}
	}
	config, err := ParseConfig(text, file)
	if err != nil {
		return nil, &RequestError{err}
	}
	if req.Engine != engines.Default {
		config.Engine = req.Engine
	}
	dir := req.Dir
	if dir == "" {
		dir = filepath.Join("out", config.Name)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := waitForOthers(ctx, dir); err != nil {
		return nil, err
	}
	h, err := readHistory(dir)
	if err != nil {
		return nil, err
	}
	plan, fresh, err := makePlan(ctx, dir, config, h, req.Note)
	if err != nil {
		return nil, err
	}
	log, err := createFolder(dir, text, fresh)
	if err != nil {
		return nil, err
	}
	if log.repaired > 0 {
		req.Note("%s: cut off %d bytes that a crash left half written", log.f.Name(), log.repaired)
	}
	r := &Run{Dir: dir, Config: config, log: log, report: func(Event) {}}
	if err := r.fill(h, plan, req.Retry); err != nil {
		log.Close()
		return nil, err
	}
	return r, nil
}

// plan is the study record and the samples of a folder, complete.
type plan struct {
	study   studyRecord
	samples map[string][]trialRecord
}

// makePlan completes what the folder has planned: with the first samples, or
// more of them. fresh is what must be added to the journals for that.
func makePlan(ctx context.Context, dir string, config Config, h *history, note func(string, ...any)) (p plan, fresh []record, err error) {
	data, err := config.Data.Open(ctx)
	if err != nil {
		return p, nil, &RequestError{err}
	}
	defer data.Close()
	if found := data.DescribeCorrupt(0); found != "" {
		note("warning: %s", found)
	}
	settings, err := json.Marshal(config.Settings)
	if err != nil {
		return p, nil, err
	}
	key, err := train.DataKey(data)
	if err != nil {
		return p, nil, &RequestError{err}
	}
	p.study = studyRecord{Settings: settings, Data: key, Input: trial.InputOf(data.Info), TrainImages: data.Train.Len()}
	if data.Val != nil {
		p.study.ValImages = data.Val.Len()
	}
	if p.study.ValImages == 0 {
		return p, nil, &RequestError{fmt.Errorf("data set %s: there are no validation images to compare networks on", config.Data.Name)}
	}
	if config.Recipe.Batch > p.study.TrainImages {
		return p, nil, &RequestError{fmt.Errorf("recipe.batch is %d but there are only %d training images", config.Recipe.Batch, p.study.TrainImages)}
	}
	if h.study == nil {
		fresh = append(fresh, record{Study: &p.study})
	} else if err := p.study.compare(*h.study, dir); err != nil {
		return p, nil, err
	}
	p.samples = map[string][]trialRecord{}
	for _, name := range config.Spaces {
		have := h.samples[name]
		if len(have) < config.Samples {
			note("sampling %d networks from %s", config.Samples, name)
			all, err := sample(ctx, name, config, p.study, note)
			if err != nil {
				return p, nil, err
			}
			for i, t := range have {
				if t.ID != all[i].ID {
					return p, nil, &RequestError{&ChangedError{Dir: dir, Changes: []string{fmt.Sprintf("space %s gives other networks than before, the first at place %d", name, i)}}}
				}
			}
			for i := len(have); i < len(all); i++ {
				fresh = append(fresh, record{Trial: &all[i]})
			}
			have = all
		}
		p.samples[name] = have[:config.Samples]
	}
	return p, fresh, nil
}

// compare checks that results made under old may stand beside new ones.
func (s studyRecord) compare(old studyRecord, dir string) error {
	var was, is Settings
	if err := json.Unmarshal(old.Settings, &was); err != nil {
		return fmt.Errorf("%s: read the settings of the study: %w", dir, err)
	}
	if err := json.Unmarshal(s.Settings, &is); err != nil {
		return err
	}
	changes, err := is.changes(was)
	if err != nil {
		return err
	}
	switch {
	case s.Input != old.Input:
		changes = append(changes, fmt.Sprintf("data: %s, were %s", s.Input, old.Input))
	case s.TrainImages != old.TrainImages:
		changes = append(changes, fmt.Sprintf("data.train: %d images, were %d", s.TrainImages, old.TrainImages))
	case s.ValImages != old.ValImages:
		changes = append(changes, fmt.Sprintf("data.validation: %d images, were %d", s.ValImages, old.ValImages))
	case s.Data != old.Data:
		changes = append(changes, "data: the images or their labels are other ones")
	}
	if len(changes) > 0 {
		return &RequestError{&ChangedError{Dir: dir, Changes: changes}}
	}
	return nil
}

// createFolder makes the study folder, or brings it up to date, and returns the run's own journal.
func createFolder(dir string, text []byte, fresh []record) (*journal, error) {
	for _, d := range []string{dir, filepath.Join(dir, journalDir), filepath.Join(dir, checkpointDir)} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("make the study folder: %w", err)
		}
	}
	file := filepath.Join(dir, fileName)
	if old, err := os.ReadFile(file); err != nil || string(old) != string(text) {
		if err := atomicfile.WriteFile(file, text, 0o644); err != nil {
			return nil, err
		}
	}
	log, err := openFreeJournal(dir)
	if err != nil {
		return nil, err
	}
	if len(fresh) > 0 {
		if err := log.append(true, fresh...); err != nil {
			log.Close()
			return nil, err
		}
	}
	return log, nil
}

// waitForOthers returns when no process of this host writes a journal of the
// folder: workers whose parent was killed stop within stopGrace.
func waitForOthers(ctx context.Context, dir string) error {
	deadline := time.Now().Add(2 * time.Second)
	for {
		file, err := busyJournal(dir)
		if err != nil || file == "" {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("another netspace runs the study in %s (it has %s open): wait for it, or stop it", dir, file)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func busyJournal(dir string) (string, error) {
	files, err := journalFiles(dir)
	if err != nil {
		return "", err
	}
	for _, file := range files {
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		busy := locked(f)
		f.Close()
		if busy && strings.HasPrefix(filepath.Base(file), hostName()+"-") {
			return file, nil
		}
	}
	return "", nil
}

// fill makes the queue: the trials without an outcome, the first network of every space
// first, so that the populations grow side by side.
func (r *Run) fill(h *history, p plan, retry bool) error {
	seen := map[string]bool{}
	var forgiven []record
	h.study, h.samples = &p.study, p.samples
	r.study = h.study
	for index := range r.Config.Samples {
		for _, name := range r.Config.Spaces {
			rec := p.samples[name][index]
			if seen[rec.ID] {
				continue
			}
			seen[rec.ID] = true
			t := h.trial(rec)
			attempt := 1
			if o := h.outcomes[rec.ID]; o != nil {
				attempt = o.nextAttempt()
				if retry && t.State == Failed {
					o.forgive = attempt - 1
					forgiven = append(forgiven, record{Forgive: &forgiveRecord{Trial: rec.ID, Attempt: o.forgive}})
					t = h.trial(rec)
				}
			}
			r.trials++
			switch t.State {
			case Done:
				r.done++
				if r.best == nil || t.Error < r.best.Error {
					r.best = &t
				}
				continue
			case Failed:
				r.failed++
				continue
			}
			task := Task{
				Task: trial.Task{ID: rec.ID, Seed: rec.Seed, Spec: rec.Spec, Input: p.study.Input, Data: r.Config.Data,
					DataKey: p.study.Data, Engine: r.Config.Engine},
				Dir: r.Dir, Attempt: attempt, Space: name, Index: index, losses: h.outcome(rec.ID).losses(),
			}
			var err error
			if task.Recipe, err = recipeOf(rec.Spec, r.Config.Recipe); err != nil {
				return &RequestError{err}
			}
			r.queue = append(r.queue, task)
		}
	}
	if len(forgiven) > 0 {
		if err := r.log.append(true, forgiven...); err != nil {
			return err
		}
	}
	return r.sweep()
}

// sweep removes checkpoints that nobody will go on from: of trials that ended
// when their worker or the machine stopped before it had removed them.
func (r *Run) sweep() error {
	wanted := map[string]bool{}
	for _, t := range r.queue {
		wanted[t.ID] = true
	}
	dir := filepath.Join(r.Dir, checkpointDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !wanted[e.Name()] {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Totals are the numbers of distinct trials of a run.
type Totals struct {
	Trials, Done, Failed int
	Best                 *Trial // lowest error, nil if none is done
}

// Totals when the run began.
func (r *Run) Totals() Totals {
	return Totals{Trials: r.trials, Done: r.done, Failed: r.failed, Best: r.best}
}

// Pending lists the tasks that remain, in the order of Next.
func (r *Run) Pending() []Task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.queue)
}

// Execute trains what remains. report, if not nil, is told of every event, by
// one goroutine at a time. It returns when every trial has ended, or with an
// error that wraps context.Canceled when ctx was cancelled and all workers have stopped.
func (r *Run) Execute(ctx context.Context, x Executor, report func(Event)) error {
	if report != nil {
		r.report = report
	}
	if len(r.queue) == 0 {
		return nil
	}
	return x.Execute(ctx, r)
}

// Next takes the next task; false if there are no more.
func (r *Run) Next() (Task, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return Task{}, false
	}
	t := r.queue[0]
	r.queue = r.queue[1:]
	return t, true
}

// Report tells how a trial goes: TrialStarted, TrialProgress, TrialEpoch. How it ended
// is told by Ended.
func (r *Run) Report(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report(e)
}

// Ended says that the worker of an attempt is gone: reason is why it died, "" if it
// stopped in good order, as it was told. What came of the attempt is looked up in the journals: the
// worker may have died after it wrote its result there. If the trial is to be tried again,
// Ended gives the task for that; an attempt that died counts, and after the third one the trial has failed.
func (r *Run) Ended(worker int, t Task, reason string) (next Task, again bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, err := readHistory(r.Dir)
	if err != nil {
		return t, false, err
	}
	h.study = r.study
	e := Event{Worker: worker, Task: t, Reason: reason}
	switch is := h.trial(trialRecord{ID: t.ID}); {
	case is.State == Done:
		e.Kind, e.Error, e.ImagesPerSecond, e.Reason = TrialDone, is.Error, is.ImagesPerSecond, ""
	case is.State == Failed:
		e.Kind, e.Error, e.Reason = TrialFailed, is.Error, is.Reason
	case reason == "":
		return t, true, nil
	default:
		return r.lost(e)
	}
	r.report(e)
	return t, false, nil
}

// lost takes note of an attempt whose worker died.
func (r *Run) lost(e Event) (next Task, again bool, err error) {
	t := e.Task
	t.losses++
	e.Kind = TrialLost
	rec := record{Lost: &lostRecord{Trial: t.ID, Attempt: t.Attempt, Reason: e.Reason}}
	final := t.losses >= maxAttempts
	if final {
		e.Kind, e.Error = TrialFailed, ChanceError(t.Input.Classes, 1)
		e.Reason = fmt.Sprintf("%s (attempt %d of %d)", e.Reason, t.losses, maxAttempts)
		rec = record{Failed: &failedRecord{Trial: t.ID, Attempt: t.Attempt, Reason: e.Reason}}
	}
	if err := r.log.append(true, rec); err != nil {
		return t, false, err
	}
	if final {
		removeCheckpoints(r.Dir, t.ID)
	}
	r.report(e)
	t.Attempt++
	return t, !final, nil
}

// Close gives the folder back to others.
func (r *Run) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Close()
}

func unionKeys(a, b map[string]string) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
