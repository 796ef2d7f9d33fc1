package train

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"netspace/dataset"
	"netspace/engine"
	"netspace/engine/reference"
	"netspace/weights"
)

// seen is what one training gave to the engine.
type seen struct {
	options engine.Options
	images  [][]float32
	targets [][]float32
	masks   [][][]float32
	updates []engine.Update
	result  Result
}

// watch trains with a recipe and keeps all that the engine was given.
func watch(t *testing.T, change func(*Recipe)) seen {
	t.Helper()
	r := testRecipe()
	r.Epochs = 2
	change(&r)
	var s seen
	j := testJob(t, r)
	j.Engine = &spy{
		Engine:  reference.New(),
		compile: func(o engine.Options) { s.options = o },
		step: func(b engine.Batch) {
			s.images = append(s.images, slices.Clone(b.Images))
			s.targets = append(s.targets, slices.Clone(b.Targets))
			var masks [][]float32
			for _, m := range b.Masks {
				masks = append(masks, slices.Clone(m))
			}
			s.masks = append(s.masks, masks)
		},
		update: func(u engine.Update) { s.updates = append(s.updates, u) },
	}
	s.result = mustRun(t, j)
	return s
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance*(1+math.Abs(b)) }

// The numbers of a recipe reach the engine's update as they are.
func TestUpdateNumbers(t *testing.T) {
	zero, five := 0.0, 5e-3
	for name, c := range map[string]struct {
		change func(*Recipe)
		want   engine.Update // of the first step
	}{
		"default": {func(*Recipe) {}, engine.Update{Optimizer: engine.SGD, LR: 0.1, Momentum: 0.9, Step: 1, WeightDecay: 5e-5, BNWeightDecay: 5e-5, BiasWeightDecay: 5e-5}},
		"nesterov, no decay of BN": {func(r *Recipe) { r.Nesterov, r.BNWeightDecay, r.BiasWeightDecay = true, &zero, &five },
			engine.Update{Optimizer: engine.SGD, LR: 0.1, Momentum: 0.9, Nesterov: true, Step: 1, WeightDecay: 5e-5, BiasWeightDecay: 5e-3}},
		"adam": {func(r *Recipe) { r.Optimizer, r.LR, r.Beta1 = Adam, 1e-3, 0.8 },
			engine.Update{Optimizer: engine.Adam, LR: 1e-3, Beta1: 0.8, Beta2: 0.999, Epsilon: 1e-8, Step: 1, WeightDecay: 5e-5, BNWeightDecay: 5e-5, BiasWeightDecay: 5e-5}},
		"adamw": {func(r *Recipe) { r.Optimizer, r.LR, r.WeightDecay, r.Beta2, r.Epsilon = AdamW, 1e-3, 0.05, 0.99, 1e-6 },
			engine.Update{Optimizer: engine.AdamW, LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-6, Step: 1, WeightDecay: 0.05, BNWeightDecay: 0.05, BiasWeightDecay: 0.05}},
		"clipping": {func(r *Recipe) { r.ClipNorm = 2 }, engine.Update{Optimizer: engine.SGD, LR: 0.1, Momentum: 0.9, Step: 1, WeightDecay: 5e-5, BNWeightDecay: 5e-5, BiasWeightDecay: 5e-5, ClipNorm: 2}},
		"average":  {func(r *Recipe) { r.EMA = 0.5 }, engine.Update{Optimizer: engine.SGD, LR: 0.1, Momentum: 0.9, Step: 1, WeightDecay: 5e-5, BNWeightDecay: 5e-5, BiasWeightDecay: 5e-5, EMADecay: 0.1}},
		"warm-up":  {func(r *Recipe) { r.WarmupEpochs = 2 }, engine.Update{Optimizer: engine.SGD, LR: 0.01, Momentum: 0.9, Step: 1, WeightDecay: 5e-5, BNWeightDecay: 5e-5, BiasWeightDecay: 5e-5}},
	} {
		s := watch(t, c.change)
		got := s.updates[0]
		if !near(got.LR, c.want.LR, 1e-12) {
			t.Errorf("%s: lr %v; want %v", name, got.LR, c.want.LR)
		}
		got.LR = c.want.LR
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: update\n%+v; want\n%+v", name, got, c.want)
		}
		if last := s.updates[len(s.updates)-1].Step; last != 10 {
			t.Errorf("%s: the last update is number %d; want 10", name, last)
		}
	}
}

func TestBNNumbers(t *testing.T) {
	s := watch(t, func(r *Recipe) { r.BNMomentum = 0.3 })
	if s.options.BNMomentum != 0.3 || s.options.Batch != 8 {
		t.Errorf("compiled with %+v", s.options)
	}
}

