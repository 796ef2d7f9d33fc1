package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"netspace/study"
)

// progress shows how far a study run is: a block of lines that is drawn over
// on a terminal, a line now and then elsewhere, one JSON object per event with --json. Libraries
// for progress bars have the first of these alone.
type progress struct {
	a       *app
	run     *study.Run
	width   func() int // of the terminal; nil if there is none
	workers int

	mu      sync.Mutex
	tracker *study.Tracker
	began   time.Time
	drawn   int // lines of the block on the terminal
	spoke   map[int]time.Time
	done    chan struct{}
	wg      sync.WaitGroup
}

const (
	redrawEvery   = 200 * time.Millisecond
	lineEvery     = 10 * time.Second
	jsonEvery     = time.Second // between progress events of one worker
	maxWorkerRows = 8
)

func newProgress(a *app, run *study.Run, workers int) *progress {
	p := &progress{a: a, run: run, workers: workers, spoke: map[int]time.Time{}, done: make(chan struct{})}
	if f, ok := a.err.(*os.File); ok && isTerminal(f) && os.Getenv("TERM") != "dumb" {
		p.width = func() int {
			w, _, err := term.GetSize(int(f.Fd()))
			if err != nil || w < 20 {
				return 80
			}
			return w
		}
	}
	return p
}

// start begins to show.
func (p *progress) start() {
	p.began = time.Now()
	p.tracker = study.NewTracker(p.run, p.began)
	t := p.run.Totals()
	p.emit(map[string]any{"event": "begin", "study": p.run.Config.Name, "dir": p.run.Dir,
		"networks": t.Trials, "done": t.Done, "failed": t.Failed, "workers": p.workers})
	left := t.Trials - t.Done - t.Failed
	switch {
	case left == 0:
		p.a.note("study %s in %s: everything is trained already", p.run.Config.Name, displayPath(p.run.Dir))
		return
	case t.Done+t.Failed > 0:
		p.a.note("study %s in %s: %d of %d networks are there, training %d with %d workers", p.run.Config.Name, displayPath(p.run.Dir), t.Done+t.Failed, t.Trials, left, p.workers)
	default:
		p.a.note("study %s in %s: training %d networks with %d workers", p.run.Config.Name, displayPath(p.run.Dir), left, p.workers)
	}
	if p.a.quiet {
		return
	}
	every := lineEvery
	if p.width != nil {
		every = redrawEvery
	}
	p.wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-p.done:
				return
			case now := <-tick.C:
				p.mu.Lock()
				p.draw(p.tracker.Snapshot(now))
				p.mu.Unlock()
			}
		}
	})
}

// stop ends the display and says what came of the run.
func (p *progress) stop(err error) study.Totals {
	close(p.done)
	p.wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	now := time.Now()
	s := p.tracker.Snapshot(now)
	end := map[string]any{"event": "end", "networks": s.Trials, "done": s.Done, "failed": s.Failed,
		"seconds": now.Sub(p.began).Seconds(), "complete": err == nil}
	if s.Best != nil {
		end["best"] = map[string]any{"space": s.Best.Space, "index": s.Best.Index, "trial": s.Best.ID, "error": s.Best.Error}
	}
	p.emit(end)
	switch {
	case p.a.quiet:
	case err == nil:
		took := ""
		if t := p.run.Totals(); t.Done+t.Failed < t.Trials {
			took = " in " + round(now.Sub(p.began))
		}
		fmt.Fprintf(p.a.err, "%d networks%s%s\n", s.Trials, took, best(s, "best error"))
	default:
		fmt.Fprintln(p.a.err, headline(study.Snapshot{Totals: s.Totals}))
	}
	return s.Totals
}

// event shows that something happened to a trial.
func (p *progress) event(e study.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracker.Event(e)
	now := time.Now()
	switch e.Kind {
	case study.TrialProgress:
		if now.Sub(p.spoke[e.Worker]) < jsonEvery {
			return
		}
		p.spoke[e.Worker] = now
	case study.TrialFailed, study.TrialLost:
		if p.a.quiet {
			break
		}
		p.erase()
		what := "failed, it counts with the error of chance"
		if e.Kind == study.TrialLost {
			what = "lost, trying again"
		}
		fmt.Fprintf(p.a.err, "%s (%s) %s: %s\n", e.Task.Name(), e.Task.ID, what, e.Reason)
	}
	p.emit(eventJSON(e))
}

