package study

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"netspace/internal/infile"
)

// ref is where a record stands.
type ref struct {
	file   int32 // in history.order
	length int32 // of its line, without its end; 0: there is none
	offset int64
}

// sample is a network of a population.
type sample struct {
	id    trialID
	at    int64   // when it was written: the first of two that differ counts
	flops float64 // multiply-adds of a forward pass
	ref   ref
}

// result is what a training gave. Its epochs are read when they are asked for.
type result struct {
	Error, Error5            float64 // percent
	Seconds, ImagesPerSecond float64

	at    int64 // when it was written: the first counts
	ref   ref
	maker *Maker // who wrote it; nil if the journal does not say
}

// outcome is what the journals say of one trial.
type outcome struct {
	done    *result
	failed  *failedRecord
	lost    []lostRecord // in the order read
	forgive int          // attempts up to this count for nothing
	claims  []claim      // not released; the latest of each session
	epochs  []ref        // of a trial that is not done
	paused  *paused      // the longest of those that were asked for
}

// paused is a training that has done some epochs and can be gone on with.
type paused struct {
	epochs int
	ref    ref
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
	number  int32 // in history.order
	host    string
	at      position
	session *session // the last one in the file
	maker   *Maker   // the last one in the file
	last    trialID  // the trial that its writer began and has not ended, if busy
	busy    bool
	attempt int   // at it
	since   int64 // when it began
	held    lockState
	foreign string // why it is no journal
}

// history is the content of all journals of a folder, as far as it was read.
type history struct {
	dir      string
	host     string // this machine
	study    *studyRecord
	samples  map[string][]sample    // by space; places that no record tells of have no ref
	spaces   map[string]spaceRecord // by name
	outcomes map[trialID]*outcome
	goals    map[string][]Goal // by space
	makers   []*Maker          // different ones, in the order found
	damage   []Damage

	files    map[string]*follower
	order    []*follower // as they were found
	sessions map[string]*session
	working  map[trialID]bool // trials that living processes of this host are at
	ended    []trialID        // trials with a new end since takeEnded was called
	now      time.Time        // of the last refresh

	studyAt  int64 // when study was written: the first of two that differ counts
	studyIn  string
	spacesAt map[string]int64
	look     glance

	jobs    string // their name in a scheduler's queue; of two the one written first counts
	jobsAt  int64
	cancels int                                                   // how often they were cancelled
	hear    func(f *follower, kind string, at int64, line []byte) // is told of every record that is added; nil: nobody
}

// readHistory replays the journals of a folder. The order of files, and of
// records in different files, does not matter.
func readHistory(ctx context.Context, dir, host string) (*history, error) {
	h := &history{dir: dir, host: host, samples: map[string][]sample{}, spaces: map[string]spaceRecord{}, spacesAt: map[string]int64{},
		outcomes: map[trialID]*outcome{}, goals: map[string][]Goal{}, files: map[string]*follower{}, sessions: map[string]*session{}}
	return h, h.refresh(ctx)
}

// refresh reads what was added to the journals.
func (h *history) refresh(ctx context.Context) error {
	files, err := journalFiles(h.dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		f := h.files[file]
		if f == nil {
			f = &follower{file: file, host: hostOf(file), number: int32(len(h.order))}
			h.files[file], h.order = f, append(h.order, f)
		}
		if err := h.follow(ctx, f); err != nil {
			return err
		}
	}
	h.now = time.Now()
	h.working = map[trialID]bool{}
	for _, f := range h.order {
		if f.busy && f.host == h.host && f.held == lockHeld {
			h.working[f.last] = true
		}
	}
	return nil
}

var numbered = regexp.MustCompile(`-[0-9]+(-[0-9]+)?$`)

// hostOf is the host whose journals have such names.
func hostOf(file string) string {
	return numbered.ReplaceAllString(strings.TrimSuffix(filepath.Base(file), journalSuffix), "")
}