// Every option leads somewhere else than the defaults do.
func TestEveryOptionHasAnEffect(t *testing.T) {
	base := watch(t, func(*Recipe) {})
	zero := 0.0
	for name, change := range map[string]func(*Recipe){
		"epochs": func(r *Recipe) { r.Epochs = 1 }, "batch": func(r *Recipe) { r.Batch = 10 },
		"lr": func(r *Recipe) { r.LR = 0.2 }, "lr_batch": func(r *Recipe) { r.LRBatch = 128 },
		"schedule": func(r *Recipe) { r.Schedule = Linear; r.Epochs = 3 }, "lr_update": func(r *Recipe) { r.LRUpdate = PerStep },
		"final_factor": func(r *Recipe) { r.FinalFactor = 0.5 }, "decay": func(r *Recipe) { r.Schedule, r.DecayEpochs, r.Decay = Step, []float64{1}, 0.3 },
		"warmup_epochs": func(r *Recipe) { r.WarmupEpochs = 1 },
		"optimizer":     func(r *Recipe) { r.Optimizer = AdamW }, "momentum": func(r *Recipe) { r.Momentum = 0.5 }, "nesterov": func(r *Recipe) { r.Nesterov = true },
		"clip_norm": func(r *Recipe) { r.ClipNorm = 0.1 }, "weight_decay": func(r *Recipe) { r.WeightDecay = 0.1 },
		"bn_weight_decay": func(r *Recipe) { r.BNWeightDecay = &zero }, "bias_weight_decay": func(r *Recipe) { v := 0.5; r.BiasWeightDecay = &v },
		"bn_momentum": func(r *Recipe) { r.BNMomentum = 0.5 }, "bn_epsilon": func(r *Recipe) { r.BNEpsilon = 0.1 },
		"precise_bn": func(r *Recipe) { r.PreciseBN = 40 }, "zero_gamma": func(r *Recipe) { r.ZeroGamma = true },
		"label_smoothing": func(r *Recipe) { r.LabelSmoothing = 0.1 }, "mixup": func(r *Recipe) { r.Mixup = 0.2 }, "cutmix": func(r *Recipe) { r.CutMix = 1 },
		"drop_path": func(r *Recipe) { r.DropPath = 0.3 }, "dropout": func(r *Recipe) { r.Dropout = 0.3 }, "ema": func(r *Recipe) { r.EMA = 0.9 },
		"augment": func(r *Recipe) { r.Augment = false }, "crop": func(r *Recipe) { r.Crop = NoCrop }, "pad": func(r *Recipe) { r.Pad = new(2) },
		"flip": func(r *Recipe) { r.Flip = false }, "color_jitter": func(r *Recipe) { r.ColorJitter = 0.4 },
		"randaugment": func(r *Recipe) { r.RandAugment = 2 }, "shuffle": func(r *Recipe) { r.Shuffle = false },
	} {
		if got := watch(t, change).result; got.Loss == base.result.Loss {
			t.Errorf("%s: the final loss is %v as by default", name, got.Loss)
		}
	}
	if again := watch(t, func(*Recipe) {}); fmt.Sprint(again.result) != fmt.Sprint(base.result) {
		t.Errorf("the same recipe once more gives %+v, before %+v", again.result, base.result)
	}
}

func TestLabelSmoothing(t *testing.T) {
	s := watch(t, func(r *Recipe) { r.LabelSmoothing = 0.3 })
	row := slices.Clone(s.targets[0][:testClasses])
	slices.Sort(row)
	for i, want := range []float64{0.1, 0.1, 0.8} {
		if !near(float64(row[i]), want, 1e-6) {
			t.Fatalf("targets %v; want 0.1, 0.1 and 0.8", row)
		}
	}
}

// file returns the training images in file order as they are when nothing is
// done to them, batch by batch.
func file(t *testing.T) [][]float32 {
	return watch(t, func(r *Recipe) { r.Augment, r.Shuffle = false, false }).images
}

func TestImagesInFileOrder(t *testing.T) {
	images := file(t)
	data := testData(40, 21)
	pix := make([]byte, testSize*testSize)
	for b, batch := range images {
		for i := range 8 {
			if err := data.Train.Image(b%5*8+i, pix); err != nil {
				t.Fatal(err)
			}
			for k, v := range pix {
				want := (float64(v)/255 - float64(data.Info.Mean[0])) / float64(data.Info.Std[0])
				if got := batch[i*len(pix)+k]; !near(float64(got), want, 1e-5) {
					t.Fatalf("batch %d, image %d, pixel %d: %v; want %v", b, i, k, got, want)
				}
			}
		}
	}
}

