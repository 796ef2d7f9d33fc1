package study

import (
	"context"
	"crypto/rand"
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
	"netspace/space"
	"netspace/strict"
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
	// Text is what stands in the study file, where it is not to be read: File then only names it. Nil: it is read.
	Text []byte
	Dir  string // study folder, made if it is not there; "" means out/<name of the study>
	// Engine that trains (see engine/engines); "" means engines.Default.
	Engine string
	// Retry tries the trials again that failed.
	Retry bool
	// Joins says that the run is one of many that another one has started, each at its own time: it tries no trial again
	// that has failed since.
	Joins bool
	// Data is the folder or name of the images where they are not where the study file says; "": there.
	Data string
	// Trainer that the workers use, to know whether its numbers may differ from those
	// of results that are there; nil means trial.Any. Start fails if it cannot train here, unless it is nil and the study names none.
	Trainer trial.Trainer
	// Trains tells of a study whether the run trains it on this machine; nil: it does. A run that has others train needs no trainer here.
	Trains func(Config) bool
	// Host is this machine's name in the journals; "" means the system's. No two machines
	// that share a folder may have the same one.
	Host string
	// Lease is how long other runs respect the claims of this one after its last sign of
	// life; 0 means DefaultLease.
	Lease time.Duration
	// Goals are what is to be trained of spaces besides what the study file asks for, and what was asked for before.
	Goals map[string]Goal
	// Spaces that a design loop adds to the study, in their order, by the names that they have in themselves. The file of a study with a block
	// design is run by such a loop alone.
	Spaces []*space.Space
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
	totals Totals // when the run began
	found  studyRecord

	mu      sync.Mutex
	log     *journal
	history *history
	session sessionRecord
	lines   *lines // to read networks again
	report  func(Event)

	queue   []training      // trials that had not ended when the run began, in order, and those that came back
	head    int             // of the queue: all before it are taken
	waiting map[trialID]int // place in the queue of those that are not taken
	epochs  map[trialID]int // that short trainings are to have
	ready   []Task          // claimed, and not given out yet
	held    map[trialID]*attempt
	usual   time.Duration // from giving out a trial to its end, about; 0 until one ended
	deaths  deaths
	follow  follow
	cancels int // of jobs, when the run began
}

// attempt is what this run knows of a trial that it has claimed.
type attempt struct {
	given time.Time // out to the executor
	moved bool      // it has made a step
}

// Read gives the study that is asked for, as its file states it, and its folder, which need not be there yet. The error is a *RequestError.
func (req Request) Read() (config Config, dir string, err error) {
	config, _, dir, err = req.read()
	return config, dir, err
}

func (req Request) read() (config Config, text []byte, dir string, err error) {
	file := req.File
	if file == "" {
		file = filepath.Join(req.Dir, fileName)
	}
	if text = req.Text; text == nil {
		if text, err = strict.ReadFile(file); err != nil {
			return config, nil, "", &RequestError{fmt.Errorf("study file: %w", err)}
		}
	}
	if config, err = ParseConfig(text, file); err != nil {
		return config, nil, "", &RequestError{err}
	}
	had := len(config.Spaces)
	for _, s := range req.Spaces {
		if !slices.Contains(config.Spaces, s.Name) {
			config.Spaces = append(config.Spaces, s.Name)
		}
	}
	if len(config.Spaces) > had {
		if text, err = withSpaces(text, config.Spaces); err != nil {
			return config, nil, "", &RequestError{err}
		}
	}
	if dir = req.Dir; dir == "" {
		dir = filepath.Join("out", config.Name)
	}
	dir, err = filepath.Abs(dir)
	return config, text, dir, err
}

