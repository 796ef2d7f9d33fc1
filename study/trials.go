package study

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// lines reads records again by their places.
type lines struct {
	h     *history
	files map[int32]*os.File
	buf   []byte
	look  glance
}

func (l *lines) close() {
	for _, f := range l.files {
		f.Close()
	}
}

// line reads the line at a place; it is valid until the next one is read.
func (l *lines) line(at ref) ([]byte, error) {
	f := l.files[at.file]
	if f == nil {
		var err error
		if f, err = os.Open(l.h.order[at.file].file); err != nil {
			return nil, err
		}
		if l.files == nil {
			l.files = map[int32]*os.File{}
		}
		l.files[at.file] = f
	}
	if cap(l.buf) < int(at.length) {
		l.buf = make([]byte, 2*at.length)
	}
	line := l.buf[:at.length]
	if _, err := f.ReadAt(line, at.offset); err != nil {
		return nil, err
	}
	if reason := checkLine(line); reason != "" {
		return nil, fmt.Errorf("%s: byte %d: %s, though it was right a moment ago", f.Name(), at.offset, reason)
	}
	return line, nil
}

// read reads the record at a place.
func (l *lines) read(at ref) (record, error) {
	line, err := l.line(at)
	if err != nil {
		return record{}, err
	}
	r, err := decodeRecord(line)
	if err != nil {
		err = &unreadable{Damage{File: l.h.order[at.file].file, Line: l.number(at), Offset: at.offset, Reason: err.Error()}}
	}
	return r, err
}

// number is the number of the line at a place, 0 if it cannot be counted.
func (l *lines) number(at ref) int {
	n := 1
	for buf, from := make([]byte, 1<<16), int64(0); from < at.offset; from += int64(len(buf)) {
		part := buf[:min(int64(len(buf)), at.offset-from)]
		if _, err := l.files[at.file].ReadAt(part, from); err != nil {
			return 0
		}
		n += bytes.Count(part, []byte("\n"))
	}
	return n
}

// unreadable is a line whose checksum is right, and whose first fields are, but not the rest. It is
// found when the rest is asked for.
type unreadable struct{ Damage }

func (e *unreadable) Error() string { return e.Damage.String() }

// holds tells whether the line at a place has one of some texts.
func (l *lines) holds(at ref, texts ...string) bool {
	line, err := l.line(at)
	return err == nil && slices.ContainsFunc(texts, func(text string) bool { return bytes.Contains(line, []byte(text)) })
}

// sample reads the record of a network.
func (l *lines) sample(s sample) (trialRecord, error) {
	line, err := l.line(s.ref)
	if err != nil {
		return trialRecord{}, err
	}
	if _, _, object := split(line); object != nil {
		if t, ok := l.look.trial(object); ok {
			return t, nil
		}
	}
	r, err := l.read(s.ref)
	if err != nil {
		return trialRecord{}, err
	}
	return *r.Trial, nil
}

// curve reads the epochs of a result.
func (l *lines) curve(r *result) ([]Epoch, error) {
	line, err := l.line(r.ref)
	if err != nil {
		return nil, err
	}
	if _, _, object := split(line); object != nil {
		if epochs, ok := l.look.curve(object); ok {
			return epochs, nil
		}
	}
	d, err := l.read(r.ref)
	if err != nil {
		return nil, err
	}
	return d.Done.Epochs, nil
}

// trial joins a place in a population with what is known of its trial and its reruns.
func (l *lines) trial(s sample, c Config) (Trial, error) {
	r, err := l.sample(s)
	if err != nil {
		return Trial{}, err
	}
	t := Trial{ID: r.ID.String(), Space: r.Space, Index: r.Index, Seed: r.Seed, Spec: r.Spec, Asked: r.Asked, Complexity: r.Complexity}
	if err := l.outcome(r.ID, &t); err != nil {
		return t, err
	}
	if t.State == Pending && l.h.outcomes[r.ID].reached(l.h.epochsOf(r.Space, r.Index, c.Samples)) {
		t.State = Short
	}
	for rerun := range l.h.rerunsOf(r.Space, r.Index, c) {
		id, seed := rerunOf(r.ID, rerun+1)
		again := Trial{ID: id.String(), Rerun: rerun + 1, Space: t.Space, Index: t.Index, Seed: seed, Spec: t.Spec, Asked: t.Asked, Complexity: t.Complexity}
		if err := l.outcome(id, &again); err != nil {
			return t, err
		}
		t.Reruns = append(t.Reruns, again)
	}
	return t, nil
}

