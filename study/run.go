package study

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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
	File string // study file; "" to continue the one in Dir, with the spaces as they were
	Dir  string // study folder, made if it is not there; "" means out/<name of the study>
	// Engine that trains (see engine/engines); "" means engines.Default.
	Engine string
	// Retry tries the trials again that failed.
	Retry bool
	// Data is the folder or name of the images where they are not where the study file says; "": there.
	Data string
	// Trainer that the workers use, to know whether its numbers may differ from those
	// of results that are there; nil means trial.Builtin.
	Trainer trial.Trainer
	// Host is this machine's name in the journals; "" means the system's. No two machines
	// that share a folder may have the same one.
	Host string
	// Lease is how long other runs respect the claims of this one after its last sign of
	// life; 0 means DefaultLease.
	Lease time.Duration
	// Note is told what Start does that takes time, and what it repaired; nil: nobody.
	Note func(format string, args ...any)
}

// DefaultLease is long against the time between two signs of life, a third of it, and the differences of clocks
// between machines, and short against a training.
const DefaultLease = 2 * time.Minute

// Run is a study at work: the trials that remain to be trained. Several runs, on one machine
// or on several that share the folder, may be at work on one study: each of them claims
// the trials that it sees to.
type Run struct {
	Dir    string
	Config Config
	Host   string // this machine's name in the journals

	lease  time.Duration
	trials int // distinct ones of all populations
	done   int // of them, when the run began
	failed int
	best   *Trial // the best one done when the run began

	mu      sync.Mutex
	log     *journal
	history *history
	session sessionRecord
	queue   []*Task         // not ended, as far as known, and not seen to by this run
	held    map[string]bool // trials that this run has claimed
	report  func(Event)
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
	host := req.Host
	if host == "" {
		host = hostName()
	}
	if host = unsafeName.ReplaceAllString(host, "_"); req.Lease == 0 {
		req.Lease = DefaultLease
	}
	h, err := readHistory(dir, host)
	if err != nil {
		return nil, err
	}
	if req.Data != "" {
		config.Data.Name = req.Data
	}
	plan, fresh, err := makePlan(ctx, dir, config, h, req.File == "", req.Note)
	if err != nil {
		return nil, err
	}
	log, err := createFolder(dir, host, text, fresh)
	if err != nil {
		return nil, err
	}
	if log.repaired > 0 {
		req.Note("%s: cut off %d bytes that a crash left half written", log.f.Name(), log.repaired)
	}
	r := &Run{Dir: dir, Config: config, Host: host, lease: req.Lease, log: log, history: h, held: map[string]bool{}, report: func(Event) {}}
	if err := r.fill(plan, req); err != nil {
		return nil, errors.Join(err, log.Close())
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
func makePlan(ctx context.Context, dir string, config Config, h *history, folderAlone bool, note func(string, ...any)) (p plan, fresh []record, err error) {
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
	} else if changes, err := p.study.changes(*h.study); err != nil {
		return p, nil, fmt.Errorf("%s: %w", dir, err)
	} else if len(changes) > 0 {
		return p, nil, &RequestError{&ChangedError{Dir: dir, Changes: changes}}
	}
	p.samples = map[string][]trialRecord{}
	for _, name := range config.Spaces {
		have := h.samples[name]
		if len(have) < config.Samples {
			note("sampling %d networks from %s", config.Samples, name)
			space, err := loadSpace(name, h, folderAlone)
			if err != nil {
				return p, nil, &RequestError{fmt.Errorf("spaces: %w", err)}
			}
			all, err := sample(ctx, name, space, config, p.study, note)
			if err != nil {
				return p, nil, err
			}
			if _, kept := h.spaces[name]; !kept {
				fresh = append(fresh, record{Space: &spaceRecord{Name: name, Files: space.Files()}})
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

// changes says what of old is other in s: results made under the one may then not stand
// beside those of the other.
func (s studyRecord) changes(old studyRecord) ([]string, error) {
	var was, is Settings
	if err := json.Unmarshal(old.Settings, &was); err != nil {
		return nil, fmt.Errorf("read the settings of the study: %w", err)
	}
	if err := json.Unmarshal(s.Settings, &is); err != nil {
		return nil, err
	}
	changes, err := is.changes(was)
	if err != nil {
		return nil, err
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
	return changes, nil
}

// createFolder makes the study folder, or brings it up to date, and returns the run's own journal.
func createFolder(dir, host string, text []byte, fresh []record) (*journal, error) {
	for _, d := range []string{dir, filepath.Join(dir, journalDir), filepath.Join(dir, checkpointDir)} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("make the study folder: %w", err)
		}
	}
	file := filepath.Join(dir, fileName)
	if old, err := strict.ReadFile(file); err != nil || string(old) != string(text) {
		if err := atomicfile.WriteFile(file, text, 0o644); err != nil {
			return nil, err
		}
	}
	log, err := openFreeJournal(dir, host)
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

// fill makes the queue: the trials without an outcome, the first network of every space
// first, so that the populations grow side by side.
func (r *Run) fill(p plan, req Request) error {
	h := r.history
	if err := h.refresh(); err != nil { // with what was just written
		return err
	}
	if s := h.files[r.log.f.Name()].session; s != nil {
		s.over = true // it had the lock that this run has now
	}
	seen := map[string]bool{}
	var records []record
	for index := range r.Config.Samples {
		for _, name := range r.Config.Spaces {
			rec := p.samples[name][index]
			if seen[rec.ID] {
				continue
			}
			seen[rec.ID] = true
			t := h.trial(rec)
			if req.Retry && t.State == Failed {
				o := h.outcome(rec.ID)
				o.forgive = o.nextAttempt() - 1
				records = append(records, record{Forgive: &forgiveRecord{Trial: rec.ID, Attempt: o.forgive}})
				t = h.trial(rec)
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
				Dir: r.Dir, Host: r.Host, Space: name, Index: index, Attempt: h.outcome(rec.ID).nextAttempt(),
			}
			var err error
			if task.Recipe, err = recipeOf(rec.Spec, r.Config.Recipe); err != nil {
				return &RequestError{err}
			}
			r.queue = append(r.queue, &task)
		}
	}
	h.takeEnded()
	if err := r.sweep(); err != nil || len(r.queue) == 0 {
		return err
	}
	for _, s := range h.sessions {
		if h.alive(s) {
			req.Note("another run of this study is at work on %s: sharing what remains with it", s.host)
		}
	}
	r.session = sessionRecord{ID: rand.Text(), PID: os.Getpid(), Differs: r.differs(req)}
	if r.session.Differs != "" {
		req.Note("warning: %s", r.session.Differs)
	}
	return r.log.append(true, append([]record{{Session: &r.session}}, records...)...)
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
		if id := e.Name(); !wanted[id] && !r.history.working[id] && r.history.claimant(id, "") == nil {
			if err := os.RemoveAll(filepath.Join(dir, id)); err != nil {
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
	all := make([]Task, len(r.queue))
	for i, t := range r.queue {
		all[i] = *t
	}
	return all
}

// Execute trains what remains. report, if not nil, is told of every event, by
// one goroutine at a time. It returns when every trial has ended, those too that other runs see
// to, or with an error that wraps context.Canceled when ctx was cancelled and all workers have stopped.
func (r *Run) Execute(ctx context.Context, x Executor, report func(Event)) error {
	if report != nil {
		r.report = report
	}
	if len(r.queue) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var renewing sync.WaitGroup
	defer renewing.Wait()
	over := make(chan struct{})
	defer close(over)
	renewing.Go(func() {
		tick := time.NewTicker(max(r.lease/3, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				if err := r.renew(); err != nil {
					cancel(err)
					return
				}
			}
		}
	})
	err := x.Execute(ctx, r)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// renew tells other runs that this one is alive.
func (r *Run) renew() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.append(true, record{Lease: &leaseRecord{Session: r.session.ID, leaseEnd: r.until()}})
}

func (r *Run) until() leaseEnd {
	return leaseEnd{time.Now().Add(r.lease).UTC().Truncate(time.Millisecond)}
}

// lookAgain is the time between two looks at trials that other runs see to.
const lookAgain = 500 * time.Millisecond

// Next claims the next task. It waits while other runs see to all that remain, for they may
// die; ok is false when nothing is left that this run does not see to already. It
// returns ctx's error when ctx is done.
func (r *Run) Next(ctx context.Context) (t Task, ok bool, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return t, false, context.Cause(ctx)
		}
		t, ok, left, err := r.claim()
		if ok || !left || err != nil {
			return t, ok, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookAgain/2 + mathrand.N(lookAgain)): // not all at once
		}
	}
}

// claim claims the first task that nobody sees to; left tells whether there are tasks that others see to.
//
// A claim is a record in the run's own journal. It holds if no other run's claim on the trial is to be
// seen after it was written: of two runs that claim at the same time at least one sees the
// other's record and gives way, and if both do, both come back to the trial later. The times of records decide
// nothing here: clocks differ, and who wrote first may have looked last. Should two runs train one trial after
// all, because the file system showed one of them an old file, that costs time and changes nothing.
func (r *Run) claim() (t Task, ok, left bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.history
	if err := h.refresh(); err != nil {
		return t, false, false, err
	}
	r.endedElsewhere()
	for i := 0; i < len(r.queue); i++ {
		t := *r.queue[i]
		if h.working[t.ID] || h.claimant(t.ID, r.session.ID) != nil {
			continue
		}
		o := h.outcome(t.ID)
		t.Attempt, t.losses = o.nextAttempt(), o.losses()
		if err := r.write(claimRecord{Session: r.session.ID, Trial: t.ID, Attempt: t.Attempt, leaseEnd: r.until()}); err != nil {
			return t, false, false, err
		}
		if err := h.refresh(); err != nil {
			return t, false, false, err
		}
		if o.hasEnded() || h.claimant(t.ID, r.session.ID) != nil {
			if err := r.log.append(true, record{Release: &releaseRecord{Session: r.session.ID, Trial: t.ID}}); err != nil {
				return t, false, false, err
			}
			continue
		}
		r.queue = slices.Delete(r.queue, i, i+1)
		r.held[t.ID] = true
		return t, true, false, nil
	}
	return t, false, len(r.queue) > 0, nil
}

func (r *Run) write(c claimRecord, before ...record) error {
	return r.log.append(true, append(before, record{Claim: &c})...)
}

// Elsewhere is the worker of events of trials that other runs have seen to.
const Elsewhere = -1

// endedElsewhere tells of trials that other runs have ended, and takes them out of the queue.
func (r *Run) endedElsewhere() {
	news := map[string]bool{}
	for _, id := range r.history.takeEnded() {
		news[id] = !r.held[id]
	}
	if len(news) == 0 {
		return
	}
	r.queue = slices.DeleteFunc(r.queue, func(t *Task) bool {
		if !news[t.ID] || !r.history.outcome(t.ID).hasEnded() {
			return false
		}
		r.report(r.end(Event{Worker: Elsewhere, Task: *t}))
		return true
	})
}

// end completes the event of a trial's end.
func (r *Run) end(e Event) Event {
	t := r.history.trial(trialRecord{ID: e.Task.ID})
	e.Kind, e.Error, e.Reason = TrialDone, t.Error, t.Reason
	if t.State == Failed {
		e.Kind = TrialFailed
	}
	return e
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
// worker may have died after it wrote its result there. If this run is to try the trial again,
// Ended gives the task for that; an attempt that died counts, and after the third one the trial has failed.
func (r *Run) Ended(worker int, t Task, reason string) (next Task, again bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.history
	if err := h.refresh(); err != nil {
		return t, false, err
	}
	e := Event{Worker: worker, Task: t, Reason: reason}
	other := h.claimant(t.ID, r.session.ID)
	switch {
	case h.outcome(t.ID).hasEnded():
		h.ended = slices.DeleteFunc(h.ended, func(id string) bool { return id == t.ID }) // no news
		r.report(r.end(e))
	case other != nil:
		// The lease ran out, because this machine slept, say, and another run has claimed the trial.
		e.Kind, e.Reason = TrialLost, "another run has taken it over, on "+other.host
		r.queue = append(r.queue, &t)
		r.report(e)
		err = r.log.append(true, record{Release: &releaseRecord{Session: r.session.ID, Trial: t.ID}})
	case reason == "":
		return t, true, nil
	default:
		return r.lost(e)
	}
	delete(r.held, t.ID)
	return t, false, err
}

// lost takes note of an attempt whose worker died.
func (r *Run) lost(e Event) (next Task, again bool, err error) {
	t := e.Task
	t.losses++
	e.Kind = TrialLost
	if t.losses < maxAttempts {
		lost := record{Lost: &lostRecord{Trial: t.ID, Attempt: t.Attempt, Reason: e.Reason}}
		t.Attempt++
		err := r.write(claimRecord{Session: r.session.ID, Trial: t.ID, Attempt: t.Attempt, leaseEnd: r.until()}, lost)
		if err == nil {
			r.report(e)
		}
		return t, true, err
	}
	e.Kind, e.Error = TrialFailed, ChanceError(t.Input.Classes, 1)
	e.Reason = fmt.Sprintf("%s (attempt %d of %d)", e.Reason, t.losses, maxAttempts)
	if err := r.log.append(true, record{Failed: &failedRecord{Trial: t.ID, Attempt: t.Attempt, Reason: e.Reason}}); err != nil {
		return t, false, err
	}
	removeCheckpoints(r.Dir, t.ID)
	r.report(e)
	delete(r.held, t.ID)
	return t, false, nil
}

// Close gives what the run has claimed to others.
func (r *Run) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if r.session.ID != "" {
		err = r.log.append(true, record{Release: &releaseRecord{Session: r.session.ID}})
	}
	return errors.Join(err, r.log.Close())
}

func unionKeys(a, b map[string]string) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