// Start prepares a study: it reads the study file, opens the data set, samples
// what is not sampled yet and writes the plan into the folder. Nothing is
// written before all of that has succeeded. Close the Run when it is not needed any more.
func Start(ctx context.Context, req Request) (*Run, error) {
	if req.Note == nil {
		req.Note = func(string, ...any) {}
	}
	config, text, dir, err := req.read()
	if err != nil {
		return nil, err
	}
	alone := req.Goals == nil && !req.Joins // of a run that joins the goals are in the folder
	if config.Design != nil && alone {
		return nil, &RequestError{fmt.Errorf("study %s is one of a design loop, which says what is trained: netspace design goes on with it", config.Name)}
	}
	if config.Search != nil && alone {
		return nil, &RequestError{fmt.Errorf("study %s is a search, which says what is trained: netspace search goes on with it", config.Name)}
	}
	if req.Engine != engines.Default {
		config.Engine = req.Engine
	}
	host := req.Host
	if host == "" {
		host = hostName()
	}
	if host = unsafeName.ReplaceAllString(host, "_"); req.Lease == 0 {
		req.Lease = DefaultLease
	}
	known := req.Trainer != nil
	if !known {
		req.Trainer = new(trial.Any)
	}
	trains := req.Trains == nil || req.Trains(config)
	if trains && (known || !config.Trainer.IsZero()) {
		if _, err := req.Trainer.Describe(trial.Task{Engine: config.Engine, Trainer: config.Trainer}); err != nil {
			return nil, &RequestError{err}
		}
	}
	req.Host = host
	h, err := readHistory(ctx, dir, host)
	if err == nil {
		err = h.foreign()
	}
	if err != nil {
		return nil, err
	}
	if req.Data != "" {
		config.Data.Name = req.Data
	}
	r := &Run{Dir: dir, Config: config, Host: host, lease: req.Lease, history: h, lines: &lines{h: h}, report: func(Event) {},
		waiting: map[trialID]int{}, epochs: map[trialID]int{}, held: map[trialID]*attempt{}, deaths: deaths{soft: map[trialID]int{}, first: map[trialID]int{}}}
	if r.found, err = prepare(ctx, dir, config, text, h, req); err != nil {
		return nil, err
	}
	if r.log, err = openFreeJournal(dir, host); err != nil {
		return nil, err
	}
	if r.log.repaired > 0 {
		req.Note("%s: cut off %d bytes that a crash left half written", r.log.f.Name(), r.log.repaired)
	}
	noteDamage(h.damage, req.Note)
	if err := r.fill(ctx, req, trains); err != nil {
		return nil, errors.Join(err, r.log.Close())
	}
	return r, nil
}

// noteDamage tells of damaged lines, few of many.
func noteDamage(damage []Damage, note func(string, ...any)) {
	const most = 5
	for i, d := range damage {
		if i == most {
			note("warning: and %d more damaged lines (netspace study check lists them)", len(damage)-most)
			return
		}
		note("warning: set aside %s", d)
	}
}

