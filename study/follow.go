package study

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"netspace/trial"
)

// follow is what a run knows of the trials that other runs see to, while it trains none itself.
type follow struct {
	attempts map[*follower]int // that the writer of a journal began last
	heard    []heard           // not told yet
	places   map[trialID]place // trials that workers are at
}

// heard is a record of another run.
type heard struct {
	at      int64 // when it was written, by the clock of its writer
	trial   trialID
	attempt int
	record  record
	old     bool // it was there when Follow was called the last time
}

// place is where a trial is trained.
type place struct{ worker, attempt int }

// Follow reads what other runs of the study have written, and reports it as events: for a run that has others train, on a
// cluster, and claims no trial itself. Workers are numbered as they are seen, the lowest free number first. moved tells
// whether a trial completed an epoch, or ended; Pending then says how much remains.
//
// Events come in the order of their times, one call late where a journal that was read before
// another one may not have had all of them yet.
func (r *Run) Follow(ctx context.Context) (moved bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listen()
	f := &r.follow
	for i := range f.heard {
		f.heard[i].old = true
	}
	began := stamp([]byte(time.Now().UTC().Format(timeFormat)))
	if err := r.history.refresh(ctx); err != nil {
		return false, err
	}
	r.history.takeEnded()
	slices.SortStableFunc(f.heard, func(a, b heard) int { return cmp.Compare(a.at, b.at) })
	tell := f.heard
	f.heard = nil
	for _, h := range tell {
		if !h.old && h.at >= began {
			f.heard = append(f.heard, h)
			continue
		}
		moved = r.tell(h) || moved
	}
	return moved, nil
}

// listen begins to follow: with the trials that others are at.
func (r *Run) listen() {
	f, h := &r.follow, r.history
	if f.places != nil {
		return
	}
	f.places, f.attempts = map[trialID]place{}, map[*follower]int{}
	h.hear = f.hear
	for _, in := range h.order {
		if !in.busy || h.state(in.last) != Running {
			continue
		}
		attempt := max(1, h.outcome(in.last).nextAttempt()-1)
		f.attempts[in] = attempt
		r.tell(heard{trial: in.last, attempt: attempt, record: record{Start: &startRecord{Trial: in.last, Attempt: attempt}}})
	}
}

// hear takes note of a line that was added to a journal.
func (f *follow) hear(in *follower, kind string, at int64, line []byte) {
	switch kind {
	case "start", "epoch", "done", "failed", "lost":
	default:
		return
	}
	r, err := decodeRecord(line)
	if err != nil {
		return // it is damage, and counted as such
	}
	h := heard{at: at, attempt: f.attempts[in], record: r}
	switch {
	case r.Start != nil:
		h.trial, h.attempt = r.Start.Trial, r.Start.Attempt
		f.attempts[in] = h.attempt
	case r.Epoch != nil:
		h.trial = r.Epoch.Trial
	case r.Done != nil:
		h.trial = r.Done.Trial
	case r.Failed != nil:
		h.trial, h.attempt = r.Failed.Trial, r.Failed.Attempt
	case r.Lost != nil:
		h.trial, h.attempt = r.Lost.Trial, r.Lost.Attempt
	}
	f.heard = append(f.heard, h)
}

// tell reports what was heard of a trial that has not ended as far as was told; moved tells whether the trial got on.
func (r *Run) tell(h heard) (moved bool) {
	f := &r.follow
	at, waits := r.waiting[h.trial]
	if !waits {
		return false
	}
	q := r.queue[at]
	p, known := f.places[h.trial]
	if known && h.attempt < p.attempt && (h.record.Start != nil || h.record.Epoch != nil || h.record.Lost != nil) {
		return false // another worker has taken it over
	}
	e := Event{Worker: p.worker, Task: Task{Task: trial.Task{ID: h.trial.String()}, Dir: r.Dir, Space: q.space, Index: q.index, Rerun: q.rerun, Attempt: h.attempt}}
	if !known {
		e.Worker = f.free()
	}
	switch {
	case h.record.Start != nil:
		if known && h.attempt > p.attempt {
			lost := e
			lost.Kind, lost.Task.Attempt, lost.Death = TrialLost, p.attempt, trial.Death{Reason: "its worker gave no sign of life; another one has taken it over"}
			r.report(lost)
		}
		f.places[h.trial] = place{e.Worker, h.attempt}
		e.Kind = TrialStarted
	case h.record.Epoch != nil:
		if !known {
			return false
		}
		moved = true
		e.Kind, e.Epoch = TrialEpoch, &h.record.Epoch.Epoch
		e.Share = min(1, float64(e.Epoch.Epoch)/float64(max(1, r.Config.Recipe.Epochs)))
	case h.record.Lost != nil:
		e.Kind, e.Death = TrialLost, h.record.Lost.Death
		delete(f.places, h.trial)
	case r.history.outcome(h.trial).hasEnded():
		moved = true
		e = r.end(e, h.trial)
		delete(f.places, h.trial)
		delete(r.waiting, h.trial)
	default:
		return false // a failure that is forgiven
	}
	r.report(e)
	return moved
}

// free is the lowest number that no worker has.
func (f *follow) free() int {
	taken := map[int]bool{}
	for _, p := range f.places {
		taken[p.worker] = true
	}
	n := 0
	for taken[n] {
		n++
	}
	return n
}

var goodJobName = regexp.MustCompile(`^netspace-[A-Za-z0-9._-]{1,100}$`)

// jobsRecord is the name of the jobs of a study in the queue of a scheduler.
type jobsRecord struct {
	Name string `json:"name"`
}

// cancelRecord asks who has jobs train a study to submit no more.
type cancelRecord struct{}

// JobName is the name that the study's jobs have in the queue of a scheduler, by which they are found again. It is made up
// when it is asked for first, and remembered in the folder.
func (r *Run) JobName(ctx context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listen()
	for first := true; ; first = false { // what is written is read back: of two runs that make up one at one time the first counts
		if err := r.history.refresh(ctx); err != nil {
			return "", err
		}
		switch {
		case r.history.jobs != "":
			return r.history.jobs, nil
		case !first:
			return "", errors.New("the name of the study's jobs was written into a journal and is not there")
		}
		name := fmt.Sprintf("netspace-%.40s-%s", r.Config.Name, strings.ToLower(rand.Text()[:12]))
		if err := r.log.append(true, record{Jobs: &jobsRecord{name}}); err != nil {
			return "", err
		}
	}
}

// Cancelled tells whether somebody has cancelled the study's jobs (see CancelJobs) since the run began.
func (r *Run) Cancelled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.history.cancels > r.cancels
}

// JobName is the name that the study's jobs have in the queue of a scheduler; "" if it has never had any.
func (s *Study) JobName() string { return s.history.jobs }

// CancelJobs tells those who have jobs train the study to submit no more. To end the
// jobs is the caller's.
func (s *Study) CancelJobs() error {
	log, err := openFreeJournal(s.Dir, hostName())
	if err != nil {
		return err
	}
	err = log.append(true, record{Cancel: &cancelRecord{}})
	if c := log.Close(); err == nil {
		err = c
	}
	return err
}
