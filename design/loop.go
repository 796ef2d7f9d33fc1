package design

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"netspace/analysis"
	"netspace/internal/atomicfile"
	"netspace/space"
	"netspace/stats"
	"netspace/study"
)

// LoopOptions say how a design loop trains, and who is told of it.
type LoopOptions struct {
	// Train trains what a run has started: one batch.
	Train func(ctx context.Context, run *study.Run) error
	// Look is told of every look of a comparison; nil: nobody.
	Look func(Look)
	// Tell is told of what the loop does; nil: nobody.
	Tell func(format string, args ...any)
	// Decided is told of every rule that was tried, when it is kept or dropped, from the first, also when the loop is run again; nil: nobody.
	Decided func(analysis.Rung)
}

// errBudget ends a training whose loop has spent its budget.
var errBudget = errors.New("the budget of the design loop is spent")

// logName is the file of a loop's log in its folder.
const logName = analysis.LadderFile

// Loop designs a space: it trains networks of the start space, chooses the rule that they support best, compares fresh networks of the space with that rule
// with the space as it is until that is decided, keeps the rule if the simpler space is better or not worse by the margin, and goes on until no rule passes
// or the budget is spent. What it came to is returned, and stands in the folder as design.json, which is written after every decision.
//
// All decisions follow from the networks in the folder and the study file. A loop that was killed, at whatever instant, comes to the same ones
// when it is run again, and trains nothing twice; with a larger budget it goes on. An error of what was asked for is a *study.RequestError.
func Loop(ctx context.Context, req study.Request, o LoopOptions) (analysis.Ladder, error) {
	if o.Tell == nil {
		o.Tell = func(string, ...any) {}
	}
	config, dir, err := req.Read()
	if err != nil {
		return analysis.Ladder{}, err
	}
	d := config.Design
	if d == nil {
		return analysis.Ladder{}, &study.RequestError{Err: errors.New("which space is refined? The study file has no block design")}
	}
	l := loop{LoopOptions: o, req: req, dir: dir, question: *d, began: time.Now(), used: map[string]int{},
		ladder: analysis.Ladder{Name: config.Name, Start: d.Start, Found: d.Start, Delta: d.Delta, Alpha: d.Alpha, Rungs: []analysis.Rung{}}}
	if old, err := analysis.ReadLadder(dir); err == nil {
		l.before = time.Duration(old.Seconds * float64(time.Second))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return l.ladder, err
	}
	err = l.run(ctx)
	if errors.Is(err, errBudget) {
		l.ladder.Why, err = analysis.OutOfBudget, nil
	}
	if saved := l.save(); err == nil {
		err = saved
	}
	return l.ladder, err
}

// loop is a design loop at work.
type loop struct {
	LoopOptions
	req      study.Request
	dir      string
	question study.Design
	began    time.Time
	before   time.Duration // spent by earlier runs
	start    string        // name that the start space has in itself
	ladder   analysis.Ladder
	used     map[string]int // networks of a space that rules are chosen from
}

func (l *loop) run(ctx context.Context) error {
	q := l.question
	failed := map[string]string{} // rules, and the spaces on which they did
	failures := 0
	current, err := space.Load(q.Start)
	if err != nil {
		return &study.RequestError{Err: fmt.Errorf("design.start: %w", err)}
	}
	l.start = current.Name
	name := q.Start
	for {
		l.used[name] = max(l.used[name], q.Networks)
		if err := l.train(ctx, name, l.used[name]); err != nil {
			return err
		}
		chosen, err := l.choose(ctx, name, current, failed)
		if err != nil {
			return err
		}
		if len(l.ladder.Rungs) == 0 {
			l.ladder.Log10 = chosen.size
		}
		if chosen.candidate == nil {
			l.ladder.Why = analysis.NoRule
			return nil
		}
		next, rung := chosen.candidate, chosen.rung
		rung.Alpha = q.Alpha / float64(q.Failures)
		l.Tell("%d. %s: %s", rung.Number, name, rung.Label)
		l.req.Spaces = append(l.req.Spaces, next)
		decision, err := Decide(ctx, l.req, Options{
			Decide: &study.Decide{Between: [2]string{name, next.Name}, Delta: q.Delta, Alpha: rung.Alpha, Power: q.Power,
				MaxSamples: q.MaxSamples, EMax: q.EMax, ShortEpochs: q.ShortEpochs, Futility: true},
			Train: l.within, Look: l.Look,
		})
		if few := new(space.TooFewError); errors.As(err, &few) { // no comparison that it could lose: nothing has failed
			reason, _, _ := strings.Cut(few.Error(), "\n")
			l.Tell("   left out: %s", reason)
			failed[rung.Rule] = name
			l.req.Spaces = l.req.Spaces[:len(l.req.Spaces)-1]
			continue
		}
		if err != nil {
			return err
		}
		if err := l.note(&rung, decision); err != nil {
			return err
		}
		last := decision.Looks[len(decision.Looks)-1]
		l.used[name] = max(l.used[name], last.Full)
		l.used[next.Name] = last.Full
		if rung.Accepted {
			l.Tell("   kept: %s", decision.Text())
			name, current = next.Name, next
			l.ladder.Found = name
		} else {
			l.Tell("   dropped: %s", decision.Text())
			failed[rung.Rule] = name
			failures++
		}
		l.ladder.Rungs = append(l.ladder.Rungs, rung)
		if l.Decided != nil {
			l.Decided(rung)
		}
		if err := l.save(); err != nil {
			return err
		}
		if failures == q.Failures {
			l.ladder.Why = analysis.Exhausted
			return nil
		}
	}
}

