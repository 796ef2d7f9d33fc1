package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"netspace/analysis"
	"netspace/arch"
	"netspace/design"
	"netspace/engine"
	"netspace/executor"
	"netspace/internal/tinydata"
	"netspace/stats"
	"netspace/study"
	"netspace/train"
	"netspace/trial"
)

// loopDelta is the margin of simulated loops: comparisons then take as many networks as those of real loops do, which regress on more that matters.
const loopDelta = 1.5 // percentage points

// loopStart is the space that simulated loops begin with. There is one width for all stages because the search for networks of quantised widths takes
// longer than everything else.
const loopStart = `name: start
family: anynet
network: {block: X, stages: 3, stem: {type: cifar, width: 4}}
parameters:
  depth: {uniform: 1..16, shared: true}
  width: {uniform: 64..1024, multiple: 64, shared: true}
  bottleneck: {power-of-two: 1..8}
  group_width: {power-of-two: 1..8}
`

// loopStudy is a study of such a loop, whose images are there for the sake of form. Errors are cut when they are drawn, and not by the loop, so that what is planted
// is what means differ by.
const loopStudy = `name: loop
data: {name: %s, train: 80, validation: 20}
network: {stem: {type: cifar, width: 4}, stages: 3}
recipe: {epochs: 1, batch: 8}
seed: %d
design: {start: %s, networks: 30, delta: %g, alpha: %g, max_samples: 60, emax: 100, failures: %d, budget: {trainings: %d}}
`

// plant is a rule of which it is known what it does.
type plant struct {
	label string  // what design calls it begins so
	worse float64 // by how much it makes the mean of the start space worse, points
	share float64 // of the networks of the start space that satisfy it
	holds func([]arch.Stage) bool
}

func oneBottleneck(worse float64) plant {
	return plant{"one bottleneck for all stages", worse, 1.0 / 16, equal(func(s arch.Stage) float64 { return cmp.Or(s.Bottleneck, 1) })}
}

func oneGroupWidth(worse float64) plant {
	return plant{"one group width for all stages", worse, 1.0 / 16, equal(func(s arch.Stage) float64 { return float64(s.GroupWidth) })}
}

func wideGroups(worse float64) plant {
	return plant{"group width of stage 3 in", worse, 1.0 / 2, func(s []arch.Stage) bool { return s[2].GroupWidth >= 4 }}
}

func equal(of func(arch.Stage) float64) func([]arch.Stage) bool {
	return func(s []arch.Stage) bool {
		return !slices.ContainsFunc(s, func(t arch.Stage) bool { return of(t) != of(s[0]) })
	}
}

// planted is a trainer of networks whose worth is known: each has the error of a real network, drawn by its seed, so that nothing in it matters but what
// is planted.
type planted struct {
	errs   []float64
	plants []plant
}

func (p planted) Describe(trial.Task) (engine.Description, error) {
	return engine.Description{Name: "planted"}, nil
}

func (p planted) Train(_ context.Context, t trial.Task, _ string, _ func(train.Progress)) (res train.Result, err error) {
	res.Error = p.errs[rand.New(rand.NewPCG(t.Seed, 2)).IntN(len(p.errs))] + p.effect(t.Spec)
	res.Epochs = []train.EpochStats{{Epoch: 1, TrainLoss: res.Error / 30, TrainError: res.Error, Evaluated: true, ValLoss: res.Error / 30, ValError: res.Error}}
	return res, nil
}

// effect is by how much the error of a network is larger than if nothing were planted.
func (p planted) effect(spec arch.Spec) (sum float64) {
	net, _ := spec.AnyNet()
	for _, q := range p.plants {
		if q.holds(net.Stages) {
			sum += q.worse / (1 - q.share)
		}
	}
	return sum
}

// looped is what a loop came to.
type looped struct {
	tried, kept int     // rules
	bad, wrong  int     // those that are worse by the margin
	found       int     // kept rules that are planted and make the space better
	trainings   int     // in all
	gain        float64 // by how much the mean of the space that was found is better than that of the start, points
}

// What a rule does is known from so many networks of the two spaces, to some hundredths of a point, so that nearly the margin counts as the margin.
const (
	truthNetworks = 2000
	nearly        = 0.95
)

// loop runs a design loop, by the code that netspace design calls.
func (p planted) loop(ctx context.Context, images string, c loopCase, seed uint64) (l looped, err error) {
	dir, err := os.MkdirTemp("", "netspace-loop")
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	start, out := filepath.Join(dir, "start.yaml"), filepath.Join(dir, "out")
	if err := os.WriteFile(start, []byte(loopStart), 0o644); err != nil {
		return l, err
	}
	ladder, err := design.Loop(ctx, study.Request{
		File: "loop", Text: fmt.Appendf(nil, loopStudy, images, seed, start, loopDelta, c.alpha, c.failures, c.budget), Dir: out, Trainer: p,
	}, design.LoopOptions{
		Train: func(ctx context.Context, run *study.Run) error {
			return run.Execute(ctx, executor.Goroutines{Workers: 1, Trainer: p}, nil)
		},
	})
	if err != nil {
		return l, err
	}
	folder, err := study.Open(ctx, out)
	if err != nil {
		return l, err
	}
	truth := map[string]float64{}
	for _, name := range append(ladder.Spaces(), spacesTried(ladder)...) {
		networks, err := folder.Sample(ctx, name, truthNetworks)
		if err != nil {
			return l, err
		}
		truth[name] = 0
		for _, n := range networks {
			truth[name] += p.effect(n.Spec) / float64(len(networks))
		}
	}
	for _, r := range ladder.Rungs {
		l.count(r, truth[r.Space]-truth[r.Base] >= nearly*loopDelta, p.plants)
	}
	l.gain = truth[ladder.Start] - truth[ladder.Found]
	return l, folder.Each(ctx, func(t study.Trial) error {
		if t.State == study.Done {
			l.trainings++
		}
		return nil
	})
}

