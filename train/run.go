package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"netspace/dataset"
	"netspace/engine"
	"netspace/weights"
	"netspace/weights/safetensors"
)

// Run trains a network and evaluates it on the validation images.
//
// A loss that is not finite ends it at once with a *DivergedError; a cancelled
// ctx within a step, after a checkpoint was written (if j.Dir is set), with a
// *StoppedError that wraps ctx's error. A recipe out of range is a *strict.Error, a job whose
// parts do not fit together a *JobError.
func Run(ctx context.Context, j Job) (res Result, err error) {
	r, err := newRun(j)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, r.prog.Close()) }()
	if err := r.begin(); err != nil {
		return Result{}, err
	}
	err = r.train(ctx)
	if err == nil {
		err = r.finish(ctx)
	}
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = &StoppedError{Epoch: min(r.at.Epoch+1, j.Recipe.Epochs), Epochs: j.Recipe.Epochs, Step: r.at.Step, Steps: r.steps, Err: err}
		if j.Dir != "" && r.at != r.savedAt {
			err = errors.Join(err, r.save())
		}
	}
	return r.result, err
}

// position is how far a training is: Step steps of epoch Epoch (from 0) are
// done. Step is the number of steps while the epoch's evaluation is under way.
type position struct {
	Epoch int `json:"epoch"`
	Step  int `json:"step"`
}

// run is a training under way.
type run struct {
	Job
	prog    engine.Program
	loader  *dataset.Loader
	steps   int   // per epoch
	stochas []int // the graph's drop-path and dropout nodes
	rates   []float64
	fixed   []int // the graph's BNs that keep their statistics

	// What a checkpoint holds beside the tensors.
	at    position
	sums  sums         // of the current epoch
	curve []EpochStats // of finished epochs
	spent float64      // seconds of earlier sessions

	targets, logits []float32
	masks           [][]float32
	draw            drawer
	eval            *evaluator

	result   Result
	started  time.Time
	saved    time.Time // when the last checkpoint was written
	savedAt  position  // of the last checkpoint
	ident    map[string]string
	clock    clock
	lastLR   float64
	evalTime time.Duration // of the last evaluation, for the ETA
}

// sums are running totals of an epoch's training.
type sums struct {
	Loss   float64 `json:"loss"` // of steps
	Wrong  int     `json:"wrong"`
	Images int     `json:"images"`
}

func newRun(j Job) (*run, error) {
	if err := j.Recipe.Validate(); err != nil {
		return nil, err
	}
	if err := j.check(); err != nil {
		return nil, err
	}
	r := &run{Job: j, stochas: j.Graph.Stochastic()}
	if r.CheckpointEvery == 0 {
		r.CheckpointEvery = DefaultCheckpointEvery
	}
	rec := &r.Recipe
	r.steps = j.Data.Train.Len() / rec.Batch
	options := dataset.LoaderOptions{Batch: rec.Batch, Seed: j.Seed, Shuffle: rec.Shuffle, Augment: rec.augmentation(j.Data.Info), DropLast: true, Workers: decoders(j.Threads)}
	if err := options.Check(j.Data.Info); err != nil {
		return nil, &JobError{Reason: err.Error()}
	}
	r.loader = dataset.NewLoader(j.Data.Train, j.Data.Info, options)

	classes := j.Data.Info.Classes
	r.targets = make([]float32, rec.Batch*classes)
	r.logits = make([]float32, rec.Batch*classes)
	for _, i := range r.stochas {
		n := &j.Graph.Nodes[i]
		r.masks = append(r.masks, make([]float32, maskSize(n, rec.Batch)))
	}
	r.draw.init(j.Seed)

	var err error
	if r.rates, err = rec.rates(j.Graph); err != nil {
		return nil, &JobError{Reason: err.Error()}
	}
	r.fixed = fixedNorms(j.Graph, r.rates)
	r.prog, err = j.Engine.Compile(j.Graph, engine.Options{
		Batch: rec.Batch, Threads: j.Threads, BNMomentum: rec.BNMomentum, FixedNorms: r.fixed, Memory: j.Memory,
		Activations: rec.Activations.Precision(),
	})
	if err != nil {
		return nil, fmt.Errorf("compile for training: %w", err)
	}
	r.eval = newEvaluator(r.prog, j.Data.Info, rec.Batch, j.Threads)
	return r, nil
}

