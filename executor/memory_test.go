package executor_test

import (
	"strings"
	"testing"

	"netspace/executor"
	"netspace/study"
	"netspace/trial"
)

// A network that would take more memory than a worker may is refused before its first step, with the number, and is a
// result like any other.
func TestRefusedForMemory(t *testing.T) {
	s := newTinyStudy(t)
	s.add(t, "trial_memory: 1MB")
	r := s.start(t)
	defer r.Close()
	failed := 0
	err := r.Execute(t.Context(), executor.Local{Workers: 2}, func(e study.Event) {
		switch e.Kind {
		case study.TrialFailed:
			failed++
			if e.Cause != trial.OutOfMemory || !strings.Contains(e.Reason, "MiB, more than the 977 KiB that it may") {
				t.Errorf("failed of %s: %s", e.Cause, e.Reason)
			}
		case study.TrialProgress, study.TrialLost:
			t.Errorf("%s of a network that does not fit: %s", e.Kind, e.Reason)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if failed != r.Totals().Trials {
		t.Errorf("%d of %d networks failed", failed, r.Totals().Trials)
	}
}