func (p *progress) emit(v any) {
	if p.a.json {
		_ = p.a.emit(v) // a reader that went away must not stop the study
	}
}

func eventJSON(e study.Event) map[string]any {
	m := map[string]any{"event": string(e.Kind), "worker": e.Worker, "trial": e.Task.ID, "space": e.Task.Space,
		"index": e.Task.Index, "attempt": e.Task.Attempt}
	if e.Task.Rerun > 0 {
		m["rerun"] = e.Task.Rerun
	}
	switch e.Kind {
	case study.TrialProgress:
		m["share"], m["images_per_second"], m["seconds_left"] = e.Share, e.ImagesPerSecond, e.Left.Seconds()
	case study.TrialEpoch:
		m["epoch"] = e.Epoch
	case study.TrialDone:
		m["error"] = e.Error
	case study.TrialFailed:
		m["error"], m["reason"] = e.Error, e.Reason
	case study.TrialLost:
		m["reason"] = e.Reason
	}
	return m
}

// draw shows the state: over the last drawing on a terminal, else as one line.
func (p *progress) draw(s study.Snapshot) {
	if p.width == nil {
		fmt.Fprintln(p.a.err, headline(s))
		return
	}
	width := p.width()
	lines := []string{headline(s), bar(float64(s.Done+s.Failed)+shares(s), s.Trials, min(width, 60))}
	for i, w := range s.Workers {
		if i == maxWorkerRows {
			lines = append(lines, fmt.Sprintf("  … and %d more workers", len(s.Workers)-i))
			break
		}
		lines = append(lines, workerLine(w, p.run.Config.Recipe.Epochs))
	}
	var b strings.Builder
	p.eraseInto(&b)
	for _, l := range lines {
		if r := []rune(l); len(r) >= width {
			l = string(r[:width-1]) // a wrapped line could not be drawn over
		}
		b.WriteString(l + "\n")
	}
	p.drawn = len(lines)
	io.WriteString(p.a.err, b.String())
}

func shares(s study.Snapshot) (sum float64) {
	for _, w := range s.Workers {
		sum += w.Share
	}
	return sum
}

func (p *progress) erase() {
	var b strings.Builder
	p.eraseInto(&b)
	io.WriteString(p.a.err, b.String())
}

// eraseInto moves the cursor to where the block begins and clears from there on.
func (p *progress) eraseInto(b *strings.Builder) {
	if p.drawn > 0 {
		fmt.Fprintf(b, "\x1b[%dA\x1b[J", p.drawn)
	}
	p.drawn = 0
}

// headline is the state in one line.
func headline(s study.Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d/%d networks", s.Done+s.Failed, s.Trials)
	if s.Failed > 0 {
		fmt.Fprintf(&b, " (%d failed)", s.Failed)
	}
	b.WriteString(best(s, "best error so far"))
	if s.ImagesPerSecond > 0 {
		fmt.Fprintf(&b, ", %.0f images/s", s.ImagesPerSecond)
	}
	if s.Left > 0 {
		fmt.Fprintf(&b, ", %s left", round(s.Left))
	}
	return b.String()
}

// best is ", best error 11.20 % (regnetx #3)", or "" if nothing is done.
func best(s study.Snapshot, what string) string {
	if s.Best == nil {
		return ""
	}
	return fmt.Sprintf(", %s %.2f %% (%s #%d)", what, s.Best.Error, s.Best.Space, s.Best.Index)
}

func workerLine(w study.WorkerState, epochs int) string {
	epoch := min(int(w.Share*float64(epochs))+1, epochs)
	line := fmt.Sprintf("  %d  %-14s epoch %d/%d  %3.0f %%  %6.0f images/s", w.Worker+1,
		w.Task.Name(), epoch, epochs, 100*w.Share, w.ImagesPerSecond)
	if w.Epoch != nil && w.Epoch.Evaluated {
		line += fmt.Sprintf("  error %.2f %%", w.Epoch.ValError)
	}
	return line
}

// bar draws done of total in width characters.
func bar(done float64, total, width int) string {
	cells := width - 2
	full := min(cells, int(done/float64(max(1, total))*float64(cells)))
	return "[" + strings.Repeat("█", full) + strings.Repeat("·", cells-full) + "]"
}

// round makes a duration short: 1h2m, 3m20s, 12s.
func round(d time.Duration) string {
	switch {
	case d >= time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
