package study

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"netspace/engine"
	"netspace/engine/reference"
	"netspace/internal/tinydata"
	"netspace/trial"
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

// runTests keeps the decoded images of the tests out of the user's cache.
func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "netspace-study-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	undisturbed.dir = dir
	return m.Run()
}

// inProcess is an Executor whose workers are goroutines, for what does not depend
// on processes (those are tested with package executor).
type inProcess struct {
	workers int
	trainer trial.Trainer
}

func (x inProcess) Execute(ctx context.Context, run *Run) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for slot := range x.workers {
		all.Go(func() {
			var w Worker
			defer w.Close()
			for ctx.Err() == nil {
				task, ok, err := run.Next(ctx)
				if err != nil {
					cancel(err)
				}
				if !ok {
					return
				}
				err = w.Work(ctx, task, x.trainer, func(e Event) { e.Worker = slot; run.Report(e) })
				if err == nil {
					_, _, err = run.Ended(slot, task, nil)
				}
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// testWorkers trains with the reference engine.
func testWorkers(n int) inProcess {
	return inProcess{n, trial.Builtin{Open: func(string) (engine.Engine, error) { return reference.New(), nil }}}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tinyStudy is a study file of networks that the reference engine trains in a
// fraction of a second each.
type tinyStudy struct {
	dir, data, file string // study folder, images, study file
	text            string
}

func newTinyStudy(t testing.TB) tinyStudy {
	t.Helper()
	return tinyStudyIn(t, t.TempDir())
}

func tinyStudyIn(t testing.TB, base string) tinyStudy {
	t.Helper()
	s := tinyStudy{dir: filepath.Join(base, "out"), data: filepath.Join(base, "images"), file: filepath.Join(base, "tiny.yaml")}
	tinydata.Write(t, s.data, 160)
	s.text = fmt.Sprintf(`name: tiny
data: {name: %s, train: 96, validation: 64}
network: {stem: {type: cifar, width: 4}, stages: 2}
regime: {flops: 10K..30K}
recipe: {epochs: 3, batch: 16, lr: 0.05, flip: false, pad: 1}
samples: 3
seed: 7
spaces: [anynetx-a, regnetx]
`, s.data)
	write(t, s.file, s.text)
	return s
}

// undisturbed is a tiny study that ran to its end with one worker, and its results.
var undisturbed struct {
	once   sync.Once
	dir    string // for it, removed after all tests
	study  tinyStudy
	result string
}

// results of a tiny study that was never disturbed.
func results(t testing.TB) string {
	t.Helper()
	u := &undisturbed
	u.once.Do(func() {
		u.study = tinyStudyIn(t, u.dir)
		events := u.study.run(t, 1)
		if n := count(events, TrialDone); n == 0 || n != count(events, TrialStarted) || count(events, TrialFailed)+count(events, TrialLost) > 0 {
			t.Fatalf("%d started, %d done, %d failed, %d lost", count(events, TrialStarted), n, count(events, TrialFailed), count(events, TrialLost))
		}
		u.result = u.study.export(t)
	})
	return u.result
}

// finishedStudy is a copy of the undisturbed one, and its results.
func finishedStudy(t testing.TB) (tinyStudy, string) {
	t.Helper()
	want := results(t)
	s := newTinyStudy(t)
	if err := os.CopyFS(s.dir, os.DirFS(undisturbed.study.dir)); err != nil {
		t.Fatal(err)
	}
	return s, want
}

// edit replaces a part of the study file.
func (s *tinyStudy) edit(t testing.TB, old, new string) {
	t.Helper()
	if !strings.Contains(s.text, old) {
		t.Fatalf("the study file does not contain %q", old)
	}
	s.text = strings.Replace(s.text, old, new, 1)
	write(t, s.file, s.text)
}

func (s tinyStudy) start(t testing.TB) *Run {
	t.Helper()
	r, err := Start(t.Context(), Request{File: s.file, Dir: s.dir, Engine: "reference"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run trains what remains of the study and gives its events.
func (s tinyStudy) run(t testing.TB, workers int) []Event {
	t.Helper()
	r := s.start(t)
	defer r.Close()
	var events []Event
	if err := r.Execute(t.Context(), testWorkers(workers), func(e Event) { events = append(events, e) }); err != nil {
		t.Fatal(err)
	}
	return events
}

// export gives the study's results in all formats.
func (s tinyStudy) export(t testing.TB) string {
	t.Helper()
	var out strings.Builder
	for _, format := range Formats() {
		out.WriteString(s.exportAs(t, format))
	}
	return out.String()
}

func (s tinyStudy) exportAs(t testing.TB, format string) string {
	t.Helper()
	st, err := Open(t.Context(), s.dir)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := st.Export(t.Context(), &out, ExportOptions{Format: format}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func (s tinyStudy) trials(t testing.TB) []Trial {
	t.Helper()
	st, err := Open(t.Context(), s.dir)
	if err != nil {
		t.Fatal(err)
	}
	populations, err := st.Populations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []Trial
	for _, p := range populations {
		all = append(all, p.Trials...)
	}
	return all
}

// count tells how many events are of a kind.
func count(events []Event, kind EventKind) int {
	n := 0
	for _, e := range events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}
