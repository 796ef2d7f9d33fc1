package study

import (
	"context"
	"testing"
	"time"

	"netspace/trial"
)

// Who looks at a study from outside sees who is at what, and that it gets on.
func TestView(t *testing.T) {
	s := newTinyStudy(t)
	r := s.on(t, hostName(), time.Hour)
	st, err := Open(t.Context(), s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if v := st.View(time.Now()); v.Trials == 0 || v.Done != 0 || len(v.Running) != 0 || v.Best != nil || v.SecondsLeft != nil {
		t.Fatalf("before anything is trained: %+v", v)
	}
	looks := 0
	err = r.Execute(t.Context(), inProcess{1, fake{wait: func(_ context.Context, task trial.Task, epoch int) {
		if epoch != 3 {
			return
		}
		if err := st.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
		v := st.View(time.Now())
		if len(v.Running) != 1 {
			t.Fatalf("%+v", v)
		}
		w := v.Running[0]
		since, err := time.Parse(time.RFC3339, w.Since)
		if w.ID != task.ID || w.Epoch != 2 || w.Epochs != 3 || w.ValError == nil || w.Attempt != 1 || w.Host != hostName() || err != nil || time.Since(since) > time.Hour {
			t.Errorf("%+v, %v", w, err)
		}
		if v.Done != looks || (v.Best != nil) != (looks > 0) {
			t.Errorf("after %d trials: %+v", looks, v)
		}
		looks++
	}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := st.View(time.Now()); v.Done != v.Trials || v.Done != looks || len(v.Running) != 0 || v.Best == nil {
		t.Errorf("in the end: %+v", v)
	}
}

func TestUnpack(t *testing.T) {
	want := time.Date(2026, 3, 1, 12, 34, 56, 789e6, time.UTC)
	line, err := encodeRecord(record{Time: want.Format("2006-01-02T15:04:05.000Z"), Lost: &lostRecord{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, at, _ := split(line[:len(line)-1]); !unpack(at).Equal(want) {
		t.Errorf("%v; want %v", unpack(at), want)
	}
}