// A mixed image lies between its two, as far as its target says.
func TestMixup(t *testing.T) {
	plain := file(t)
	s := watch(t, func(r *Recipe) { r.Augment, r.Shuffle, r.Mixup = false, false, 1 })
	size := testSize * testSize
	lambdas := map[float64]bool{}
	for b, mixed := range s.images {
		for i := range 8 {
			target := s.targets[b][i*testClasses : (i+1)*testClasses]
			var sum, lambda float64
			own := (b%5*8 + i) % testClasses
			other := (b%5*8 + 7 - i) % testClasses
			for _, v := range target {
				sum += float64(v)
			}
			if !near(sum, 1, 1e-6) {
				t.Fatalf("targets %v do not sum to 1", target)
			}
			// λ from the pixels, by least squares.
			var num, den float64
			for k := range size {
				x, y, m := float64(plain[b][i*size+k]), float64(plain[b][(7-i)*size+k]), float64(mixed[i*size+k])
				num += (m - y) * (x - y)
				den += (x - y) * (x - y)
			}
			lambda = num / den
			for k := range size {
				x, y, m := float64(plain[b][i*size+k]), float64(plain[b][(7-i)*size+k]), float64(mixed[i*size+k])
				if !near(m, lambda*x+(1-lambda)*y, 1e-4) {
					t.Fatalf("batch %d, image %d is no blend of its pair", b, i)
				}
			}
			if own != other && !near(float64(target[own]), lambda, 1e-4) {
				t.Fatalf("batch %d, image %d: λ %v of the pixels, target %v of class %d", b, i, lambda, target, own)
			}
			lambdas[math.Round(1e3*lambda)] = true
		}
	}
	if len(lambdas) < 5 {
		t.Errorf("only the λ %v in 10 batches: it is drawn anew for each", lambdas)
	}
}

// A pixel of a cut image is of one of the two, and the target says how many of each.
func TestCutMix(t *testing.T) {
	plain := file(t)
	s := watch(t, func(r *Recipe) { r.Augment, r.Shuffle, r.CutMix = false, false, 1 })
	size := testSize * testSize
	cut := 0
	for b, mixed := range s.images {
		for i := range 8 {
			own, other := (b%5*8+i)%testClasses, (b%5*8+7-i)%testClasses
			kept, same := 0, 0
			for k := range size {
				x, y, m := plain[b][i*size+k], plain[b][(7-i)*size+k], mixed[i*size+k]
				if m != x && m != y {
					t.Fatalf("batch %d, image %d, pixel %d: %v is neither %v nor %v", b, i, k, m, x, y)
				}
				if x == y {
					same++
				} else if m == x {
					kept++
				}
			}
			lambda := float64(s.targets[b][i*testClasses+own])
			if own != other && (lambda*float64(size) < float64(kept)-1e-3 || lambda*float64(size) > float64(kept+same)+1e-3) {
				t.Fatalf("batch %d, image %d: %d of %d pixels are its own (%d could be), its target says %v", b, i, kept, size, same, lambda)
			}
			if kept+same < size {
				cut++
			}
		}
	}
	if cut < 20 {
		t.Errorf("%d of 80 images were cut", cut)
	}
}

// With both, each batch gets one of the two, each about as often.
func TestMixupOrCutMix(t *testing.T) {
	plain := file(t)
	s := watch(t, func(r *Recipe) {
		r.Augment, r.Shuffle, r.Mixup, r.CutMix, r.Epochs = false, false, 1, 1, 12
	})
	mixed := 0
	for b, images := range s.images {
		for k, v := range images {
			i, size := k/(testSize*testSize), testSize*testSize
			if v != plain[b%5][k] && v != plain[b%5][(7-i)*size+k%size] {
				mixed++
				break
			}
		}
	}
	if mixed < 15 || mixed > 45 { // 3.9 standard deviations of 60 fair coins
		t.Errorf("%d of 60 batches were mixed", mixed)
	}
}

func TestMasks(t *testing.T) {
	s := watch(t, func(r *Recipe) { r.DropPath, r.Dropout, r.Epochs = 0.25, 0.4, 20 })
	if got := []int{len(s.masks[0][0]), len(s.masks[0][1])}; !slices.Equal(got, []int{8, 8 * 6}) {
		t.Fatalf("masks of %v factors; want one per image, and one per element of [8,6,1,1]", got)
	}
	for k, rate := range []float64{0.25, 0.4} {
		dropped, n := 0, 0
		for _, m := range s.masks {
			for _, v := range m[k] {
				n++
				if v == 0 {
					dropped++
				} else if !near(float64(v), 1/(1-rate), 1e-6) {
					t.Fatalf("factor %v; want 0 or %v", v, 1/(1-rate))
				}
			}
		}
		p := float64(dropped) / float64(n)
		if math.Abs(p-rate) > 4*math.Sqrt(rate*(1-rate)/float64(n)) {
			t.Errorf("%.3f of %d factors are 0; want %v", p, n, rate)
		}
	}
	if fmt.Sprint(s.masks[0]) == fmt.Sprint(s.masks[1]) {
		t.Error("two steps have the same masks")
	}
	if watch(t, func(*Recipe) {}).masks[0] != nil {
		t.Error("a network without drop nodes was given masks")
	}
}

