package study

import (
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// A worker that dies in the millisecond in which it began has lost the attempt after it began it, whichever journal was read first.
func TestHeardInOrder(t *testing.T) {
	start := func(at int64, attempt int) heard {
		return heard{at: at, attempt: attempt, record: record{Start: &startRecord{Attempt: attempt}}}
	}
	epoch := func(at int64, attempt int) heard {
		return heard{at: at, attempt: attempt, record: record{Epoch: &epochRecord{}}}
	}
	lost := func(at int64, attempt int) heard {
		return heard{at: at, attempt: attempt, record: record{Lost: &lostRecord{Attempt: attempt}}}
	}
	want := []heard{start(1, 1), lost(2, 1), start(2, 2), epoch(2, 2), lost(2, 2), start(3, 3)}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		got := slices.Clone(want)
		r.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		slices.SortStableFunc(got, inOrder)
		for i := range got {
			if got[i].at != want[i].at || got[i].attempt != want[i].attempt || (got[i].record.Start == nil) != (want[i].record.Start == nil) || (got[i].record.Lost == nil) != (want[i].record.Lost == nil) {
				t.Fatalf("number %d is %+v", i, got[i])
			}
		}
	}
}

// leaders asks all runs at one time whether they lead.
func leaders(t *testing.T, dir string, runs []*Run) []*Run {
	t.Helper()
	leads := make([]bool, len(runs))
	var all sync.WaitGroup
	for i, r := range runs {
		all.Go(func() {
			var err error
			if leads[i], _, err = r.Leads(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	var found []*Run
	for i, r := range runs {
		if leads[i] {
			found = append(found, r)
		}
	}
	return found
}

func TestOneRunLeads(t *testing.T) {
	s := newTinyStudy(t)
	var runs []*Run
	for _, host := range []string{"a", "b", "b", "c", "d"} { // two of them on one machine
		runs = append(runs, s.on(t, host, time.Hour))
	}
	dir := t.TempDir()
	for len(runs) > 0 {
		first := leaders(t, dir, runs)
		if len(first) != 1 {
			t.Fatalf("of %d runs %d lead", len(runs), len(first))
		}
		if again := leaders(t, dir, runs); !slices.Equal(again, first) {
			t.Fatalf("%d other runs lead", len(again))
		}
		if err := first[0].Close(); err != nil { // and another one is next
			t.Fatal(err)
		}
		runs = slices.DeleteFunc(runs, func(r *Run) bool { return r == first[0] })
	}
}

// A leader that gives no sign of life loses its place, and knows it when it is back.
func TestLeaderIsTakenForDead(t *testing.T) {
	s := newTinyStudy(t)
	dir := t.TempDir()
	const lease = 300 * time.Millisecond
	old, other := s.on(t, "a", lease), s.on(t, "b", time.Hour)
	if l := leaders(t, dir, []*Run{old}); len(l) != 1 {
		t.Fatal("the only run does not lead")
	}
	for began := time.Now(); len(leaders(t, dir, []*Run{other})) == 0; time.Sleep(lease / 10) {
		if time.Since(began) > time.Minute {
			t.Fatal("nobody leads in the place of a run that is not heard of")
		}
	}
	if leads, _, err := old.Leads(t.Context(), dir); leads || err != nil {
		t.Fatalf("two runs lead, %v", err)
	}
}

// The file of a turn that says nothing, as a file system without links may leave it, is somebody's for as long as a lease lasts.
func TestTurnOfNobody(t *testing.T) {
	s := newTinyStudy(t)
	dir := t.TempDir()
	file := turnFile(dir, 7)
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r := s.on(t, "a", time.Hour)
	if leads, host, err := r.Leads(t.Context(), dir); leads || host != "" || err != nil {
		t.Fatalf("%v, on %q, %v", leads, host, err)
	}
	before := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(file, before, before); err != nil {
		t.Fatal(err)
	}
	if leads, _, err := r.Leads(t.Context(), dir); !leads || err != nil {
		t.Fatalf("%v, %v", leads, err)
	}
}
