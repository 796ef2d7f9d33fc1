package study

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"netspace/arch"
	"netspace/graph"
	"netspace/internal/infile"
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
	claims  []claim      // not released; the latest of each session
	epochs  []Epoch      // of a trial that is not done, for viewers
	at      string       // time of done, to settle which of two counts
	maker   *Maker       // who wrote done; nil if the journal does not say
}

// claim is a claim on a trial.
type claim struct {
	session *session
	attempt int
}

// session is one run, as far as others need to know it.
type session struct {
	sessionRecord
	host     string
	file     string    // its journal
	until    time.Time // end of its lease
	over     bool      // no claim of it holds: it gave them back, or its journal has another writer
	released bool      // it gave them back: their attempts may be gone on with
}

// follower is one journal, read up to a position.
type follower struct {
	file    string
	host    string
	at      position
	session *session // the last one in the file
	maker   *Maker   // the last one in the file
	last    string   // the trial that its writer began and has not ended
	held    lockState
}

// history is the content of all journals of a folder, as far as it was read.
type history struct {
	dir      string
	host     string // this machine
	study    *studyRecord
	samples  map[string][]trialRecord // by space, in sample order
	spaces   map[string]spaceRecord   // by name
	outcomes map[string]*outcome      // by trial
	makers   []*Maker                 // different ones, in the order found

	found    map[string]map[int]trialRecord
	files    map[string]*follower
	sessions map[string]*session
	working  map[string]bool // trials that living processes of this host are at
	ended    []string        // trials with a new end since takeEnded was called
	now      time.Time       // of the last refresh
}

// readHistory replays the journals of a folder. The order of files, and of
// records in different files, does not matter.
func readHistory(dir, host string) (*history, error) {
	h := &history{dir: dir, host: host, samples: map[string][]trialRecord{}, spaces: map[string]spaceRecord{},
		outcomes: map[string]*outcome{}, found: map[string]map[int]trialRecord{}, files: map[string]*follower{}, sessions: map[string]*session{}}
	return h, h.refresh()
}

// refresh reads what was added to the journals.
func (h *history) refresh() error {
	files, err := journalFiles(h.dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		f := h.files[file]
		if f == nil {
			f = &follower{file: file}
			h.files[file] = f
		}
		if err := h.follow(f); err != nil {
			return err
		}
	}
	h.now = time.Now()
	h.working = map[string]bool{}
	for _, f := range h.files {
		if f.last != "" && f.host == h.host && f.held == lockHeld {
			h.working[f.last] = true
		}
	}
	for name, byIndex := range h.found {
		// A crash may have torn the record of a sample; what follows a gap is sampled again.
		for i := len(h.samples[name]); ; i++ {
			t, ok := byIndex[i]
			if !ok {
				break
			}
			h.samples[name] = append(h.samples[name], t)
		}
	}
	return nil
}

