package study

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"netspace/engine"
	"netspace/engine/reference"
)

// The test program is also the worker process, and the parent of workers that is killed.
func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch os.Getenv("NETSPACE_TEST") {
	case "worker":
		err = Worker{In: os.Stdin, Out: os.Stdout, Engine: testEngine, Kill: func() { os.Exit(130) }}.Run(ctx)
	case "parent":
		err = runParent(ctx, os.Args[1], os.Args[2])
	default:
		stop()
		os.Exit(runTests(m))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runParent runs a study to its end, with two workers.
func runParent(ctx context.Context, file, dir string) error {
	r, err := Start(ctx, Request{File: file, Dir: dir, Engine: "reference"})
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Execute(ctx, Local{Workers: 2, Command: []string{os.Args[0]}, Env: []string{"NETSPACE_TEST=worker"}}, nil)
}

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

func testEngine(name string) (engine.Engine, error) {
	switch name {
	case "reference":
		return reference.New(), nil
	case "crash":
		panic("the engine broke")
	}
	return nil, &engine.ErrUnavailable{Engine: name, Reason: "this is a test"}
}

// testWorkers is an executor whose workers are this test program.
func testWorkers(t testing.TB, n int) Local {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Local{Workers: n, Command: []string{self}, Env: []string{"NETSPACE_TEST=worker"}}
}

// writeImages makes an IDX data set of small images: four classes, told apart by
// which quarter is bright, and noise.
func writeImages(t testing.TB, dir string, n int) {
	t.Helper()
	const side = 8
	rng := rand.New(rand.NewPCG(1, 2))
	for _, set := range []struct {
		name string
		n    int
	}{{"train", n}, {"t10k", 8}} {
		var images, labels bytes.Buffer
		for _, v := range []uint32{0x803, uint32(set.n), side, side} {
			binary.Write(&images, binary.BigEndian, v)
		}
		for _, v := range []uint32{0x801, uint32(set.n)} {
			binary.Write(&labels, binary.BigEndian, v)
		}
		for range set.n {
			class := rng.IntN(4)
			labels.WriteByte(byte(class))
			for y := range side {
				for x := range side {
					v := rng.IntN(120)
					if class == y/(side/2)*2+x/(side/2) {
						v += 80
					}
					images.WriteByte(byte(v))
				}
			}
		}
		write(t, filepath.Join(dir, set.name+"-images-idx3-ubyte"), images.String())
		write(t, filepath.Join(dir, set.name+"-labels-idx1-ubyte"), labels.String())
	}
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
	writeImages(t, s.data, 160)
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
	if err := r.Execute(t.Context(), testWorkers(t, workers), func(e Event) { events = append(events, e) }); err != nil {
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
	st, err := Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := st.Export(&out, ExportOptions{Format: format}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func (s tinyStudy) trials(t testing.TB) []Trial {
	t.Helper()
	st, err := Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	populations, err := st.Populations()
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