// note writes a decision into a rung. A finding that B is not worse, or better, keeps a rule.
func (l *loop) note(rung *analysis.Rung, d Decision) error {
	rung.Accepted = d.Finding == stats.BetterB || d.Finding == stats.NotWorseB
	rung.Finding, rung.Cost, rung.Text = string(d.Finding), d.Cost, d.Text()
	last := d.Looks[len(d.Looks)-1]
	rung.Full, rung.Short, rung.Looks = last.Full, last.Short, len(d.Looks)
	rung.Difference, rung.Lo, rung.Hi, rung.AtMost, rung.EMax = last.Difference, last.Lo, last.Hi, last.AtMost, d.EMax
	var err error
	rung.Decision, err = json.Marshal(d)
	return err
}

// train sees to it that so many networks of a space are trained.
func (l *loop) train(ctx context.Context, name string, networks int) error {
	if there, err := l.there(ctx, name, networks); there || err != nil {
		return err
	}
	req := l.req
	req.Goals = map[string]study.Goal{name: {Drawn: networks, Full: networks}}
	run, err := study.Start(ctx, req)
	if err != nil {
		return err
	}
	err = l.within(ctx, run)
	return errors.Join(err, run.Close())
}

// there tells whether so many networks of a space are trained already. Then nothing is started, which would begin with what an
// interrupted comparison has left, and might find the budget spent before the decisions that were made within it.
func (l *loop) there(ctx context.Context, name string, networks int) (bool, error) {
	s, err := study.Open(ctx, l.dir)
	if errors.Is(err, study.ErrNoStudy) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	trials, err := s.Drawn(ctx, name, networks)
	ended := func(t study.Trial) bool { return t.State == study.Done || t.State == study.Failed }
	return len(trials) == networks && !slices.ContainsFunc(trials, func(t study.Trial) bool { return !ended(t) }), err
}

// within trains a batch as far as the budget goes.
func (l *loop) within(ctx context.Context, run *study.Run) error {
	if run.Pending() == 0 {
		return nil
	}
	if most := l.question.Trainings; most > 0 && run.Totals().Trials > most {
		return errBudget
	}
	if l.question.Hours > 0 {
		left := l.question.Hours - l.spent()
		if left <= 0 {
			return errBudget
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, left, errBudget)
		defer cancel()
	}
	err := l.Train(ctx, run)
	if err != nil && errors.Is(context.Cause(ctx), errBudget) {
		return errBudget
	}
	return errors.Join(err, l.save())
}

func (l *loop) spent() time.Duration { return l.before + time.Since(l.began) }

// save writes the log.
func (l *loop) save() error {
	l.ladder.Seconds = l.spent().Seconds()
	return saveLog(l.dir, logName, l.ladder)
}

// saveLog writes a log into the folder of its study, once there is one.
func saveLog(dir, name string, log any) error {
	text, err := json.MarshalIndent(log, "", "  ")
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil // nothing has begun
	}
	return atomicfile.WriteFile(filepath.Join(dir, name), append(text, '\n'), 0o644)
}

// choice is the next rule.
type choice struct {
	size      float64      // log10 of the space as it is
	candidate *space.Space // nil: there is no rule left
	rung      analysis.Rung
}