// follow reads what was added to a journal.
func (h *history) follow(f *follower) error {
	in, err := infile.Open(f.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	grown := info.Size() > f.at.bytes
	if grown || f.last != "" || f.session != nil && !f.session.over {
		f.held = lockOf(in) // before reading: a trial that ends meanwhile then counts as done, not as lost
	}
	if !grown {
		return nil
	}
	if _, err := in.Seek(f.at.bytes, io.SeekStart); err != nil {
		return err
	}
	f.at, err = readRecords(in, f.file, f.at, func(r record) error { return h.add(f, r) })
	return err
}

// add takes note of a record.
func (h *history) add(f *follower, r record) error {
	switch {
	case r.Journal != nil:
		f.host = r.Journal.Host
	case r.Study != nil:
		return h.addStudy(f.file, r.Study)
	case r.Space != nil:
		h.spaces[r.Space.Name] = *r.Space
	case r.Trial != nil:
		t := *r.Trial
		if h.found[t.Space] == nil {
			h.found[t.Space] = map[int]trialRecord{}
		}
		if old, ok := h.found[t.Space][t.Index]; ok && old.ID != t.ID {
			return fmt.Errorf("%s: network %d of space %s is trial %s, another record of this folder says %s", f.file, t.Index, t.Space, t.ID, old.ID)
		}
		h.found[t.Space][t.Index] = t
	case r.Session != nil:
		if f.session != nil { // a journal has one writer at a time
			f.session.over = true
		}
		f.last = ""
		f.session = &session{sessionRecord: *r.Session, host: f.host, file: f.file}
		h.sessions[r.Session.ID] = f.session
	case r.Claim != nil:
		h.addClaim(*r.Claim)
	case r.Lease != nil:
		if s := h.sessions[r.Lease.Session]; s != nil {
			s.until = r.Lease.Until
		}
	case r.Release != nil:
		h.release(*r.Release)
	case r.Maker != nil:
		f.maker = h.maker(*r.Maker, f.host)
	case r.Start != nil:
		if f.session != nil { // workers and runs have journals of their own
			f.session.over = true
		}
		f.last = r.Start.Trial
	case r.Epoch != nil:
		h.outcome(r.Epoch.Trial).addEpoch(r.Epoch.Epoch)
	case r.Done != nil:
		o := h.outcome(r.Done.Trial)
		if o.done == nil || r.Time < o.at {
			o.done, o.at, o.maker, o.epochs = r.Done, r.Time, f.maker, nil
		}
		f.last = ""
		h.ended = append(h.ended, r.Done.Trial)
	case r.Failed != nil:
		h.outcome(r.Failed.Trial).failed = r.Failed
		f.last = ""
		h.ended = append(h.ended, r.Failed.Trial)
	case r.Lost != nil:
		o := h.outcome(r.Lost.Trial)
		o.lost = append(o.lost, *r.Lost)
	case r.Forgive != nil:
		o := h.outcome(r.Forgive.Trial)
		o.forgive = max(o.forgive, r.Forgive.Attempt)
	}
	return nil
}

// addStudy takes note of the settings. Another program may state a field that is
// at its default, or not: that is no difference.
func (h *history) addStudy(file string, s *studyRecord) error {
	if h.study != nil && !reflect.DeepEqual(h.study, s) {
		changes, err := s.changes(*h.study)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if len(changes) > 0 {
			return fmt.Errorf("%s: its settings are not those of the other journals in this folder: %s", file, strings.Join(changes, "; "))
		}
	}
	h.study = s
	return nil
}

func (h *history) addClaim(r claimRecord) {
	s := h.sessions[r.Session]
	if s == nil {
		return // of a session whose record was deleted
	}
	s.until = r.Until
	o := h.outcome(r.Trial)
	for i := range o.claims {
		if o.claims[i].session == s {
			o.claims[i].attempt = r.Attempt
			return
		}
	}
	o.claims = append(o.claims, claim{session: s, attempt: r.Attempt})
}

func (h *history) release(r releaseRecord) {
	s := h.sessions[r.Session]
	switch {
	case s == nil:
	case r.Trial == "":
		s.over, s.released = true, true
	default:
		o := h.outcome(r.Trial)
		o.claims = slices.DeleteFunc(o.claims, func(c claim) bool { return c.session == s })
	}
}

// maker gives the one entry of makers for what a journal of a host says.
func (h *history) maker(m Maker, host string) *Maker {
	m.Host = host
	for _, known := range h.makers {
		if *known == m {
			return known
		}
	}
	h.makers = append(h.makers, &m)
	return &m
}

func (h *history) outcome(trial string) *outcome {
	o := h.outcomes[trial]
	if o == nil {
		o = &outcome{}
		h.outcomes[trial] = o
	}
	return o
}

// takeEnded gives the trials that have ended since it was called before.
func (h *history) takeEnded() []string {
	ended := h.ended
	h.ended = nil
	return ended
}

// alive tells whether the claims of a session hold: its lease has not run out, and where
// that can be known, on this host, its process lives.
func (h *history) alive(s *session) bool {
	if s.over || h.now.After(s.until) {
		return false
	}
	return s.host != h.host || h.files[s.file].held != lockFree
}

// claimant is a session other than the given one whose claim on a trial holds, nil if there is none.
func (h *history) claimant(trial, except string) *session {
	if o := h.outcomes[trial]; o != nil {
		for _, c := range o.claims {
			if c.session.ID != except && h.alive(c.session) {
				return c.session
			}
		}
	}
	return nil
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

// nextAttempt is the number of the attempt to come, from 1: none that another run has
// used, unless it gave that back.
func (o *outcome) nextAttempt() int {
	n := max(o.forgive, 0)
	for _, l := range o.lost {
		n = max(n, l.Attempt)
	}
	if o.failed != nil {
		n = max(n, o.failed.Attempt)
	}
	for _, c := range o.claims {
		if !c.session.released {
			n = max(n, c.attempt)
		}
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

// hasEnded tells whether a trial has a result, or failed for good.
func (o *outcome) hasEnded() bool {
	_, failed := o.failure()
	return o.done != nil || failed
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
	if h.working[r.ID] || h.claimant(r.ID, "") != nil {
		t.State = Running
	}
	t.Epochs = o.epochs
	return t
}
