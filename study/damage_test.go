package study

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/train"
	"netspace/trial"
)

// forge appends records to a journal of its own, as a program would that is not ours.
func forge(t *testing.T, dir string, lines ...string) string {
	t.Helper()
	header, err := encodeRecord(record{Time: "2026-03-01T12:00:00.000Z", Journal: &headerRecord{Version: 1, Host: "forger"}})
	if err != nil {
		t.Fatal(err)
	}
	text := string(header)
	for _, l := range lines {
		body := `"time":"2026-03-01T12:00:00.000Z",` + l + "}"
		text += fmt.Sprintf("%s%08x\",%s\n", crcPrefix, crc32.Checksum([]byte(body), castagnoli), body)
	}
	path := filepath.Join(dir, journalDir, "forger-0.jsonl")
	write(t, path, text)
	return path
}

// Records that no program of ours writes are set aside, and do no harm.
func TestForgedRecords(t *testing.T) {
	s, want := finishedStudy(t)
	id := s.trials(t)[0].ID
	outside := filepath.Join(filepath.Dir(s.dir), "x")
	write(t, filepath.Join(outside, "precious"), "")
	for _, line := range []string{
		`"trial":{"space":"regnetx","index":7,"id":"../../x","seed":1,"spec":null,"complexity":{}}`,
		`"done":{"trial":"../../x","error":1,"error5":0,"seconds":1,"images_per_second":1,"epochs":null}`,
		`"claim":{"session":"s","trial":"../../x","attempt":1,"until":"2026-03-01T12:00:00Z"}`,
		`"done":{"trial":"` + id + `","error":1e300,"error5":0,"seconds":1,"images_per_second":1,"epochs":null}`,
		`"done":{"trial":"` + id + `","error":-1,"error5":0,"seconds":1,"images_per_second":1,"epochs":null}`,
		`"done":{"trial":"` + id + `","error":"low","error5":0,"seconds":1,"images_per_second":1,"epochs":null}`,
		`"trial":{"space":"regnetx","index":1000000000000,"id":"0000000000000007","seed":1,"spec":null,"complexity":{}}`,
		`"trial":{"space":"regnetx","index":-1,"id":"0000000000000007","seed":1,"spec":null,"complexity":{}}`,
		`"forgive":{"trial":"` + id + `","attempt":-9}`,
		`"failed":{"trial":"` + id + `","attempt":99999999999,"reason":"no","seconds":1}`,
		`"study":{"settings":{},"data":"x","input":{"channels":0,"height":0,"width":0,"classes":0},"train_images":0,"val_images":0}`,
		`"journal":{"version":-1,"host":"x"}`,
	} {
		path := forge(t, s.dir, line)
		st, err := Open(t.Context(), s.dir)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if d := st.Damage(); len(d) != 1 || d[0].File != path || d[0].Line != 2 {
			t.Errorf("%s: damage %v; want the second line of %s", line, d, path)
		}
		if events := s.run(t, 1); len(events) > 0 {
			t.Errorf("%s: trained something: %+v", line, events)
		}
		if got := s.export(t); got != want {
			t.Errorf("%s:\n%s", line, cmp.Diff(want, got))
		}
		if _, err := os.Stat(filepath.Join(outside, "precious")); err != nil {
			t.Fatal(err)
		}
	}
}