// decoders is how many goroutines prepare the batches of a step that has so many threads: one each, and one whose batch is in
// use. A single one has two batches.
func decoders(threads int) int {
	if threads <= 1 {
		return 1
	}
	return threads + 1
}

// check finds what does not fit together before anything is compiled.
func (j *Job) check() error {
	in, out, info := j.Graph.Input(), j.Graph.Output(), j.Data.Info
	fail := func(format string, args ...any) error { return &JobError{Reason: fmt.Sprintf(format, args...)} }
	n := j.Data.Train.Len()
	if n < j.Recipe.Batch {
		return fail("recipe.batch: %d: must be at most %d, the number of training images", j.Recipe.Batch, n)
	}
	steps := j.Recipe.Epochs * (n / j.Recipe.Batch)
	switch {
	case in.C != info.Channels || in.H != info.Height || in.W != info.Width || out.C != info.Classes:
		return fail("the network is for %d×%d×%d images of %d classes, data set %s has %d×%d×%d and %d", in.C, in.H, in.W, out.C, info.Name, info.Channels, info.Height, info.Width, info.Classes)
	case (j.Data.Val == nil || j.Data.Val.Len() == 0) && !j.Final:
		return fail("data set %s has no validation images to evaluate on", info.Name)
	case j.Final && (j.Data.Test == nil || j.Data.Test.Len() == 0):
		return fail("data set %s has no test images for a final evaluation", info.Name)
	case j.MaxSteps < 0 || j.MaxSteps > steps:
		return fail("%d steps: must be from 0 to %d, what %d epochs of %d images in batches of %d have", j.MaxSteps, steps, j.Recipe.Epochs, n, j.Recipe.Batch)
	}
	return j.checkBuilt()
}

// begin sets the state that the first step starts from. Nothing is written
// before all that was asked for is known to fit.
func (r *run) begin() error {
	r.started, r.saved = time.Now(), time.Now()
	if r.Resume && r.Dir != "" {
		found, err := r.load()
		if err != nil {
			return err
		}
		if found {
			return nil
		}
	}
	if err := weights.Initialize(r.prog, r.Graph, r.Seed, r.Recipe.ZeroGamma); err != nil {
		return err
	}
	if r.Init != nil {
		if err := weights.Load(r.prog, r.Graph, r.Init); err != nil {
			return err
		}
	}
	if r.Recipe.EMA > 0 {
		if err := r.copySets(engine.EMAParams, engine.Params, engine.EMABuffers, engine.Buffers); err != nil {
			return err
		}
	}
	if r.Dir == "" {
		return nil
	}
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return err
	}
	if r.Resume {
		return nil
	}
	return clearSession(r.Dir)
}

// train runs the epochs from the current position on.
func (r *run) train(ctx context.Context) error {
	for r.at.Epoch < r.Recipe.Epochs && !r.enough() {
		if err := r.epoch(ctx); err != nil {
			return err
		}
	}
	return nil
}

// done is the number of finished steps over all epochs.
func (r *run) done() int { return r.at.Epoch*r.steps + r.at.Step }

// enough says whether MaxSteps ends the training here. The evaluation of an
// epoch that is complete still belongs to it.
func (r *run) enough() bool {
	return r.MaxSteps > 0 && r.done() >= r.MaxSteps && r.at.Step < r.steps
}

// epoch runs the rest of the current epoch.
func (r *run) epoch(ctx context.Context) error {
	if r.at.Step < r.steps {
		if err := r.steppingThrough(ctx); err != nil {
			return err
		}
		if r.at.Step < r.steps { // MaxSteps
			return nil
		}
	}
	stats := r.epochStats()
	if e := r.at.Epoch + 1; e%r.Recipe.EvalEvery == 0 || e == r.Recipe.Epochs {
		if err := r.evaluateInto(ctx, &stats); err != nil {
			return err
		}
	}
	r.curve = append(r.curve, stats)
	r.at = position{Epoch: r.at.Epoch + 1}
	r.sums = sums{}
	r.report(Training, 0, r.steps, &stats)
	return r.keep()
}

// keep writes a checkpoint that the training does not depend on.
func (r *run) keep() error {
	if r.Dir == "" {
		return nil
	}
	err := r.save()
	if err != nil && r.Warn != nil {
		r.saved = time.Now() // not again at every step
		r.Warn(err)
		return nil
	}
	return err
}