// choose proposes rules from the networks of a space that were trained so far, and takes the best one that is not out.
func (l *loop) choose(ctx context.Context, name string, current *space.Space, failed map[string]string) (c choice, err error) {
	source, err := analysis.Load(ctx, l.dir)
	if err != nil {
		return c, err
	}
	// As many as were asked for, whatever more there is: the choice must be the same when the loop is run again.
	at := slices.IndexFunc(source.Populations, func(p study.Population) bool { return p.Space == name })
	if at < 0 {
		return c, fmt.Errorf("%s: no networks of %s", l.dir, name)
	}
	p := source.Populations[at]
	p.Trials = p.Trials[:min(l.used[name], len(p.Trials))]
	source.Populations = []study.Population{p}
	q := l.question
	l.Tell("choosing a rule from %d networks of %s", len(p.Trials), name)
	r, err := analysis.Refine(ctx, source, name, analysis.RefineOptions{EMax: q.EMax, Delta: q.Delta, Alpha: q.Alpha / float64(q.Failures), Power: q.Power,
		Rules: q.Rules, Space: current, Seed: source.Protocol.Seed})
	if err != nil {
		return c, err
	}
	c.size = r.Size.Log10.Value
	i := best(r, func(c analysis.Candidate) bool { return out(c, name, failed, q.Retry) }, q.Delta)
	if i < 0 {
		return c, nil
	}
	chosen := r.Candidates[i]
	// Named by the rule that is new: with all of them, names would grow beyond what a file system takes.
	number := len(l.ladder.Rungs) + 1
	chosen.Space, err = chosen.Space.With(space.Named(nameOf(l.start, number, strings.TrimPrefix(chosen.Space.Name, current.Name+"-"))))
	if err != nil {
		return c, err
	}
	text, err := chosen.Space.MarshalYAML()
	if err != nil {
		return c, err
	}
	path := filepath.Join("spaces", chosen.Space.Name+".yaml")
	if err := os.MkdirAll(filepath.Join(l.dir, "spaces"), 0o755); err != nil {
		return c, err
	}
	if err := atomicfile.WriteFile(filepath.Join(l.dir, path), text, 0o644); err != nil {
		return c, err
	}
	if c.candidate, err = space.ParseFiles([]space.File{{Path: filepath.Base(path), Text: string(text)}}); err != nil {
		return c, err
	}
	gain, known := expected(chosen)
	c.rung = analysis.Rung{Number: number, Base: name, Space: chosen.Space.Name, File: path, Rule: ruleOf(chosen), Label: chosen.Label,
		Standing: chosen.Standing, Networks: r.N, Before: chosen.Log10.Before.Value, After: chosen.Log10.After.Value}
	if known {
		c.rung.Expected = &gain
	}
	return c, nil
}

// out says whether a rule is not to be tried on a space because it failed. A loop that tries such rules again does so on another space alone, and if its networks support
// the rule: else rules of which nothing is known would use up the failures that the loop has.
func out(c analysis.Candidate, name string, failed map[string]string, retry bool) bool {
	on, did := failed[ruleOf(c)]
	supported := c.Standing == analysis.Better || c.Standing == analysis.NotWorse
	return did && !(retry && on != name && supported)
}

// nameOf names the space of a rule.
func nameOf(start string, number int, rule string) string {
	const longest = 48
	return strings.TrimRight(fmt.Sprintf("%s-%d-%s", start, number, rule[:min(len(rule), longest)]), "-.")
}

// ruleOf names a rule, whatever space it is a rule of.
func ruleOf(c analysis.Candidate) string { return cmp.Or(c.Family, c.Label) }

// expected is the gain that the population promises of a rule, in points of area; known is false if it says nothing.
func expected(c analysis.Candidate) (gain float64, known bool) {
	if c.Supported || c.Model != nil {
		return c.Area.Value, !math.IsNaN(c.Area.Value)
	}
	return 0, false
}

// best is the place of the rule to try: one whose networks are better, or not worse, in the order of the refinement; or else the rule that makes the space smallest among
// those of which the population knows too little, but does not promise a loss beyond the margin. Rules that make the space no smaller are no refinement, and some are left
// out. It is −1 if there is none.
func best(r analysis.Refinement, out func(analysis.Candidate) bool, delta float64) int {
	place, largest := -1, 0.0
	for i, c := range r.Candidates {
		shrink := c.Log10.Value()
		if out(c) || !(shrink > 0) || math.IsInf(shrink, 1) {
			continue
		}
		switch c.Standing {
		case analysis.Better, analysis.NotWorse:
			return i // they come first
		case analysis.Worse:
			continue
		}
		if gain, known := expected(c); shrink > largest && !(known && gain < -delta) {
			place, largest = i, shrink
		}
	}
	return place
}