// follow reads what was added to a journal. A file that cannot be read costs what only it knows.
func (h *history) follow(ctx context.Context, f *follower) error {
	in, err := infile.Open(f.file)
	var refused *infile.RefusedError
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case errors.As(err, &refused):
		h.isForeign(f, refused.Reason)
		return nil
	case errors.Is(err, os.ErrPermission):
		h.isForeign(f, "may not be read")
		return nil
	case err != nil:
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	grown := info.Size() > f.at.bytes
	if grown || f.busy || f.session != nil && !f.session.over {
		f.held = lockOf(in) // before reading: a trial that ends meanwhile then counts as done, not as lost
	}
	if !grown || f.foreign != "" {
		return nil
	}
	if _, err := in.Seek(f.at.bytes, io.SeekStart); err != nil {
		return err
	}
	begin, good, damaged := f.at.bytes == 0, 0, len(h.damage)
	bad := func(at position, reason string) {
		h.damage = append(h.damage, Damage{File: f.file, Line: at.lines + 1, Offset: at.bytes, Reason: reason})
	}
	f.at, err = scanJournal(ctx, in, f.file, f.at, func(at position, line []byte) error {
		r := ref{file: f.number, length: int32(len(line)), offset: at.bytes}
		if begin && at.lines == 0 && !isHeader(line) {
			bad(at, "the header is missing")
		}
		err := h.add(f, r, line)
		var later *VersionError
		switch {
		case errors.As(err, &later):
			return err
		case err != nil:
			bad(at, err.Error())
		default:
			good++
		}
		return nil
	}, bad)
	if err != nil || !begin || good > 0 {
		return err
	}
	start := make([]byte, 16)
	n, _ := in.ReadAt(start, 0)
	what, disguised := guise(start[:n])
	// Its header is damaged, and there is nothing else in it; the damage may have made two lines of it, or none.
	young := info.Size() < maxHeader && (f.at.lines == 1 || f.at.lines < 3 && resembles(start[:n]))
	if disguised || !young && !beginsAsJournal(in, f.at.bytes, info.Size()) {
		h.damage = h.damage[:damaged]
		h.isForeign(f, what)
	}
	return nil
}

func isHeader(line []byte) bool {
	kind, _, _ := split(line)
	return kind == "journal"
}

func (h *history) isForeign(f *follower, reason string) {
	if f.foreign == "" {
		f.foreign = reason
		h.damage = append(h.damage, Damage{File: f.file, Reason: reason})
	}
}

// foreign is an error if one of the files is no journal.
func (h *history) foreign() error {
	for _, d := range h.damage {
		if d.Line == 0 {
			return &ForeignError{d}
		}
	}
	return nil
}

// add takes note of the record in a line. An error says why the line means nothing.
func (h *history) add(f *follower, r ref, line []byte) error {
	kind, at, object := split(line)
	if h.hear != nil {
		h.hear(f, kind, at, line)
	}
	g := &h.look
	switch kind { // those of which there are many
	case "trial":
		g.of(object)
		space, index, id := g.text("space"), g.whole("index"), g.id("id")
		if g.err == nil {
			return h.addSample(space, index, sample{id: id, at: at, ref: r, flops: flopsOf(object)})
		}
	case "claim":
		g.of(object)
		session, trial, attempt, until := g.text("session"), g.id("trial"), g.whole("attempt"), g.text("until")
		end, err := time.Parse(time.RFC3339, until)
		if g.err == nil && err == nil && checkAttempt(attempt) == nil {
			h.addClaim(session, trial, attempt, end)
			return nil
		}
	case "start":
		g.of(object)
		if trial, attempt := g.id("trial"), g.whole("attempt"); g.err == nil && checkAttempt(attempt) == nil {
			f.begins(trial, attempt, at)
			return nil
		}
	case "epoch":
		g.of(object)
		if trial := g.id("trial"); g.err == nil {
			if o := h.outcome(trial); o.done == nil {
				o.epochs = append(o.epochs, r)
			}
			return nil
		}
	case "done":
		g.of(object)
		trial := g.id("trial")
		d := &result{Error: g.number("error"), Error5: g.number("error5"), Seconds: g.number("seconds"), ImagesPerSecond: g.number("images_per_second"), at: at, ref: r, maker: f.maker}
		if g.err == nil {
			if err := checkResult(d.Error, d.Error5, d.Seconds, d.ImagesPerSecond); err != nil {
				return fmt.Errorf("the checksum is right but it tells of %w", err)
			}
			if o := h.outcome(trial); o.done == nil || at < o.done.at {
				o.done, o.epochs = d, nil
			}
			h.endOf(f, trial)
			return nil
		}
	}
	whole, err := decodeRecord(line)
	if err != nil {
		return err
	}
	return h.addRecord(f, r, at, whole)
}

