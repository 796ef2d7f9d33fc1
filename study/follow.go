package study

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"netspace/internal/atomicfile"
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
	slices.SortStableFunc(f.heard, inOrder)
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
	case "start", "epoch", "paused", "done", "failed", "lost":
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
	case r.Paused != nil:
		h.trial = r.Paused.Trial
	case r.Done != nil:
		h.trial = r.Done.Trial
	case r.Failed != nil:
		h.trial, h.attempt = r.Failed.Trial, r.Failed.Attempt
	case r.Lost != nil:
		h.trial, h.attempt = r.Lost.Trial, r.Lost.Attempt
	}
	f.heard = append(f.heard, h)
}

// inOrder compares what was heard by its time. Attempts may begin and end within the millisecond that journals tell, in the journals of a
// worker and of its run, which were read one after the other: what is of one time comes attempt by attempt, its begin first and its end last.
func inOrder(a, b heard) int {
	stage := func(h heard) int {
		switch {
		case h.record.Start != nil:
			return 0
		case h.record.Epoch != nil:
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.attempt, b.attempt), cmp.Compare(stage(a), stage(b)))
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
		if known && h.attempt == p.attempt {
			return false // it was given back, and goes on elsewhere
		}
		if known {
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
	case r.reached(h.trial):
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

// turn is what a file of Leads holds.
type turn struct {
	Session string `json:"session"`
	Host    string `json:"host"`
}

// turnFile is the file of a turn, by its number from 1.
func turnFile(dir string, n int) string {
	return filepath.Join(dir, turnPrefix+strconv.Itoa(n)+turnSuffix)
}

const turnPrefix, turnSuffix = "submitter-", ".json"

// Leads tells whether this run is the one that submits the study's jobs, of all that are at work on it, on whatever host. It takes that
// place if nobody has it, or who had it has ended, or given no sign of life for its lease; if not, host is where the leader is, "" if that
// is not known yet. A run that was stopped may have lost its place: it asks before each submission.
//
// Turns are files in dir, numbered one after the other, each created by who takes it and never changed or removed. Of two that take the
// same turn the file system lets one, and whoever has the last turn leads. So the journals, which may be seen late,
// decide only whether a leader lives.
func (r *Run) Leads(ctx context.Context, dir string) (leads bool, host string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listen()
	if err := r.history.refresh(ctx); err != nil {
		return false, "", err
	}
	if own := r.history.sessions[r.session.ID]; own == nil || r.history.now.After(own.until) { // who sees the file is to see that this run lives
		if err := r.log.append(true, record{Lease: &leaseRecord{Session: r.session.ID, leaseEnd: r.until()}}); err != nil {
			return false, "", err
		}
	}
	last, at, err := lastTurn(dir)
	if err == nil {
		err = r.history.refresh(ctx) // what journals tell of who has the turn was written before it
	}
	switch {
	case err != nil:
		return false, "", err
	case at > 0 && last.Session == r.session.ID:
		return true, r.Host, nil
	case at > 0 && r.holds(last, turnFile(dir, at)):
		return false, last.Host, nil
	}
	mine, err := json.Marshal(turn{r.session.ID, r.Host})
	if err != nil {
		return false, "", err
	}
	switch err := atomicfile.Create(turnFile(dir, at+1), mine, 0o644); {
	case errors.Is(err, fs.ErrExist): // somebody takes it at this moment
		return false, "", nil
	case err != nil:
		return false, "", err
	}
	return true, r.Host, nil
}

// lastTurn reads the last turn in a folder; number is 0 if there is none. A turn whose file does not say whose it is has no session.
func lastTurn(dir string) (last turn, number int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return last, 0, err
	}
	for _, e := range entries {
		text, is := strings.CutPrefix(e.Name(), turnPrefix)
		text, ends := strings.CutSuffix(text, turnSuffix)
		if n, err := strconv.Atoi(text); is && ends && err == nil {
			number = max(number, n)
		}
	}
	if number == 0 {
		return last, 0, nil
	}
	text, err := os.ReadFile(turnFile(dir, number))
	if err == nil {
		_ = json.Unmarshal(text, &last) // else it is being written, or was damaged
	}
	return last, number, err
}

// holds tells whether whoever has a turn, of which there is a file, is alive. One that no journal tells of may not be seen yet.
func (r *Run) holds(t turn, file string) bool {
	if s := r.history.sessions[t.Session]; s != nil {
		return r.history.alive(s)
	}
	info, err := os.Stat(file)
	return err == nil && time.Since(info.ModTime()) < r.lease
}

// Cancelled tells whether somebody has cancelled the study's jobs (see CancelJobs) since the run began.
func (r *Run) Cancelled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.history.cancels > r.cancels
}

// CancelJobs tells all who have jobs train the study to submit no more.
func (r *Run) CancelJobs() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.append(true, record{Cancel: &cancelRecord{}})
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