// steppingThrough trains on the remaining batches of the current epoch.
func (r *run) steppingThrough(ctx context.Context) error {
	it := r.loader.Epoch(r.at.Epoch, r.at.Step)
	defer it.Close()
	r.clock.start()
	defer r.clock.stop()
	for r.at.Step < r.steps && !r.enough() {
		b, err := it.Next(ctx)
		if err != nil {
			return fmt.Errorf("training images: %w", err)
		}
		if err := r.step(b); err != nil {
			return err
		}
		if time.Since(r.saved) >= r.CheckpointEvery {
			if err := r.keep(); err != nil {
				return err
			}
		}
	}
	return nil
}

// step trains on one batch and moves the position.
func (r *run) step(b *dataset.Batch) error {
	rec, number := &r.Recipe, r.done()
	lr := rec.StepLR(r.at.Epoch, r.at.Step, r.steps)
	r.mix(b, number)
	r.draw.masks(r.Graph, r.stochas, r.masks, number)
	loss, err := r.prog.Step(engine.Batch{Images: b.Images, Targets: r.targets, Masks: r.masks}, r.logits)
	if err != nil {
		return fmt.Errorf("epoch %d, step %d: %w", r.at.Epoch+1, number, err)
	}
	if !finite(loss) {
		return &DivergedError{Epoch: r.at.Epoch + 1, Step: number, LR: lr, Loss: loss, Where: Training}
	}
	u := rec.update(lr, number)
	u.Rates = r.rates
	norm, err := r.prog.Update(u)
	if err != nil {
		return fmt.Errorf("epoch %d, step %d: update: %w", r.at.Epoch+1, number, err)
	}
	r.sums.Loss += loss
	r.sums.Images += b.N
	r.sums.Wrong += wrongTop1(r.logits, r.targets, r.Data.Info.Classes)
	r.at.Step++
	r.lastLR = lr
	r.clock.tick(b.N)
	r.report(Training, r.at.Step, r.steps, nil)
	if r.OnStep != nil {
		return r.OnStep(StepStats{Epoch: r.at.Epoch, Step: number, LR: lr, Loss: loss, GradNorm: norm, Program: r.prog})
	}
	return nil
}

// update is the engine's view of the recipe for step number (from 0).
func (r *Recipe) update(lr float64, number int) engine.Update {
	u := engine.Update{
		LR: lr, Step: number + 1, ClipNorm: r.ClipNorm,
		WeightDecay: r.WeightDecay, BNWeightDecay: r.bnDecay(), BiasWeightDecay: r.biasDecay(),
	}
	switch r.Optimizer {
	case SGD:
		u.Optimizer, u.Momentum, u.Nesterov = engine.SGD, r.Momentum, r.Nesterov
	case Adam:
		u.Optimizer = engine.Adam
	case AdamW:
		u.Optimizer = engine.AdamW
	}
	if r.Optimizer != SGD {
		u.Beta1, u.Beta2, u.Epsilon = r.Beta1, r.Beta2, r.Epsilon
	}
	if r.EMA > 0 {
		// Short at first, so that a short training is not averaged with its random start.
		t := float64(number)
		u.EMADecay = min(r.EMA, (1+t)/(10+t))
	}
	return u
}

func (r *run) epochStats() EpochStats {
	s := EpochStats{Epoch: r.at.Epoch + 1, LR: r.Recipe.StepLR(r.at.Epoch, max(r.at.Step-1, 0), r.steps)}
	if r.sums.Images > 0 {
		s.TrainLoss = r.sums.Loss / float64(r.at.Step)
		s.TrainError = percent(r.sums.Wrong, r.sums.Images)
	}
	return s
}

// evaluateInto evaluates on the validation images as the recipe says.
func (r *run) evaluateInto(ctx context.Context, s *EpochStats) error {
	start := time.Now()
	if r.Recipe.PreciseBN > 0 {
		if err := r.calibrate(ctx); err != nil {
			return err
		}
	}
	if r.Data.Val == nil || r.Data.Val.Len() == 0 { // of a final training
		return nil
	}
	m, err := r.evaluate(ctx, r.Data.Val, "validation")
	if err != nil {
		return err
	}
	s.Evaluated, s.ValLoss, s.ValError, s.ValError5 = true, m.Loss, m.Error, m.Error5
	r.evalTime = time.Since(start)
	return nil
}

