package study

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/engine"
	"netspace/trial"
)

// described is a trainer that says of itself what a test wants.
type described struct {
	fake
	engine.Description
}

func (d described) Describe(trial.Task) (engine.Description, error) { return d.Description, nil }

// A folder that was moved is gone on with and extended, without the files that
// its study was made of, to the same results as where it was.
func TestMovedFolderHasAllItNeeds(t *testing.T) {
	begin := func() tinyStudy {
		s := newTinyStudy(t)
		spaces := filepath.Join(filepath.Dir(s.file), "spaces")
		write(t, filepath.Join(spaces, "base.yaml"), "base: anynetx-c\nname: between\n")
		write(t, filepath.Join(spaces, "mine.yaml"), "base: base.yaml\nrules: [non-decreasing: width]\n")
		s.edit(t, "[anynetx-a, regnetx]", "["+filepath.Join(spaces, "mine.yaml")+", regnetx]")
		r := s.on(t, "old", 0)
		if err := r.Execute(t.Context(), inProcess{1, fake{}}, nil); err != nil {
			t.Fatal(err)
		}
		r.Close()
		return s
	}
	there := begin()
	there.edit(t, "samples: 3", "samples: 5")
	r := there.on(t, "old", 0)
	if err := r.Execute(t.Context(), inProcess{1, fake{}}, nil); err != nil {
		t.Fatal(err)
	}
	want := there.export(t)

	s := begin()
	base := t.TempDir()
	moved := tinyStudy{dir: filepath.Join(base, "study"), data: filepath.Join(base, "pictures"), file: filepath.Join(base, "study", fileName), text: s.text}
	for from, to := range map[string]string{s.dir: moved.dir, s.data: moved.data} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Dir(s.file)); err != nil {
		t.Fatal(err)
	}
	moved.edit(t, "samples: 3", "samples: 5")
	var notes []string
	start := func(trainer trial.Trainer) *Run {
		r, err := Start(t.Context(), Request{Dir: moved.dir, Data: moved.data, Host: "new", Trainer: trainer,
			Note: func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	// What trains here is another engine than where the first results come from: that is said, and kept.
	other := described{Description: engine.Description{Name: "fake", ISA: "AVX9"}}
	r = start(other)
	if err := r.Execute(t.Context(), inProcess{1, other}, nil); err != nil {
		t.Fatal(err)
	}
	r.Close()
	// The two studies name their spaces by other paths, and are the same but for that.
	names := strings.NewReplacer(filepath.Dir(there.file), "", filepath.Dir(s.file), "")
	if diff := cmp.Diff(names.Replace(want), names.Replace(moved.export(t))); diff != "" {
		t.Fatal(diff)
	}
	if said := strings.Join(notes, "\n"); !strings.Contains(said, "warning: ") || !strings.Contains(said, "(AVX9)") {
		t.Errorf("said %q; want a warning that names AVX9", said)
	}
	st, err := Open(t.Context(), moved.dir)
	if err != nil {
		t.Fatal(err)
	}
	p := st.Provenance()
	if !p.Differing || len(p.Makers) != 2 || p.Unknown != 0 || p.Data == "" {
		t.Fatalf("%+v", p)
	}
	for i, want := range []struct{ host, isa, data string }{{"old", "", s.data}, {"new", "AVX9", moved.data}} {
		if m := p.Makers[i]; m.Host != want.host || m.Engine.ISA != want.isa || m.Data != want.data || m.Trials == 0 ||
			m.System == "" || m.Cores < 1 || !strings.HasPrefix(m.Program, "netspace") {
			t.Errorf("%+v; want %+v", m, want)
		}
	}
	recorded := ""
	for _, s := range st.history.sessions {
		recorded += s.Differs
	}
	if !strings.Contains(recorded, "AVX9") {
		t.Errorf("the warning is not in the journals: %q", recorded)
	}
	// Other images are refused wherever they lie.
	writeOther := filepath.Join(base, "other")
	if err := os.CopyFS(writeOther, os.DirFS(moved.data)); err != nil {
		t.Fatal(err)
	}
	labels := filepath.Join(writeOther, "train-labels-idx1-ubyte")
	data, err := os.ReadFile(labels)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	write(t, labels, string(data))
	if _, err := Start(t.Context(), Request{Dir: moved.dir, Data: writeOther}); err == nil || !strings.Contains(err.Error(), "other ones") {
		t.Errorf("other images: %v", err)
	}
}

func TestSameNumbers(t *testing.T) {
	fast := engine.Description{Name: "fast", ISA: "AVX2", Library: "1.0"}
	for _, c := range []struct {
		a, b Maker
		want bool
	}{
		{Maker{Engine: fast, CPU: "x"}, Maker{Engine: fast, CPU: "x", Host: "other", Memory: 5, Program: "later"}, true},
		{Maker{Engine: fast, CPU: "x"}, Maker{Engine: fast, CPU: "y"}, false},
		{Maker{Engine: engine.Description{Name: "plain"}, CPU: "x"}, Maker{Engine: engine.Description{Name: "plain"}, CPU: "y"}, true},
		{Maker{System: "linux/amd64"}, Maker{System: "linux/arm64"}, false},
		{Maker{Engine: fast}, Maker{Engine: engine.Description{Name: "fast", ISA: "AVX2", Library: "2.0"}}, false},
		{Maker{Engine: fast}, Maker{Engine: engine.Description{Name: "fast", ISA: "AVX2", Library: "1.0", Kernels: 1}}, false},
	} {
		if got := c.a.sameNumbers(c.b); got != c.want {
			t.Errorf("%v and %v: %v", c.a, c.b, got)
		}
	}
}