// changes says what of old is other in s: results made under the one may then not stand
// beside those of the other.
func (s studyRecord) changes(old studyRecord) ([]string, error) {
	was, err := old.settings()
	if err != nil {
		return nil, err
	}
	is, err := s.settings()
	if err != nil {
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

// fill makes the queue: the trials without an outcome.
func (r *Run) fill(ctx context.Context, req Request, trains bool) error {
	h := r.history
	if err := h.refresh(ctx); err != nil { // with the run's own journal
		return err
	}
	if s := h.files[r.log.f.Name()].session; s != nil {
		s.over = true // it had the lock that this run has now
	}
	r.cancels = h.cancels
	var records []record
	total := 0
	h.wanted(r.Config, func(training) { total++ })
	r.queue = make([]training, 0, total)
	h.wanted(r.Config, func(p training) {
		r.totals.Trials++
		if p.epochs < allEpochs {
			r.epochs[p.id] = p.epochs
		}
		o := h.outcomes[p.id]
		if f := o.failure(); f != nil && (req.Retry || f.Cause == trial.Killed && !req.Joins) {
			o.forgive = o.nextAttempt() - 1
			records = append(records, record{Forgive: &forgiveRecord{Trial: p.id, Attempt: o.forgive}})
		}
		switch o.state() {
		case Done:
			r.totals.done(p.best(o.done), p.rerun)
		case Failed:
			r.totals.Failed++
		default:
			if r.reached(p.id) {
				r.totals.Done++
				break
			}
			r.waiting[p.id] = len(r.queue)
			r.queue = append(r.queue, p)
		}
	})
	h.takeEnded()
	if err := r.sweep(); err != nil || len(r.queue) == 0 {
		return err
	}
	for _, s := range h.sessions {
		if h.alive(s) && !req.Joins {
			req.Note("another run of this study is at work on %s: sharing what remains with it", s.host)
		}
	}
	r.session = sessionRecord{ID: rand.Text(), PID: os.Getpid()}
	if trains {
		r.session.Differs = r.differs(req)
	}
	if r.session.Differs != "" {
		req.Note("warning: %s", r.session.Differs)
	}
	return r.log.append(true, append([]record{{Session: &r.session}}, records...)...)
}

// task makes the task of a trial that remains.
func (r *Run) task(q training) (Task, error) {
	rec, err := r.lines.sample(r.history.samples[q.space][q.index])
	if err != nil {
		return Task{}, err
	}
	task, err := taskOf(rec, q.rerun, r.Config, r.found)
	if err != nil {
		return Task{}, &RequestError{err}
	}
	if epochs, short := r.epochs[q.id]; short && epochs < task.Recipe.Epochs {
		task.Steps = epochs * (r.found.TrainImages / task.Recipe.Batch)
	}
	return Task{Task: task, Dir: r.Dir, Host: r.Host, Space: q.space, Index: q.index, Rerun: q.rerun}, nil
}

// taskOf makes the task of a network of a study.
func taskOf(rec trialRecord, rerun int, c Config, found studyRecord) (t trial.Task, err error) {
	if rerun > 0 {
		rec.ID, rec.Seed = rerunOf(rec.ID, rerun)
	}
	t = trial.Task{ID: rec.ID.String(), Seed: rec.Seed, Spec: rec.Spec, Input: found.Input, Data: c.Data, DataKey: found.Data, Engine: c.Engine, Trainer: c.Trainer}
	t.Recipe, err = recipeOf(rec.Spec, c.Recipe)
	return t, err
}

// reached tells whether a trial has come to what is wanted of it.
func (r *Run) reached(id trialID) bool {
	epochs, short := r.epochs[id]
	if !short {
		epochs = allEpochs
	}
	return r.history.outcomes[id].reached(epochs)
}

// sweep removes checkpoints that nobody will go on from: of trials that ended
// when their worker or the machine stopped before it had removed them.
func (r *Run) sweep() error {
	entries, err := os.ReadDir(filepath.Join(r.Dir, checkpointDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, err := parseID(e.Name())
		if err == nil {
			if _, wanted := r.waiting[id]; wanted || r.history.outcomes[id].isPaused() || r.history.working[id] || r.history.claimant(id, "") != nil {
				continue
			}
		}
		if err := os.RemoveAll(filepath.Join(r.Dir, checkpointDir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Totals are the numbers of distinct trials of a run.
type Totals struct {
	Trials int   `json:"trials"`
	Done   int   `json:"done"`
	Failed int   `json:"failed"`
	Best   *Best `json:"best"` // nil if none is done
}

// done takes note of a result. The best network is the one of the best first training: a rerun is not another network.
func (t *Totals) done(b Best, rerun int) {
	t.Done++
	if rerun == 0 && (t.Best == nil || b.Error < t.Best.Error) {
		t.Best = &b
	}
}

// Best is the network with the lowest error.
type Best struct {
	ID    string  `json:"id"`
	Space string  `json:"space"`
	Index int     `json:"index"`
	Error float64 `json:"error"` // percent
}

// Totals when the run began.
func (r *Run) Totals() Totals { return r.totals }

// cost are the flops of a network of this study, of one that is trained for some epochs their share; 0 if they are not known.
func (r *Run) cost(space string, index int) float64 {
	all := r.history.samples[space]
	if index >= len(all) {
		return 0
	}
	flops := all[index].flops
	if epochs, short := r.epochs[all[index].id]; short {
		flops *= shareOf(epochs, r.Config)
	}
	return flops
}

// experience gives to see the flops and seconds of what was trained before the run began, and the flops of what remains.
func (r *Run) experience(done func(flops, seconds float64), left func(flops float64)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.wanted(r.Config, func(p training) {
		if o := r.history.outcomes[p.id]; o != nil && o.done != nil {
			done(p.flops, o.done.Seconds)
		} else if _, waits := r.waiting[p.id]; waits {
			left(p.flops)
		}
	})
}

// Pending is the number of trials that remain.
func (r *Run) Pending() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting) + len(r.ready)
}

// Execute trains what remains. report, if not nil, is told of every event, by
// one goroutine at a time. It returns when every trial has ended, those too that other runs see
// to, or with an error that wraps context.Canceled when ctx was cancelled and all workers have stopped.
func (r *Run) Execute(ctx context.Context, x Executor, report func(Event)) error {
	if report != nil {
		r.report = report
	}
	if r.Pending() == 0 {
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
		t, ok, left, err := r.next(ctx)
		if ok || !left || err != nil {
			return t, ok, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookAgain/2 + mathrand.N(lookAgain)): // not all at once
		}
	}
}

// next gives out a claimed task, claiming some if there is none; left tells whether there are tasks that others see to.
func (r *Run) next(ctx context.Context) (t Task, ok, left bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ready) == 0 {
		if err := r.claim(ctx); err != nil {
			return t, false, false, err
		}
	}
	if len(r.ready) == 0 {
		return t, false, len(r.waiting) > 0, nil
	}
	t, r.ready = r.ready[0], r.ready[1:]
	id, err := parseID(t.ID)
	r.held[id] = &attempt{given: time.Now()}
	return t, true, false, err
}

// batch is how many trials are claimed at once: one, or what takes a fraction of a second. A claim costs a
// write to the disk, and others wait for what is claimed.
func (r *Run) batch() int {
	const worth, most = 250 * time.Millisecond, 64
	if r.usual == 0 {
		return 1
	}
	return int(min(max(1, worth/r.usual), most))
}

// claim claims trials that nobody sees to.
//
// A claim is a record in the run's own journal. It holds if no other run's claim on the trial is to be
// seen after it was written: of two runs that claim at the same time at least one sees the
// other's record and gives way, and if both do, both come back to the trial later. The times of records decide
// nothing here: clocks differ, and who wrote first may have looked last. Should two runs train one trial after
// all, because the file system showed one of them an old file, that costs time and changes nothing.
func (r *Run) claim(ctx context.Context) error {
	h := r.history
	if err := h.refresh(ctx); err != nil {
		return err
	}
	r.endedElsewhere()
	for at := r.head; at < len(r.queue) && len(r.ready) == 0; {
		var chosen []training
		var claims []record
		for ; at < len(r.queue) && len(chosen) < r.batch(); at++ {
			q := r.queue[at]
			if place, waits := r.waiting[q.id]; !waits || place != at {
				if at == r.head {
					r.head++
				}
				continue
			}
			if h.working[q.id] || h.claimant(q.id, r.session.ID) != nil {
				continue
			}
			chosen = append(chosen, q)
			claims = append(claims, record{Claim: &claimRecord{Session: r.session.ID, Trial: q.id, Attempt: h.outcome(q.id).nextAttempt(), leaseEnd: r.until()}})
		}
		if len(chosen) == 0 {
			return nil
		}
		if err := r.log.append(true, claims...); err != nil {
			return err
		}
		if err := h.refresh(ctx); err != nil {
			return err
		}
		var back []record
		for i, q := range chosen {
			if r.reached(q.id) || h.claimant(q.id, r.session.ID) != nil {
				back = append(back, record{Release: &releaseRecord{Session: r.session.ID, Trial: &q.id}})
				continue
			}
			t, err := r.task(q)
			if err != nil {
				return err
			}
			t.Attempt = claims[i].Claim.Attempt
			delete(r.waiting, q.id)
			r.ready = append(r.ready, t)
		}
		if len(back) > 0 {
			if err := r.log.append(true, back...); err != nil {
				return err
			}
		}
	}
	return nil
}

// putBack queues a trial again, behind the others.
func (r *Run) putBack(q training) {
	r.waiting[q.id] = len(r.queue)
	r.queue = append(r.queue, q)
}

// Elsewhere is the worker of events of trials that other runs have seen to.
const Elsewhere = -1

// endedElsewhere tells of trials that other runs have ended, and takes them out of the queue.
func (r *Run) endedElsewhere() {
	for _, id := range r.history.takeEnded() {
		place, waits := r.waiting[id]
		if !waits || !r.reached(id) {
			continue
		}
		delete(r.waiting, id)
		q := r.queue[place]
		r.report(r.end(Event{Worker: Elsewhere, Task: Task{Task: trial.Task{ID: id.String()}, Space: q.space, Index: q.index, Rerun: q.rerun}}, id))
	}
}

// end completes the event of a trial's end.
func (r *Run) end(e Event, id trialID) Event {
	o := r.history.outcome(id)
	if o.done != nil {
		e.Kind, e.Error, e.Seconds, e.Death = TrialDone, o.done.Error, o.done.Seconds, trial.Death{}
		return e
	}
	if !o.hasEnded() {
		e.Kind, e.Death = TrialPaused, trial.Death{}
		return e
	}
	e.Kind = TrialFailed
	e.Error, _ = r.history.chance()
	e.Death = o.failed.Death
	return e
}

// Report tells how a trial goes: TrialStarted, TrialProgress, TrialEpoch. How it ended
// is told by Ended.
func (r *Run) Report(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Share > 0 {
		if id, err := parseID(e.Task.ID); err == nil && r.held[id] != nil && !r.held[id].moved {
			r.held[id].moved = true
			r.deaths.moved()
		}
	}
	r.report(e)
}

// Ended says that the worker of an attempt is done with it: death is what it died of, nil if it ended
// in good order. What came of the attempt is looked up in the journals: the
// worker may have died after it wrote its result there. If this run is to try the trial again at once,
// Ended gives the task for that. A *MachineError says that the study cannot go on here.
func (r *Run) Ended(worker int, t Task, death *trial.Death) (next Task, again bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, err := parseID(t.ID)
	if err != nil {
		return t, false, err
	}
	h := r.history
	if err := h.refresh(context.Background()); err != nil {
		return t, false, err
	}
	e := Event{Worker: worker, Task: t}
	other := h.claimant(id, r.session.ID)
	mine := r.held[id]
	switch {
	case r.reached(id):
		if mine != nil {
			took := max(time.Since(mine.given), 1)
			r.usual = (3*r.usual + took) / 4
			if !mine.moved {
				r.deaths.moved()
			}
		}
		if death != nil && h.outcome(id).hasEnded() { // before it could tidy up, perhaps
			removeCheckpoints(r.Dir, t.ID)
		}
		r.report(r.end(e, id))
	case other != nil:
		// The lease ran out, because this machine slept, say, and another run has claimed the trial.
		e.Kind, e.Death = TrialLost, trial.Death{Reason: "another run has taken it over, on " + other.host}
		r.putBack(training{id: id, space: t.Space, index: t.Index, rerun: t.Rerun})
		r.report(e)
		err = r.log.append(true, record{Release: &releaseRecord{Session: r.session.ID, Trial: &id}})
	case death == nil:
		return t, true, nil
	default:
		e.Death = *death
		return r.lost(e, id)
	}
	delete(r.held, id)
	return t, false, err
}

// lost takes note of an attempt whose worker died.
func (r *Run) lost(e Event, id trialID) (next Task, again bool, err error) {
	t := e.Task
	h := r.history
	o := h.outcome(id)
	lost := lostRecord{Trial: id, Attempt: t.Attempt, Death: e.Death, Early: r.held[id] != nil && !r.held[id].moved}
	r.deaths.add(lost)
	attempts := o.losses() + r.deaths.soft[id]
	if lost.counts() {
		attempts++
	}
	exhausted := attempts > r.Config.Limits.Retries || e.Cause == trial.TimedOut
	unproven := lost.Early && !r.deaths.movedSince(id) // nothing has trained here since it died first
	others := len(r.waiting)+len(r.ready) > 0
	e.Kind = TrialLost
	back := []record{{Lost: &lost}, {Release: &releaseRecord{Session: r.session.ID, Trial: &id}}}
	switch {
	case r.deaths.machine(), exhausted && unproven && !others && len(r.held) == 1 && r.totals.Done == 0:
		// Whatever is wrong, no trial is to blame.
		err := errors.Join(&MachineError{Deaths: r.deaths.row, Death: e.Death}, r.log.append(true, back...))
		r.report(e)
		delete(r.held, id)
		return t, false, err
	case exhausted && unproven && others: // they come first, to see whose fault it is
		r.putBack(training{id: id, space: t.Space, index: t.Index, rerun: t.Rerun})
		err := r.log.append(true, back...)
		r.report(e)
		delete(r.held, id)
		return t, false, err
	case !exhausted:
		t.Attempt++
		claim := claimRecord{Session: r.session.ID, Trial: id, Attempt: t.Attempt, leaseEnd: r.until()}
		err := r.log.append(true, record{Lost: &lost}, record{Claim: &claim})
		if err == nil {
			r.report(e)
			r.held[id] = &attempt{given: time.Now()}
		}
		return t, true, err
	}
	e.Kind = TrialFailed
	e.Error, _ = h.chance()
	if attempts > 1 {
		e.Reason = fmt.Sprintf("%s (attempt %d of %d)", e.Reason, attempts, r.Config.Limits.Retries+1)
	}
	if err := r.log.append(true, record{Failed: &failedRecord{Trial: id, Attempt: t.Attempt, Death: e.Death}}); err != nil {
		return t, false, err
	}
	removeCheckpoints(r.Dir, t.ID)
	r.report(e)
	delete(r.held, id)
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
	r.lines.close()
	return errors.Join(err, r.log.Close())
}

func unionKeys(a, b map[string]string) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
