package study

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netspace/train"
	"netspace/trial"
)

// steps counts the training steps that are done.
type steps struct {
	trial.Trainer
	done *int
}

func (s steps) Train(ctx context.Context, t trial.Task, dir string, report func(train.Progress)) (train.Result, error) {
	b := s.Trainer.(trial.Builtin)
	b.OnStep = func(train.StepStats) error {
		*s.done++
		return nil
	}
	return b.Train(ctx, t, dir, report)
}

// A study that trains some networks for an epoch first, and goes on with them later, does no step twice and gives the results of one
// that trained them at once.
func TestShortTrainingsAreGoneOnWith(t *testing.T) {
	want := results(t)
	s := newTinyStudy(t)
	s.edit(t, "samples: 3\n", "decide: {between: [anynetx-a, regnetx]}\n")
	done := 0
	run := func(goal Goal) (events []Event) {
		t.Helper()
		r, err := Start(t.Context(), Request{File: s.file, Dir: s.dir, Engine: "reference", Goals: map[string]Goal{"anynetx-a": goal, "regnetx": goal}})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		x := testWorkers(1)
		x.trainer = steps{x.trainer, &done}
		if err := r.Execute(t.Context(), x, func(e Event) { events = append(events, e) }); err != nil {
			t.Fatal(err)
		}
		return events
	}
	const perEpoch = 96 / 16
	events := run(Goal{Drawn: 4, Full: 1, Short: 3, Epochs: 1})
	if count(events, TrialPaused) != 4 || count(events, TrialDone) != 2 || done != (2*3+4)*perEpoch {
		t.Fatalf("%d paused, %d done, %d steps", count(events, TrialPaused), count(events, TrialDone), done)
	}
	if n := len(s.trials(t)); n != 2 {
		t.Errorf("the populations have %d networks; only those that are trained wholly belong to them", n)
	}
	st, err := Open(t.Context(), s.dir)
	if err != nil {
		t.Fatal(err)
	}
	short, err := st.Drawn(t.Context(), "regnetx", 9)
	if err != nil || len(short) != 4 {
		t.Fatalf("%d networks drawn, %v", len(short), err)
	}
	for i, epochs := range []int{3, 1, 1, 0} {
		if len(short[i].Epochs) != epochs {
			t.Errorf("network %d has a curve of %d epochs, not %d", i, len(short[i].Epochs), epochs)
		}
	}
	if events = run(Goal{Drawn: 4, Full: 1, Short: 2, Epochs: 1}); len(events) > 0 {
		t.Errorf("a goal that is reached made %v", events)
	}
	// A folder that it is merged into knows as much, but for checkpoints.
	merged := newTinyStudy(t)
	merged.file = s.file
	if r, err := Start(t.Context(), Request{File: s.file, Dir: merged.dir, Engine: "reference", Goals: map[string]Goal{"regnetx": {Drawn: 1}}}); err != nil {
		t.Fatal(err)
	} else if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if m, err := Merge(t.Context(), merged.dir, s.dir); err != nil || m.Results != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	into, err := Open(t.Context(), merged.dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := into.Drawn(t.Context(), "regnetx", 9); err != nil || len(again) != 4 || len(again[1].Epochs) != 1 || len(merged.trials(t)) != 2 {
		t.Errorf("%d networks drawn after a merge, %v", len(again), err)
	}
	if m, err := Merge(t.Context(), merged.dir, s.dir); err != nil || m != (Merged{}) {
		t.Errorf("merged again: %+v, %v", m, err)
	}
	// Without the checkpoint of one of them, which costs its epoch again and nothing else.
	lost := short[1].ID
	if err := os.RemoveAll(filepath.Join(s.dir, checkpointDir, lost)); err != nil {
		t.Fatal(err)
	}
	run(Goal{Drawn: 4, Full: 3})
	if done != (6*3+1)*perEpoch {
		t.Errorf("%d steps in all, not %d", done, (6*3+1)*perEpoch)
	}
	if got := s.export(t); got != want {
		t.Errorf("the results are\n%s\nand not those of a study that was not interrupted\n%s", got, want)
	}
	left, err := os.ReadDir(filepath.Join(s.dir, checkpointDir))
	if err != nil || len(left) > 0 {
		t.Errorf("%d checkpoints are left, %v", len(left), err)
	}
}

// What a run is asked for it finds in the folder, as the runs of other machines do.
func TestGoalsAreRemembered(t *testing.T) {
	s := newTinyStudy(t)
	s.edit(t, "samples: 3\n", "samples: 1\n")
	goal := Goal{Drawn: 3, Full: 2, Short: 3, Epochs: 2}
	r, err := Start(t.Context(), Request{File: s.file, Dir: s.dir, Engine: "reference", Goals: map[string]Goal{"regnetx": goal}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	events := s.run(t, 2)
	if count(events, TrialDone) != 3 || count(events, TrialPaused) != 1 {
		t.Errorf("%d done, %d paused", count(events, TrialDone), count(events, TrialPaused))
	}
	for _, bad := range []Goal{{Drawn: 1, Full: 2}, {Drawn: 2, Full: 1, Short: 2}, {Drawn: -1}} {
		_, err := Start(t.Context(), Request{File: s.file, Dir: s.dir, Engine: "reference", Goals: map[string]Goal{"regnetx": bad}})
		var request *RequestError
		if !errors.As(err, &request) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	_, err = Start(t.Context(), Request{File: s.file, Dir: s.dir, Engine: "reference", Goals: map[string]Goal{"anynetx-e": goal}})
	if err == nil || !strings.Contains(err.Error(), "anynetx-a, regnetx") {
		t.Errorf("a goal for a space that the study has not: %v", err)
	}
}

func TestDecideOfAStudyFile(t *testing.T) {
	parse := func(decide string) (Config, error) {
		return ParseConfig([]byte("name: x\ndata: {name: fashion-mnist}\nrecipe: {epochs: 4}\nspaces: [anynetx-c, anynetx-d]\n"+decide), "study.yaml")
	}
	c, err := parse("decide: {between: [anynetx-c, anynetx-d], delta: 1, short_epochs: 2, max_samples: 60, batch: 8, emax: 30, power: 0.9, alpha: 0.01, futility: true}")
	want := Decide{Between: [2]string{"anynetx-c", "anynetx-d"}, Delta: 1, Alpha: 0.01, Power: 0.9, MaxSamples: 60, Batch: 8, EMax: 30, ShortEpochs: 2, Futility: true}
	if err != nil || *c.Decide != want || c.Samples != 0 {
		t.Errorf("%+v, %v", c.Decide, err)
	}
	c, err = parse("decide: {between: [anynetx-d, anynetx-c], short_epochs: 0}")
	want = Decide{Between: [2]string{"anynetx-d", "anynetx-c"}, Delta: 0.5, Alpha: 0.05, Power: 0.8, MaxSamples: 500, ShortEpochs: AllEpochs}
	if err != nil || *c.Decide != want {
		t.Errorf("%+v, %v", c.Decide, err)
	}
	for bad, rule := range map[string]string{
		"decide: {between: [anynetx-c]}":                               "must be two spaces",
		"decide: {between: [anynetx-c, anynetx-c]}":                    "must be two spaces",
		"decide: {between: [anynetx-c, regnetx]}":                      "anynetx-d",
		"decide: {delta: 1}":                                           "decide.between",
		"decide: {between: [anynetx-c, anynetx-d], delta: -1}":         "from 0 to 100",
		"decide: {between: [anynetx-c, anynetx-d], alpha: 0}":          "from 0.001 to 0.999",
		"decide: {between: [anynetx-c, anynetx-d], power: 1}":          "from 0.001 to 0.999",
		"decide: {between: [anynetx-c, anynetx-d], max_samples: 1}":    "from 2 to",
		"decide: {between: [anynetx-c, anynetx-d], short_epochs: 4}":   "below recipe.epochs, which is 4",
		"decide: {between: [anynetx-c, anynetx-d], short_epochs: few}": "must be auto",
		"decide: {between: [anynetx-c, anynetx-d], emax: 0}":           "above 0",
		"decide: {between: [anynetx-c, anynetx-d], deltas: 1}":         "delta",
		"": "samples",
		"spaces: [anynetx-c, anynetx-d, regnetx]\ndecide: {between: [anynetx-c, anynetx-d]}": "samples must say",
	} {
		text := bad
		if strings.HasPrefix(bad, "spaces") {
			_, err = ParseConfig([]byte("name: x\ndata: {name: fashion-mnist}\nrecipe: {epochs: 4}\n"+text), "study.yaml")
		} else {
			_, err = parse(text)
		}
		if err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