// addRecord takes note of a record that was read whole.
func (h *history) addRecord(f *follower, at ref, when int64, r record) error {
	switch {
	case r.Journal != nil:
		if r.Journal.Version > journalVersion {
			return &VersionError{f.file, r.Journal.Version}
		}
		f.host = r.Journal.Host
	case r.Study != nil:
		return h.addStudy(f.file, when, r.Study)
	case r.Space != nil:
		if old, known := h.spacesAt[r.Space.Name]; !known || when >= old { // it was edited, and gives the same networks
			h.spaces[r.Space.Name], h.spacesAt[r.Space.Name] = *r.Space, when
		}
	case r.Trial != nil:
		return h.addSample(r.Trial.Space, r.Trial.Index, sample{id: r.Trial.ID, at: when, ref: at, flops: float64(r.Trial.Complexity.Flops)})
	case r.Session != nil:
		if f.session != nil { // a journal has one writer at a time
			f.session.over = true
		}
		f.busy = false
		f.session = &session{sessionRecord: *r.Session, host: f.host, file: f.file}
		h.sessions[r.Session.ID] = f.session
	case r.Claim != nil:
		h.addClaim(r.Claim.Session, r.Claim.Trial, r.Claim.Attempt, r.Claim.Until)
	case r.Lease != nil:
		if s := h.sessions[r.Lease.Session]; s != nil {
			s.until = r.Lease.Until
		}
	case r.Release != nil:
		h.release(*r.Release)
	case r.Maker != nil:
		f.maker = h.maker(*r.Maker, f.host)
	case r.Start != nil:
		f.begins(r.Start.Trial, r.Start.Attempt, when)
	case r.Epoch != nil:
		if o := h.outcome(r.Epoch.Trial); o.done == nil {
			o.epochs = append(o.epochs, at)
		}
	case r.Done != nil:
		d := r.Done
		if o := h.outcome(d.Trial); o.done == nil || when < o.done.at {
			o.done, o.epochs = &result{d.Error, d.Error5, d.Seconds, d.ImagesPerSecond, when, at, f.maker}, nil
		}
		h.endOf(f, d.Trial)
	case r.Failed != nil:
		if o := h.outcome(r.Failed.Trial); o.failed == nil || r.Failed.Attempt >= o.failed.Attempt {
			o.failed = r.Failed
		}
		h.endOf(f, r.Failed.Trial)
	case r.Goal != nil:
		h.addGoal(r.Goal.Space, r.Goal.Goal)
	case r.Paused != nil:
		p := &paused{ref: at, epochs: lastOf(r.Paused.Epochs)}
		if o := h.outcome(r.Paused.Trial); o.paused == nil || p.epochs >= o.paused.epochs {
			o.paused = p
		}
		h.endOf(f, r.Paused.Trial)
	case r.Lost != nil:
		o := h.outcome(r.Lost.Trial)
		o.lost = append(o.lost, *r.Lost)
	case r.Jobs != nil:
		if h.jobs == "" || when < h.jobsAt {
			h.jobs, h.jobsAt = r.Jobs.Name, when
		}
	case r.Cancel != nil:
		h.cancels++
	case r.Forgive != nil:
		o := h.outcome(r.Forgive.Trial)
		o.forgive = max(o.forgive, r.Forgive.Attempt)
	}
	return nil
}

// begins says that the writer of a journal is a worker, and is at a trial.
func (f *follower) begins(trial trialID, attempt int, at int64) {
	if f.session != nil { // workers and runs have journals of their own
		f.session.over = true
	}
	f.last, f.busy, f.attempt, f.since = trial, true, attempt, at
}

func (h *history) endOf(f *follower, trial trialID) {
	f.busy = false
	h.ended = append(h.ended, trial)
}

