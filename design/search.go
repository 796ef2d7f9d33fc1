package design

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"netspace/analysis"
	"netspace/arch"
	"netspace/dataset"
	"netspace/engine"
	"netspace/internal/atomicfile"
	"netspace/latency"
	"netspace/metric"
	"netspace/stats"
	"netspace/study"
	"netspace/train"
	"netspace/trial"
	"netspace/weights"
)

// SearchOptions say how a search trains, and who is told of it.
type SearchOptions struct {
	// Train trains what a run has started.
	Train func(ctx context.Context, run *study.Run) error
	// Trainer trains the winner in this process: for the estimate of its error, and in the end.
	Trainer trial.Trainer
	// Engine measures the estimate.
	Engine func() (engine.Engine, error)
	// Meter measures latencies, by a program if one is named; device says where. Nil where no budget asks for it.
	Meter func(command []string) (m latency.Meter, device string, err error)
	// Tell is told of what the search does; nil: nobody.
	Tell func(format string, args ...any)
	// Round is told of every round when it is over, from the first, also when the search is run again; nil: nobody.
	Round func(analysis.SearchRun)
	// Progress is told how a training in this process goes; nil: nobody.
	Progress func(train.Progress)
	// Now tells the time that budgets of hours are spent by; nil: the clock.
	Now func() time.Time
}

// Folders of a search in its study folder.
const (
	winnerDir   = "winner"   // what the final training leaves
	estimateDir = "estimate" // the training by which the error of the winner is estimated
	winnerSpec  = "winner.yaml"
)