func TestShuffleAndAugmentChangeEveryEpoch(t *testing.T) {
	for name, change := range map[string]func(*Recipe){
		"shuffle": func(r *Recipe) { r.Augment = false },
		"augment": func(r *Recipe) { r.Shuffle = false },
	} {
		s := watch(t, change)
		if slices.Equal(s.images[0], s.images[5]) {
			t.Errorf("%s: the first batches of two epochs are equal", name)
		}
	}
}

// The recipe's words for augmentation, for small images and for photographs.
func TestAugmentation(t *testing.T) {
	small := dataset.Info{Channels: 1, Height: 28, Width: 28}
	photo := dataset.Info{Channels: 3, Height: 224, Width: 224, Photos: true}
	light := 0.3
	for name, c := range map[string]struct {
		change func(*Recipe)
		info   dataset.Info
		want   dataset.Augment
	}{
		"small":            {func(*Recipe) {}, small, dataset.Augment{PadCrop: 3, Flip: true, Magnitude: 9}},
		"side of 32":       {func(*Recipe) {}, dataset.Info{Channels: 3, Height: 32, Width: 32}, dataset.Augment{PadCrop: 4, Flip: true, Magnitude: 9}},
		"photographs":      {func(*Recipe) {}, photo, dataset.Augment{ResizedCrop: true, Flip: true, Lighting: 0.1, Magnitude: 9}},
		"none":             {func(r *Recipe) { r.Augment, r.RandAugment = false, 2 }, photo, dataset.Augment{}},
		"no crop, no flip": {func(r *Recipe) { r.Crop, r.Flip = NoCrop, false }, photo, dataset.Augment{Magnitude: 9}},
		"resized":          {func(r *Recipe) { r.Crop = ResizedCrop }, small, dataset.Augment{ResizedCrop: true, Flip: true, Magnitude: 9}},
		"all": {func(r *Recipe) {
			r.Crop, r.Pad, r.ColorJitter, r.Lighting, r.RandAugment, r.RandAugmentMagnitude = PadCrop, new(7), 0.2, &light, 2, 5
		},
			photo, dataset.Augment{PadCrop: 7, Flip: true, ColorJitter: 0.2, Lighting: 0.3, RandAugment: 2, Magnitude: 5}},
	} {
		r := DefaultRecipe()
		c.change(&r)
		if got := r.augmentation(c.info); got != c.want {
			t.Errorf("%s: %+v; want %+v", name, got, c.want)
		}
		if got := r.Resolve(c.info).augmentation(c.info); got != c.want {
			t.Errorf("%s, resolved: %+v; want %+v", name, got, c.want)
		}
	}
}

// Without momentum and decay a clipped step is as long as the clip says.
func TestClipping(t *testing.T) {
	const clip, lr = 0.05, 0.1
	r := testRecipe()
	r.ClipNorm, r.LR, r.Momentum, r.WeightDecay = clip, lr, 0, 0
	j := testJob(t, r)
	j.MaxSteps = 1
	before := map[string][]float32{}
	j.Engine = &spy{Engine: reference.New()}
	steps := 0
	for _, w := range weights.Initial(j.Graph, j.Seed, false).Tensors {
		v := make([]float32, w.Len())
		if err := w.CopyFloat32(v); err != nil {
			t.Fatal(err)
		}
		before[w.Name] = v
	}
	j.OnStep = func(s StepStats) error {
		steps++
		var moved, grad float64
		for _, p := range weights.Entries(j.Graph, engine.Params) {
			for k, v := range get(t, s.Program, engine.Params, p.Name, p.Size()) {
				d := float64(v) - float64(before[p.Name][k])
				moved += d * d
			}
			for _, v := range get(t, s.Program, engine.Gradients, p.Name, p.Size()) {
				grad += float64(v) * float64(v)
			}
		}
		if !near(math.Sqrt(grad), s.GradNorm, 1e-5) || s.GradNorm < clip {
			t.Errorf("gradient norm %v; the gradients say %v", s.GradNorm, math.Sqrt(grad))
		}
		if !near(math.Sqrt(moved), lr*clip, 1e-4) {
			t.Errorf("the weights moved by %v; want lr·clip = %v", math.Sqrt(moved), lr*clip)
		}
		return nil
	}
	mustRun(t, j)
	if steps != 1 {
		t.Errorf("%d steps; want 1", steps)
	}
}