// A line whose checksum is right, and whose network is not, is found when somebody asks for it.
func TestUnreadableNetwork(t *testing.T) {
	s := newTinyStudy(t)
	s.run(t, 1)
	path := forge(t, s.dir, `"trial":{"space":"regnetx","index":3,"id":"0000000000000007","seed":1,"spec":{"family":"regnet","depth":-4},"complexity":{"flops":1,"params":1,"acts":1}}`)
	s.edit(t, "samples: 3", "samples: 4")
	write(t, filepath.Join(s.dir, fileName), s.text)
	st, err := Open(t.Context(), s.dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := st.Populations(t.Context())
	if err != nil || len(p[1].Trials) != 3 {
		t.Fatalf("%d networks of regnetx, %v; want the three that can be read", len(p[1].Trials), err)
	}
	if d := st.Damage(); len(d) != 1 || d[0].File != path || d[0].Line != 2 || !strings.Contains(d[0].Reason, "depth") {
		t.Fatalf("%v", d)
	}
}

// A journal that has its first line only is no less one for a damaged byte, whichever: also one that ends the line early, or not at all.
func TestDamagedYoungJournals(t *testing.T) {
	s, want := finishedStudy(t)
	path := filepath.Join(s.dir, journalDir, "other-0.jsonl")
	header, err := encodeRecords(headerOf("other"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range header {
		for _, b := range []byte{'\n', 'x', 0, header[i] ^ 1} {
			text := slices.Clone(header)
			text[i] = b
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
			h, err := readHistory(t.Context(), s.dir, hostName())
			if err == nil {
				err = h.foreign()
			}
			if err != nil {
				t.Fatalf("byte %d is %q: %v", i, b, err)
			}
		}
	}
	if got := s.export(t); got != want {
		t.Error(cmp.Diff(want, got))
	}
	if events := s.run(t, 1); len(events) > 0 {
		t.Errorf("trained again: %+v", events)
	}
}

// What is no journal is told of, keeps nobody from looking, and is not trained over.
func TestForeignFiles(t *testing.T) {
	s, want := finishedStudy(t)
	path := filepath.Join(s.dir, journalDir, "other-0.jsonl")
	for name, make := range map[string]func() error{
		"pipe":   func() error { return makePipe(path) },
		"folder": func() error { return os.Mkdir(path, 0o755) },
		"text":   func() error { return os.WriteFile(path, []byte("{}\n{}\n"), 0o644) },
	} {
		if err := make(); errors.Is(err, errors.ErrUnsupported) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if got := s.export(t); got != want {
			t.Errorf("%s: %s", name, cmp.Diff(want, got))
		}
		_, err := Start(t.Context(), Request{File: s.file, Dir: s.dir, Engine: "reference"})
		var foreign *ForeignError
		if !errors.As(err, &foreign) || foreign.File != path {
			t.Errorf("%s: error %v; want a *ForeignError", name, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// Runs that start in one instant agree on one study, and of two that ask for different ones
// one is refused.
func TestRunsThatStartTogether(t *testing.T) {
	for _, different := range []bool{false, true} {
		s := newTinyStudy(t)
		other := s
		other.file = filepath.Join(filepath.Dir(s.file), "other.yaml")
		if different {
			other.edit(t, "lr: 0.05", "lr: 0.06")
		} else {
			other.edit(t, "samples: 3", "samples: 5")
		}
		var runs [6]*Run
		var errs [6]error
		var group sync.WaitGroup
		begin := make(chan struct{})
		for i := range runs {
			group.Go(func() {
				<-begin
				file := []string{s.file, other.file}[i%2]
				runs[i], errs[i] = Start(context.Background(), Request{File: file, Dir: s.dir, Host: fmt.Sprint("host", i), Trainer: fake{}})
			})
		}
		close(begin)
		group.Wait()
		refused := map[int]bool{}
		for i, err := range errs {
			var changed *ChangedError
			switch {
			case err == nil:
				defer runs[i].Close()
			case different && errors.As(err, &changed):
				refused[i%2] = true
			default:
				t.Fatal(err)
			}
		}
		if different != (len(refused) == 1) {
			t.Fatalf("of two different studies %v were refused", refused)
		}
		for _, r := range runs {
			if r != nil {
				group.Go(func() {
					if err := r.Execute(context.Background(), inProcess{1, fake{}}, nil); err != nil {
						t.Error(err)
					}
				})
			}
		}
		group.Wait()
		st, err := Open(t.Context(), s.dir)
		if err != nil || len(st.Damage()) > 0 {
			t.Fatal(err, st.Damage())
		}
		for _, status := range st.Status() {
			if status.Done != st.Config.Samples {
				t.Errorf("%+v", status)
			}
		}
	}
}

// A space file that changed, or is gone, is noticed also when everything is trained.
func TestChangedSpaceFile(t *testing.T) {
	s := newTinyStudy(t)
	file := filepath.Join(filepath.Dir(s.file), "mine.yaml")
	write(t, file, "base: regnetx\nname: mine\n")
	s.edit(t, "[anynetx-a, regnetx]", "["+file+"]")
	s.run(t, 2)
	want := s.export(t)
	start := func(req Request) error {
		r, err := Start(t.Context(), req)
		if err == nil {
			r.Close()
		}
		return err
	}
	ask := Request{File: s.file, Dir: s.dir, Engine: "reference"}
	var changed *ChangedError
	var request *RequestError
	write(t, file, "base: regnetx\nname: mine\nrules: [\"depth <= 3\"]\n")
	if err := start(ask); !errors.As(err, &changed) || !errors.As(err, &request) || !strings.Contains(err.Error(), file) {
		t.Errorf("another space: %v", err)
	}
	write(t, file, "# the same networks\nbase: regnetx\nname: mine\n")
	if err := start(ask); err != nil {
		t.Errorf("a comment: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := start(ask); !errors.As(err, &request) || !strings.Contains(err.Error(), "mine.yaml") {
		t.Errorf("no space file: %v", err)
	}
	if err := start(Request{Dir: s.dir, Engine: "reference"}); err != nil {
		t.Errorf("from the folder alone: %v", err)
	}
	if got := s.export(t); got != want {
		t.Error(cmp.Diff(want, got))
	}
}

// divergent is fake, and diverges in the third epoch.
type divergent struct{ fake }

func (d divergent) Train(ctx context.Context, t trial.Task, dir string, report func(train.Progress)) (train.Result, error) {
	res, err := d.fake.Train(ctx, t, dir, report)
	if err == nil {
		err = &trial.Failure{Err: &train.DivergedError{}, Cause: trial.Diverged}
	}
	return res, err
}

// A trial that fails after it was interrupted keeps the epochs from before.
func TestFailureKeepsEarlierEpochs(t *testing.T) {
	s := newTinyStudy(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := s.on(t, "a", 0)
	_ = first.Execute(ctx, inProcess{1, divergent{fake{wait: func(_ context.Context, _ trial.Task, epoch int) {
		if epoch == 3 {
			cancel()
		}
	}}}}, nil)
	first.Close()
	r := s.on(t, "a", 0)
	if err := r.Execute(t.Context(), inProcess{1, divergent{}}, nil); err != nil {
		t.Fatal(err)
	}
	for _, tr := range s.trials(t) {
		if tr.State != Failed || tr.Cause != trial.Diverged || len(tr.Epochs) != 3 || tr.Epochs[0].Epoch != 1 {
			t.Errorf("%s with cause %q and epochs %+v", tr.State, tr.Cause, tr.Epochs)
		}
	}
}