// Search looks for the best network of a space within budgets: it draws networks that keep them, trains these by a schedule that has the better ones trained longer,
// trains the best few again with fresh seeds, chooses one and says how sure it is that it is the best of those tried, estimates its error by images that
// nothing was chosen by, and trains it on all training images. The test images are read once, at the end of that. What it came to is returned, and stands
// in the folder as search.json, which is written after every decision.
//
// Which networks go on follows from the results in the folder alone, and with a budget of trainings so does how many: a search that was killed, at whatever
// instant, comes to the same decisions when it is run again, and trains nothing twice. A budget of hours decides how many begin and go on
// by the clock; that is in search.json, and holds. With a larger budget the search goes on. An error of what was asked for is a *study.RequestError.
func Search(ctx context.Context, req study.Request, o SearchOptions) (analysis.SearchLog, error) {
	if o.Tell == nil {
		o.Tell = func(string, ...any) {}
	}
	if o.Round == nil {
		o.Round = func(analysis.SearchRun) {}
	}
	if o.Progress == nil {
		o.Progress = func(train.Progress) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	config, dir, err := req.Read()
	if err != nil {
		return analysis.SearchLog{}, err
	}
	if config.Search == nil {
		return analysis.SearchLog{}, &study.RequestError{Err: errors.New("which space is searched? The study file has no block search")}
	}
	if req.Data != "" {
		config.Data.Name = req.Data
	}
	s := search{SearchOptions: o, req: req, dir: dir, config: config, question: *config.Search, began: o.Now(), schedule: newSchedule(*config.Search, config.Recipe.Epochs)}
	if s.before, err = readLog(dir); err != nil {
		return s.log, err
	}
	s.log = s.begin()
	if err := s.measuring(); err != nil {
		return s.log, err
	}
	err = s.run(ctx)
	if saved := s.save(); err == nil {
		err = saved
	}
	return s.log, err
}

// readLog reads the log of a search; a zero one if there is none.
func readLog(dir string) (analysis.SearchLog, error) {
	l, err := analysis.ReadSearchLog(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return l, err
}

// search is a search at work.
type search struct {
	SearchOptions
	schedule
	req      study.Request
	dir      string
	config   study.Config
	question study.Search
	began    time.Time
	before   analysis.SearchLog // of earlier runs
	log      analysis.SearchLog
	times    *latencies // nil: no budget asks for them
	input    arch.Input // that networks are for
	kept     []bool     // of the first networks, whether they keep all bounds
	images   int        // of the trainings of a round
	all      int        // of the final training
	pace     float64    // see clock.go; 0: not measured yet
}

func (s *search) begin() analysis.SearchLog {
	q := s.question
	l := analysis.SearchLog{Name: s.config.Name, Space: q.Space, Schedule: q.Schedule, Seed: s.config.Seed, Trainings: q.Trainings, Hours: q.Hours.Hours(),
		Bounds: analysis.BoundsOf(s.config.Regime.Bounds), Rungs: []analysis.SearchRun{}, Finalists: []analysis.Finalist{}, Fronts: []analysis.Front{}, Final: s.before.Final, Earlier: s.before.Earlier,
		Begun: s.before.Begun, Sizes: s.before.Sizes}
	if l.Hours != s.before.Hours || l.Trainings != s.before.Trainings {
		l.Sizes = nil // another budget
	}
	for _, b := range []struct {
		name string
		r    metric.Range
	}{{"memory", q.Memory}, {"weights_size", q.WeightsSize}} {
		if !b.r.IsZero() {
			l.Bounds = append(l.Bounds, analysis.SearchBound{Metric: b.name, Unit: "bytes", Range: b.r.String()})
		}
	}
	return l
}

// measuring prepares to measure latencies, and goes on from those that were.
func (s *search) measuring() error {
	q := s.question
	if q.Latency.IsZero() {
		return nil
	}
	meter, device, err := s.Meter(q.LatencyCommand)
	if err != nil {
		return &study.RequestError{Err: err}
	}
	log := &analysis.Latencies{Measured: map[int]float64{}, Modelled: map[int]bool{}}
	if s.before.Latency != nil {
		log = s.before.Latency
	}
	log.Device = device
	s.log.Latency = log
	bound := analysis.SearchBound{Metric: "latency", Unit: "milliseconds", Range: q.Latency.String()}
	if !slices.Contains(s.before.Bounds, bound) {
		clear(log.Modelled) // which were about another one
	}
	s.log.Bounds = append(s.log.Bounds, bound)
	s.times = &latencies{within: q.Latency, meter: meter, log: log, save: s.save, task: func(t study.Trial) (latency.Task, error) {
		g, err := t.Spec.Graph(s.input)
		return latency.Task{Graph: g, Batch: 1, Threads: 1}, err
	}}
	return nil
}

func (s *search) run(ctx context.Context) error {
	if err := s.checkImages(ctx); err != nil {
		return err
	}
	networks, err := s.first(ctx)
	if err != nil {
		return err
	}
	tried := networks
	for round, epochs := range s.epochs {
		if round > 0 {
			rank(networks, s.epochs[round-1], s.whole())
			n, err := s.size(round, networks)
			if err != nil {
				return err
			}
			study.DropCheckpoints(s.dir, networks[n:]) // with a larger budget some may go on yet, from their beginning
			if networks, err = s.trained(ctx, networks[:n], epochs, 0); err != nil {
				return err
			}
		}
		s.round(round, networks)
		if err := s.save(); err != nil {
			return err
		}
	}
	rank(networks, s.whole(), s.whole())
	alive := slices.DeleteFunc(slices.Clone(networks), func(t study.Trial) bool { return t.State != study.Done })
	if len(alive) == 0 {
		return fmt.Errorf("all networks failed; netspace study status %s says why", s.dir)
	}
	if alive, err = s.measured(ctx, alive); err != nil {
		return err
	}
	finalists := alive[:min(s.finalists, len(alive))]
	if _, err = s.trained(ctx, finalists, s.whole(), s.reruns); err != nil {
		return err
	}
	s.log.Cost += float64(len(finalists) * s.reruns)
	winner, err := s.choose(ctx, tried)
	if err != nil {
		return err
	}
	if err := s.save(); err != nil {
		return err
	}
	if err := s.estimate(ctx, winner); err != nil {
		return err
	}
	return s.final(ctx, winner)
}

// checkImages sees to it that there are images for the estimate, before anything is trained.
func (s *search) checkImages(ctx context.Context) error {
	data, err := s.config.Data.Open(ctx, false)
	if err != nil {
		return &study.RequestError{Err: err}
	}
	s.input = trial.InputOf(data.Info).Arch()
	s.images = data.Train.Len()
	tests := data.TestImages
	if err := data.Close(); err != nil {
		return err
	}
	if tests == 0 {
		return &study.RequestError{Err: fmt.Errorf("data set %s has no test images, by which the last training is judged", s.config.Data.Name)}
	}
	all := s.config.Data
	all.Train, all.Validation = 0, -1
	if data, err = all.Open(ctx, false); err != nil {
		return &study.RequestError{Err: err}
	}
	s.all = data.Train.Len()
	if err := data.Close(); err != nil {
		return err
	}
	if s.question.Estimate == 0 {
		return nil
	}
	held, err := s.beyond(ctx)
	if err != nil {
		var option *dataset.OptionError
		if errors.As(err, &option) {
			err = &study.RequestError{Err: fmt.Errorf("search.estimate: %d images beside those that train and validate cannot be had (fewer data.train leave more): %w", s.question.Estimate, err)}
		}
		return err
	}
	return held.Close()
}

// beyond opens the images that nothing is chosen by, as validation images.
func (s *search) beyond(ctx context.Context) (*dataset.Data, error) {
	d := s.config.Data
	seen, err := d.Open(ctx, false)
	if err != nil {
		return nil, err
	}
	train, val := seen.Train.Len(), 0
	if seen.Val != nil {
		val = seen.Val.Len()
	}
	if err := seen.Close(); err != nil {
		return nil, err
	}
	return dataset.OpenContext(ctx, d.Name, dataset.Options{Train: train, Val: val + s.question.Estimate, ValBeyond: val, NoTest: true, Resolution: d.Resolution, Labels: d.Labels, MaxCorrupt: d.MaxCorrupt})
}

// round takes note of a round that is over.
func (s *search) round(round int, networks []study.Trial) {
	r := analysis.SearchRun{Epochs: s.epochs[round], Networks: []int{}}
	for _, t := range networks {
		r.Networks = append(r.Networks, t.Index)
		if t.State == study.Failed {
			r.Failed++
		}
	}
	r.Cost = float64(len(networks)*s.gain(round)) / float64(s.whole())
	s.log.Cost += r.Cost
	s.log.Rungs = append(s.log.Rungs, r)
	s.Round(r)
}

// trained sees to it that networks are trained for so many epochs, and again so many times, and gives what is then known of them, in their order.
func (s *search) trained(ctx context.Context, networks []study.Trial, epochs, reruns int) ([]study.Trial, error) {
	for again := false; ; again = true {
		known, err := s.known(ctx)
		if err != nil {
			return nil, err
		}
		missing := false
		now := make([]study.Trial, len(networks))
		chosen := make([]int, len(networks))
		for i, t := range networks {
			now[i], chosen[i] = known[t.Index], t.Index
			missing = missing || !reached(now[i], epochs) || len(errorsOf(now[i].Reruns))+failures(now[i].Reruns) < reruns
		}
		if !missing {
			return now, nil
		}
		if again {
			return nil, fmt.Errorf("search: %s were to be trained for %s, and are not", plural(len(networks), "network"), plural(epochs, "epoch"))
		}
		if slices.Sort(chosen); reruns > 0 {
			s.Tell("training the best %d networks %d times each with fresh seeds", len(networks), reruns)
		} else {
			s.Tell("training %s for %s each", plural(len(networks), "network"), plural(epochs, "epoch"))
		}
		goal := study.Goal{Drawn: len(known), Chosen: chosen, Epochs: epochs, Reruns: reruns}
		if epochs == s.whole() {
			goal.Epochs = 0
		}
		if err := s.start(ctx, goal); err != nil {
			return nil, err
		}
	}
}

// reached tells whether a network has been trained for so many epochs.
func reached(t study.Trial, epochs int) bool {
	return t.State == study.Done || t.State == study.Failed || lastEpoch(t) >= epochs
}

func failures(trials []study.Trial) (n int) {
	for _, t := range trials {
		if t.State == study.Failed {
			n++
		}
	}
	return n
}

// start has the trainings of a goal done.
func (s *search) start(ctx context.Context, goal study.Goal) error {
	req := s.req
	req.Goals = map[string]study.Goal{s.question.Space: goal}
	run, err := study.Start(ctx, req)
	if err != nil {
		return err
	}
	if run.Pending() > 0 {
		err = s.Train(ctx, run)
	}
	s.req.Retry = false // once is enough
	return errors.Join(err, run.Close(), s.save())
}

// known are all networks that are drawn, with what is known of them.
func (s *search) known(ctx context.Context) ([]study.Trial, error) {
	folder, err := study.Open(ctx, s.dir)
	if errors.Is(err, study.ErrNoStudy) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := folder.Drawn(ctx, s.question.Space, math.MaxInt)
	for i, t := range all {
		if t.Index != i && err == nil {
			err = fmt.Errorf("%s: no readable record tells of network %d of %s", s.dir, i, t.Space)
		}
	}
	return all, err
}

// first gives the networks of the first round, trained.
func (s *search) first(ctx context.Context) ([]study.Trial, error) {
	if s.question.Hours == 0 {
		n := s.begins(s.question.Trainings * s.whole())
		networks, err := s.candidates(ctx, n)
		if err != nil {
			return nil, err
		}
		return s.trained(ctx, networks, s.epochs[0], 0)
	}
	return s.byTheClock(ctx)
}

// candidates gives the first n networks that keep the bounds which the space knows nothing of.
func (s *search) candidates(ctx context.Context, n int) ([]study.Trial, error) {
	const most = 100 // networks that are looked at for each
	for drawn := n; ; drawn *= 2 {
		known, err := s.known(ctx)
		if err != nil {
			return nil, err
		}
		if len(known) < drawn {
			if err := s.start(ctx, study.Goal{Drawn: drawn}); err != nil {
				return nil, err
			}
			if known, err = s.known(ctx); err != nil {
				return nil, err
			}
		}
		var kept []study.Trial
		s.log.Drawn = 0
		for _, t := range known {
			if len(kept) == n {
				break
			}
			s.log.Drawn++
			fits, err := s.keeps(ctx, t, known)
			if err != nil {
				return nil, err
			}
			if fits {
				kept = append(kept, t)
			}
		}
		s.log.Rejected = s.log.Drawn - len(kept)
		if len(kept) == n {
			return kept, nil
		}
		if len(known) >= most*n {
			return nil, &study.RequestError{Err: fmt.Errorf("search: of %d networks of %s within the regime %d keep the other bounds, and %d are to be trained; wider bounds, or a smaller budget, let it go on",
				len(known), s.question.Space, len(kept), n)}
		}
	}
}

// keeps tells whether a network keeps the bounds that are not those of its regime.
func (s *search) keeps(ctx context.Context, t study.Trial, known []study.Trial) (fits bool, err error) {
	q := s.question
	if q.Memory.IsZero() && q.WeightsSize.IsZero() && s.times == nil {
		return true, nil
	}
	if t.Index < len(s.kept) {
		return s.kept[t.Index], nil
	}
	memory, size, err := s.footprint(t.Spec)
	if err != nil {
		return false, err
	}
	if fits = within(q.Memory, memory) && within(q.WeightsSize, size); fits && s.times != nil {
		if fits, err = s.times.keeps(ctx, t, known); err != nil {
			return false, err
		}
	}
	s.kept = append(s.kept, fits)
	return fits, nil
}

// measured gives the networks, all measured now, whose latencies are within the budget. Some were trained because a model promised that.
func (s *search) measured(ctx context.Context, networks []study.Trial) (kept []study.Trial, err error) {
	if s.times == nil {
		return networks, nil
	}
	for _, t := range networks {
		ms, err := s.times.measure(ctx, t)
		if err != nil {
			return nil, err
		}
		if s.question.Latency.Contains(ms) {
			kept = append(kept, t)
		}
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("search: none of the %d networks that were trained wholly keeps the latency of %s ms when it is measured", len(networks), s.question.Latency)
	}
	return kept, nil
}

func within(r metric.Range, v int64) bool { return r.IsZero() || r.Contains(float64(v)) }

// footprint is what an inference of a network, and its weights, take at least.
func (s *search) footprint(spec arch.Spec) (memory, size int64, err error) {
	g, err := spec.Graph(s.input)
	if err != nil {
		return 0, 0, err
	}
	return g.PeakMemory(), g.WeightBytes(), nil
}

// choose chooses the winner: the finalist that is expected to be best with further seeds.
func (s *search) choose(ctx context.Context, tried []study.Trial) (winner study.Trial, err error) {
	known, err := s.known(ctx)
	if err != nil {
		return winner, err
	}
	s.log.Finalists = []analysis.Finalist{}
	now := make([]study.Trial, len(tried))
	for i, t := range tried {
		now[i] = known[t.Index]
	}
	j := judge(now, s.schedule)
	s.log.Noise = j.noise
	var beliefs []stats.Normal
	for i, t := range j.trials {
		if len(t.Reruns) == 0 {
			continue
		}
		f := analysis.Finalist{Index: t.Index, ID: t.ID, Error: t.Error, Reruns: []float64{}, Shrunk: j.beliefs[i].Mean, StdError: j.beliefs[i].SD, Chance: j.chances[i], Complexity: t.Complexity}
		f.Reruns = append(f.Reruns, errorsOf(t.Reruns)...)
		if f.Mean = t.Error; len(f.Reruns) > 0 {
			f.Mean = average(f.Reruns)
		}
		s.log.Finalists = append(s.log.Finalists, f)
	}
	slices.SortStableFunc(s.log.Finalists, func(a, b analysis.Finalist) int { return cmp.Compare(a.Shrunk, b.Shrunk) })
	for _, f := range s.log.Finalists {
		beliefs = append(beliefs, stats.Normal{Mean: f.Shrunk, SD: f.StdError})
	}
	s.log.Fronts = s.fronts(j)
	best := s.log.Finalists[0]
	winner = j.trials[j.of(best.Index)]
	chances, _ := stats.Best(beliefs)
	memory, size, err := s.footprint(winner.Spec)
	if err != nil {
		return winner, err
	}
	s.log.Winner = &analysis.Winner{Index: winner.Index, ID: winner.ID, Spec: winner.Spec, File: winnerSpec, Complexity: winner.Complexity, Memory: memory, WeightsSize: size,
		OfFinalists: chances[0], OfAll: best.Chance, Regret: best.Shrunk - j.lowest}
	if s.times != nil {
		ms := s.log.Latency.Measured[winner.Index]
		s.log.Winner.Latency = &ms
	}
	if old := s.before.Winner; old != nil && old.ID == winner.ID {
		s.log.Winner.Estimate = old.Estimate
	}
	text, err := s.stated(winner.Spec).MarshalYAML()
	if err != nil {
		return winner, err
	}
	return winner, atomicfile.WriteFile(filepath.Join(s.dir, winnerSpec), text, 0o644)
}

// fronts are those of the networks that were trained wholly.
func (s *search) fronts(j judgement) (all []analysis.Front) {
	if s.times != nil {
		var networks []analysis.FrontPoint
		for _, t := range j.trials {
			if t.State == study.Done {
				networks = append(networks, analysis.FrontPoint{Index: t.Index, Value: s.log.Latency.Measured[t.Index], Error: average(append(errorsOf(t.Reruns), t.Error))})
			}
		}
		all = append(all, analysis.NewFront("latency", networks))
	}
	for _, m := range metric.Counted() {
		var networks []analysis.FrontPoint
		for _, t := range j.trials {
			if t.State == study.Done {
				networks = append(networks, analysis.FrontPoint{Index: t.Index, Value: float64(m.Of(t.Complexity)), Error: average(append(errorsOf(t.Reruns), t.Error))})
			}
		}
		all = append(all, analysis.NewFront(m.Name, networks))
	}
	return all
}

// stated is a network for the images of the search, wherever its file goes.
func (s *search) stated(spec arch.Spec) arch.Spec {
	if in := s.input; in.Height == in.Width {
		spec.Resolution = cmp.Or(spec.Resolution, in.Height)
	}
	spec.Channels, spec.Classes = s.input.Channels, s.input.Classes
	return spec
}

// estimate measures the error of the winner by images that nothing was chosen by: those of a training with a fresh seed.
func (s *search) estimate(ctx context.Context, winner study.Trial) (err error) {
	if s.question.Estimate == 0 || s.log.Winner.Estimate != nil {
		return nil
	}
	s.Tell("training the winner once more, to estimate its error by %d images that nothing was chosen by", s.question.Estimate)
	task, err := s.task(ctx, winner, s.reruns+1)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, estimateDir, winner.ID)
	task.Weights = filepath.Join(dir, train.WeightsName)
	if _, err := s.Trainer.Train(ctx, task, dir, s.Progress); err != nil {
		return fmt.Errorf("train network %d of %s for the estimate of its error: %w", winner.Index, winner.Space, err)
	}
	file, err := weights.ReadFile(task.Weights)
	if errors.Is(err, fs.ErrNotExist) {
		s.Tell("there is no estimate: the trainer writes no weights")
		return nil
	}
	if err != nil {
		return err
	}
	data, err := s.beyond(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	eng, err := s.Engine()
	if err != nil {
		return err
	}
	g, err := task.Graph(data.Info)
	if err != nil {
		return err
	}
	info, _, err := train.TrainedWith(file, data.Info)
	if err != nil {
		return err
	}
	m, err := train.Evaluate(ctx, train.Evaluation{Graph: g, Weights: file, Split: data.Val, Info: info, Engine: eng, Threads: task.Threads})
	if err != nil {
		return err
	}
	e := &analysis.Estimate{Images: m.Images, Error: m.Error}
	e.Lo, e.Hi = interval(m)
	s.log.Winner.Estimate = e
	return s.save()
}

// interval is the 95 % interval of an error, in percent.
func interval(m train.Metrics) (lo, hi float64) {
	lo, hi = stats.Proportion(int(math.Round(m.Error/100*float64(m.Images))), m.Images, 0.95)
	return 100 * lo, 100 * hi
}

// task is a training of the winner in this process.
func (s *search) task(ctx context.Context, winner study.Trial, rerun int) (t trial.Task, err error) {
	folder, err := study.Open(ctx, s.dir)
	if err != nil {
		return t, err
	}
	if t, err = folder.Task(winner, rerun); err != nil {
		return t, err
	}
	t.Data.Name, t.Threads = s.config.Data.Name, s.question.Threads
	return t, nil
}

// final trains the winner on all training images, and has the test images read at the end, unless that is done.
func (s *search) final(ctx context.Context, winner study.Trial) error {
	if f := s.log.Final; f != nil {
		if f.ID == winner.ID && f.Recipe.Hash() == s.question.Final.Hash() {
			return nil
		}
		s.log.Final, s.log.Earlier = nil, append(slices.Clone(s.log.Earlier), *f)
	}
	task, err := s.task(ctx, winner, s.reruns+2)
	if err != nil {
		return err
	}
	task.Data.Train, task.Data.Validation, task.DataKey = 0, -1, ""
	task.Recipe, task.Final = s.question.Final, true
	s.Tell("training the winner on all training images for %s", plural(task.Recipe.Epochs, "epoch"))
	dir := filepath.Join(s.dir, winnerDir)
	// By recipe, so that a checkpoint of another final training is not gone on with.
	task.Weights = filepath.Join(dir, train.WeightsName)
	result, err := s.Trainer.Train(ctx, task, filepath.Join(dir, winner.ID+"-"+task.Recipe.Hash()[:8]), s.Progress)
	if err != nil {
		return fmt.Errorf("train network %d of %s on all training images: %w", winner.Index, winner.Space, err)
	}
	if result.Test == nil {
		return errors.New("the trainer gives no error on the test images")
	}
	f := &analysis.FinalTraining{ID: winner.ID, Recipe: task.Recipe, Threads: task.Threads, Images: s.all, Test: *result.Test, Seconds: result.Seconds, Weights: filepath.Join(winnerDir, train.WeightsName)}
	f.TestLo, f.TestHi = interval(f.Test)
	if n := len(result.Epochs); n > 0 {
		f.TrainLoss, f.TrainError = result.Epochs[n-1].TrainLoss, result.Epochs[n-1].TrainError
	}
	if _, err := os.Stat(task.Weights); err != nil {
		f.Weights = ""
	}
	s.log.Final = f
	if err := os.MkdirAll(dir, 0o755); err != nil { // a trainer that writes no weights has not made it
		return err
	}
	return errors.Join(train.WriteResult(dir, f, result.Epochs), s.save())
}

func (s *search) spent() time.Duration {
	return time.Duration(s.before.Seconds*float64(time.Second)) + s.Now().Sub(s.began)
}

// save writes the log.
func (s *search) save() error {
	s.log.Seconds = s.spent().Seconds()
	return saveLog(s.dir, analysis.SearchFile, s.log)
}