// addSample puts a trial in its place. Two that differ come of two programs that sampled at one time, or from
// a space that was edited: the first one counts.
func (h *history) addSample(space string, index int, s sample) error {
	if err := checkPlace(space, index); err != nil {
		return fmt.Errorf("the checksum is right but it tells of %w", err)
	}
	all := h.samples[space]
	if index >= len(all) {
		all = append(all, make([]sample, index+1-len(all))...)
		h.samples[space] = all
	}
	old := all[index]
	if old.ref.length > 0 && old.at <= s.at {
		s, old = old, s
	}
	all[index] = s
	if old.ref.length > 0 && old.id != s.id {
		return fmt.Errorf("network %d of space %s is trial %s, and trial %s in a record that was written later", index, space, s.id, old.id)
	}
	return nil
}

// addStudy takes note of the settings. Another program may state a field that is
// at its default, or not: that is no difference.
func (h *history) addStudy(file string, at int64, s *studyRecord) error {
	if h.study != nil && !reflect.DeepEqual(h.study, s) {
		changes, err := s.changes(*h.study)
		if err != nil {
			return err
		}
		if len(changes) > 0 {
			if at < h.studyAt {
				h.study, h.studyAt, h.studyIn, file = s, at, file, h.studyIn
			}
			return fmt.Errorf("the settings in %s are others than those of %s, which were written first: %s", filepath.Base(file), filepath.Base(h.studyIn), strings.Join(changes, "; "))
		}
	}
	if h.study == nil || at < h.studyAt {
		h.study, h.studyAt, h.studyIn = s, at, file
	}
	return nil
}

func (h *history) addClaim(session string, trial trialID, attempt int, until time.Time) {
	s := h.sessions[session]
	if s == nil {
		return // of a session whose record cannot be read
	}
	s.until = until
	o := h.outcome(trial)
	for i := range o.claims {
		if o.claims[i].session == s {
			o.claims[i].attempt = attempt
			return
		}
	}
	o.claims = append(o.claims, claim{session: s, attempt: attempt})
}

func (h *history) release(r releaseRecord) {
	s := h.sessions[r.Session]
	switch {
	case s == nil:
	case r.Trial == nil:
		s.over, s.released = true, true
	default:
		o := h.outcome(*r.Trial)
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

func (h *history) outcome(trial trialID) *outcome {
	o := h.outcomes[trial]
	if o == nil {
		o = &outcome{}
		h.outcomes[trial] = o
	}
	return o
}

// takeEnded gives the trials that have ended since it was called before.
func (h *history) takeEnded() []trialID {
	ended := h.ended
	h.ended = nil
	return ended
}

// sampled is how many networks of a space are known without a gap.
func (h *history) sampled(space string) int {
	for i, s := range h.samples[space] {
		if s.ref.length == 0 {
			return i
		}
	}
	return len(h.samples[space])
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
func (h *history) claimant(trial trialID, except string) *session {
	if o := h.outcomes[trial]; o != nil {
		for _, c := range o.claims {
			if c.session.ID != except && h.alive(c.session) {
				return c.session
			}
		}
	}
	return nil
}

// losses are the attempts whose worker died and that count.
func (o *outcome) losses() int {
	n := 0
	for _, l := range o.lost {
		if l.Attempt > o.forgive && l.counts() {
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

// failure is what ended a trial without a result, nil if nothing did.
func (o *outcome) failure() *failedRecord {
	if o != nil && o.failed != nil && o.failed.Attempt > o.forgive {
		return o.failed
	}
	return nil
}

// state of a trial, without who is at it.
func (o *outcome) state() State {
	switch {
	case o == nil:
		return Pending
	case o.done != nil:
		return Done
	case o.failure() != nil:
		return Failed
	}
	return Pending
}

func (o *outcome) hasEnded() bool { return o.state() != Pending }

// isPaused tells whether a trial has not ended but been trained for some epochs, as was asked for.
func (o *outcome) isPaused() bool { return !o.hasEnded() && o != nil && o.paused != nil }

// reached tells whether a trial has ended or been trained for so many epochs.
func (o *outcome) reached(epochs int) bool {
	return o.hasEnded() || o != nil && o.paused != nil && o.paused.epochs >= epochs
}

// state of a trial.
func (h *history) state(id trialID) State {
	s := h.outcomes[id].state()
	if s == Pending && (h.working[id] || h.claimant(id, "") != nil) {
		return Running
	}
	return s
}