// outcome fills in what is known of a training.
func (l *lines) outcome(id trialID, t *Trial) (err error) {
	h := l.h
	t.State = h.state(id)
	o := h.outcomes[id]
	switch t.State {
	case Done:
		t.Error, t.Error5, t.Seconds, t.ImagesPerSecond = o.done.Error, o.done.Error5, o.done.Seconds, o.done.ImagesPerSecond
		t.Epochs, err = l.curve(o.done)
		return err
	case Failed:
		f := o.failure()
		t.Death = f.Death
		t.Error, t.Error5 = h.chance()
		t.Seconds = f.Seconds
	}
	if o == nil {
		return nil
	}
	if o.paused != nil {
		p, err := l.read(o.paused.ref)
		if err != nil {
			return err
		}
		t.Epochs, t.Seconds = p.Paused.Epochs, p.Paused.Seconds
	}
	for _, at := range o.epochs {
		e, err := l.read(at)
		if err != nil {
			return err
		}
		t.Epochs = addEpoch(t.Epochs, e.Epoch.Epoch)
	}
	if t.State == Failed { // its last attempt may have gone on from an earlier one
		for _, e := range o.failed.Epochs {
			t.Epochs = addEpoch(t.Epochs, e)
		}
	}
	return nil
}

// setAside takes note of a line that was found to be damaged late.
func (s *Study) setAside(d Damage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.late, d) {
		s.late = append(s.late, d)
	}
}

// addEpoch keeps one entry per epoch: an attempt that starts over repeats some.
func addEpoch(epochs []Epoch, e Epoch) []Epoch {
	for i := range epochs {
		if epochs[i].Epoch == e.Epoch {
			epochs[i] = e
			return epochs
		}
	}
	return append(epochs, e)
}

// chance is what a failed trial counts with: the errors of guessing.
func (h *history) chance() (err1, err5 float64) {
	if h.study == nil {
		return 100, 100
	}
	classes := h.study.Input.Classes
	if classes > 10 {
		err5 = ChanceError(classes, 5)
	}
	return ChanceError(classes, 1), err5
}

// Each gives the trials of all populations to visit, space by space in sample order, until it returns an
// error; networks that no readable record tells of are left out. It holds a few of them at a time, however many there are. They
// are read anew, on all cores.
func (s *Study) Each(ctx context.Context, visit func(t Trial) error) error {
	for _, name := range s.Config.Spaces {
		if err := s.each(ctx, s.population(name), visit); err != nil {
			return err
		}
	}
	return nil
}

// each reads trials in batches, one ahead of the one that is visited.
func (s *Study) each(ctx context.Context, all []sample, visit func(t Trial) error) error {
	const batch = 1024
	var readers []*lines
	for range runtime.GOMAXPROCS(0) {
		readers = append(readers, &lines{h: s.history})
	}
	defer func() {
		for _, r := range readers {
			r.close()
		}
	}()

	read := func(part []sample) ([]Trial, error) {
		trials := make([]Trial, len(part))
		errs := make([]error, len(readers))
		var next atomic.Int64
		var group sync.WaitGroup
		for i, r := range readers {
			group.Go(func() {
				for errs[i] == nil && ctx.Err() == nil {
					k := int(next.Add(1)) - 1
					if k >= len(part) {
						return
					}
					if part[k].ref.length == 0 {
						continue
					}
					var bad *unreadable
					if trials[k], errs[i] = r.trial(part[k], s.Config); errors.As(errs[i], &bad) {
						s.setAside(bad.Damage)
						errs[i] = nil
					}
				}
			})
		}
		group.Wait()
		for _, err := range errs {
			if err != nil {
				return nil, err
			}
		}
		return trials, ctx.Err()
	}
	type result struct {
		trials []Trial
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan result, 1)
	go func() {
		defer close(results)
		for part := range slices.Chunk(all, batch) {
			trials, err := read(part)
			select {
			case results <- result{trials, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { // the readers are not closed before they are done
		cancel()
		for range results {
		}
	}()
	for r := range results {
		if r.err != nil {
			return r.err
		}
		for _, t := range r.trials {
			if t.ID == "" {
				continue
			}
			if err := visit(t); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}