// spacesTried are those of rules that were dropped.
func spacesTried(l analysis.Ladder) (names []string) {
	for _, r := range l.Rungs {
		if !r.Accepted {
			names = append(names, r.Space)
		}
	}
	return names
}

// count takes note of a rule that was tried; bad: it makes the space worse by the margin.
func (l *looped) count(r analysis.Rung, bad bool, plants []plant) {
	l.tried++
	if bad {
		l.bad++
	}
	if !r.Accepted {
		return
	}
	l.kept++
	if bad {
		l.wrong++
	}
	if slices.ContainsFunc(plants, func(q plant) bool { return q.worse < 0 && strings.HasPrefix(r.Label, q.label) }) {
		l.found++
	}
}

// loopCase is a row of the table.
type loopCase struct {
	name             string
	plants           []plant
	alpha            float64
	failures, budget int
}

// loopCases plant as many rules that are worse by just the margin as may fail, or one beside two that make the space better. All other rules do next to nothing.
func loopCases() []loopCase {
	bad := []plant{oneBottleneck(loopDelta), oneGroupWidth(loopDelta)}
	mixed := []plant{oneBottleneck(-2 * loopDelta), wideGroups(-loopDelta), oneGroupWidth(loopDelta)}
	return []loopCase{
		{"two bad rules", bad, 0.05, 2, 400},
		{"two bad rules", bad, 0.2, 2, 400},
		{"two good rules, a bad one", mixed, 0.05, 3, 400},
		{"two good rules, a bad one", mixed, 0.05, 3, 150},
		{"two good rules, a bad one", mixed, 0.2, 3, 400},
	}
}

// loops is the table of what netspace design comes to.
func (s simulation) loops(ctx context.Context, w io.Writer) error {
	trained, err := real()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "netspace-loops")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	images := filepath.Join(dir, "images")
	if err := tinydata.WriteFiles(images, 120); err != nil {
		return err
	}
	errs, err := cut(trained["anynetx-a"].errors())
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "**Design.** δ = %g, a power of 80 %%, 30 networks to choose rules from, up to 60 of each space in a comparison; %d loops for each row of two bad rules, half as many for the others. *Bad* rules are worse by δ, *good* ones better by 2 δ and by δ; of what else is tried nearly all does nothing. "+
		"*Wrong*: loops that keep any rule that is worse by δ, which is to happen in at most α of them; ± are two standard deviations of the simulation. *Bad rules kept*: of those that were tried, which is to be at most α over the rules that may fail.\n\n", loopDelta, s.runs)
	fmt.Fprintln(w, "| planted | α % | may fail | trainings at most | wrong % | bad rules kept % | α / may fail % | good rules found % | rules tried | kept | trainings | better than the start, points |")
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, c := range loopCases() {
		t := map[string]float64{}
		good := 0
		for _, q := range c.plants {
			if q.worse < 0 {
				good++
			}
		}
		few := s
		if good > 0 { // these take longer, and err less
			few.runs = (s.runs + 1) / 2
		}
		all, err := few.looped(ctx, planted{errs, c.plants}, images, c)
		if err != nil {
			return err
		}
		for _, l := range all {
			if l.wrong > 0 {
				t["any"]++
			}
			t["wrong"] += float64(l.wrong)
			t["bad"] += float64(l.bad)
			t["found"] += float64(l.found)
			t["tried"] += float64(l.tried)
			t["kept"] += float64(l.kept)
			t["trainings"] += float64(l.trainings)
			t["gain"] += l.gain
		}
		found := "–"
		if good > 0 {
			found = fmt.Sprintf("%.0f", 100*t["found"]/float64(good*few.runs))
		}
		n := float64(few.runs)
		fmt.Fprintf(w, "| %s | %g | %d | %d | %s | %s | %.1f | %s | %.1f | %.1f | %.0f | %.2f |\n", c.name, 100*c.alpha, c.failures, c.budget, share(t["any"], n), share(t["wrong"], t["bad"]),
			100*c.alpha/float64(c.failures), found, t["tried"]/n, t["kept"]/n, t["trainings"]/n, t["gain"]/n)
	}
	fmt.Fprintln(w)
	return nil
}

// looped runs loops.
func (s simulation) looped(ctx context.Context, p planted, images string, c loopCase) ([]looped, error) {
	all := make([]looped, s.runs)
	return all, s.each(ctx, func(run int, rng *rand.Rand) (err error) {
		all[run], err = p.loop(ctx, images, c, rng.Uint64()>>12)
		return err
	})
}

// share is a share in percent with two standard deviations; of nothing it is not known.
func share(some, of float64) string {
	if of == 0 {
		return "–"
	}
	p := some / of
	return fmt.Sprintf("%.1f ± %.1f", 100*p, 200*math.Sqrt(p*(1-p)/of))
}

// cut gives errors with those above their third quartile cut there, as areas and decisions see them.
func cut(errs []float64) (x []float64, err error) {
	emax, err := stats.DefaultEMax(errs)
	for _, e := range errs {
		x = append(x, math.Min(e, emax))
	}
	return x, err
}