// evaluate runs the network, averaged weights where the recipe says so, on a split.
func (r *run) evaluate(ctx context.Context, split dataset.Split, what string) (Metrics, error) {
	mode := engine.Evaluate
	if r.Recipe.EMA > 0 {
		mode = engine.EvaluateEMA
	}
	m, err := r.eval.run(ctx, split, mode, func(done, all int) { r.report(Evaluating, done, all, nil) })
	if err != nil {
		return m, fmt.Errorf("%s images: %w", what, err)
	}
	if !finite(m.Loss) {
		return m, &DivergedError{Epoch: r.at.Epoch + 1, Step: max(r.done()-1, 0), LR: r.lastLR, Loss: m.Loss, Where: Evaluating}
	}
	return m, nil
}

// finish evaluates what is left to evaluate and writes the weights.
func (r *run) finish(ctx context.Context) error {
	res := &r.result
	if r.at != r.savedAt { // MaxSteps ended the training within an epoch, or the last checkpoint failed
		if err := r.keep(); err != nil {
			return err
		}
	}
	// An evaluation here is of this ending and not of the curve, which goes on
	// as if nothing had been when the training is resumed.
	curve := slices.Clone(r.curve)
	if r.at.Step > 0 {
		curve = append(curve, r.epochStats())
	}
	last := &curve[len(curve)-1]
	if !last.Evaluated {
		if err := r.evaluateInto(ctx, last); err != nil {
			return err
		}
	}
	res.Epochs = curve
	res.Error, res.Error5, res.Loss = last.ValError, last.ValError5, last.ValLoss
	if r.Final {
		m, err := r.evaluate(ctx, r.Data.Test, "test")
		if err != nil {
			return err
		}
		if res.Test = &m; !last.Evaluated {
			res.Error, res.Error5, res.Loss = m.Error, m.Error5, m.Loss
		}
	}
	if r.Weights != "" {
		if err := r.saveWeights(); err != nil {
			return err
		}
	}
	res.Steps = r.done()
	res.Seconds = r.seconds()
	res.ImagesPerSecond = r.clock.rate()
	return nil
}

func (r *run) seconds() float64 { return r.spent + time.Since(r.started).Seconds() }

// copySets copies whole sets of tensors within the program: dst, src, dst, src, …
func (r *run) copySets(pairs ...engine.Set) error {
	var buf []float32
	for i := 0; i < len(pairs); i += 2 {
		for _, t := range weights.Entries(r.Graph, pairs[i]) {
			buf = resize(buf, t.Size())
			if err := r.prog.Get(pairs[i+1], t.Name, buf); err != nil {
				return err
			}
			if err := r.prog.Set(pairs[i], t.Name, buf); err != nil {
				return err
			}
		}
	}
	return nil
}

// saveWeights writes the weights that are evaluated to Job.Weights.
func (r *run) saveWeights() error {
	params, buffers := engine.Params, engine.Buffers
	if r.Recipe.EMA > 0 {
		params, buffers = engine.EMAParams, engine.EMABuffers
	}
	f, err := weights.Of(r.prog, r.Graph, params, buffers)
	if err != nil {
		return fmt.Errorf("save weights: %w", err)
	}
	f.Metadata = map[string]string{
		"format":   weights.PyTorch,
		"network":  NetworkKey(r.Graph, r.Recipe.BNEpsilon),
		"recipe":   r.Recipe.Hash(),
		"data":     r.Data.Info.Name,
		"seed":     fmt.Sprint(r.Seed),
		"steps":    fmt.Sprint(r.done()),
		"averaged": fmt.Sprint(r.Recipe.EMA > 0),
	}
	info := r.Data.Info
	weights.Setting{
		Mean: info.Mean, Std: info.Std, BNEpsilon: r.Recipe.BNEpsilon,
		Classes: info.Labels, Height: info.Height, Width: info.Width, Side: info.Side,
	}.Put(f.Metadata)
	return safetensors.WriteFile(r.Weights, f)
}

func (r *run) checkpointPath() string { return filepath.Join(r.Dir, CheckpointName) }

// resize returns buf with n elements, allocating only to grow.
func resize(buf []float32, n int) []float32 { return slices.Grow(buf[:0], n)[:n] }

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func percent(part, whole int) float64 { return 100 * float64(part) / float64(whole) }
