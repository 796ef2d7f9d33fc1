package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"netspace/dataset"
	"netspace/engine"
	"netspace/graph"
	"netspace/weights"
	"netspace/weights/safetensors"
)

// Evaluation is a job for Evaluate.
type Evaluation struct {
	Graph   *graph.Graph
	Weights *safetensors.File // parameters and BN statistics; see weights.Load
	Split   dataset.Split
	Info    dataset.Info // of the data, with the normalisation to use
	Engine  engine.Engine
	Batch   int // images at a time; 0 means 128
	Threads int // 0 means 1
	// Progress, if not nil, is called after every batch with the images done.
	Progress func(done, all int)
}

// Evaluate runs a network with given weights on a split.
func Evaluate(ctx context.Context, e Evaluation) (m Metrics, err error) {
	if e.Batch == 0 {
		e.Batch = defaultBatch
	}
	e.Batch = max(1, min(e.Batch, e.Split.Len()))
	prog, err := e.Engine.Compile(e.Graph, engine.Options{Batch: e.Batch, Threads: e.Threads, Inference: true})
	if err != nil {
		return Metrics{}, fmt.Errorf("compile for evaluation: %w", err)
	}
	defer func() { err = errors.Join(err, prog.Close()) }()
	if err := weights.Load(prog, e.Graph, e.Weights); err != nil {
		return Metrics{}, err
	}
	return newEvaluator(prog, e.Info, e.Batch, e.Threads).run(ctx, e.Split, engine.Evaluate, e.Progress)
}

// TrainedWith returns info with the normalisation, and the BN epsilon, that a file of
// weights states they were trained with; where it states none, info as it is and 0.
func TrainedWith(f *safetensors.File, info dataset.Info) (dataset.Info, float64, error) {
	s, err := weights.ReadSetting(f)
	if err != nil {
		return info, 0, err
	}
	with := info
	for _, to := range []struct {
		what      string
		stated    []float32
		normalise *[]float32
	}{{"mean", s.Mean, &with.Mean}, {"std", s.Std, &with.Std}} {
		if to.stated == nil {
			continue
		}
		if len(to.stated) != info.Channels {
			return info, 0, fmt.Errorf("its metadata state %s %v, but the images have %d channels", to.what, to.stated, info.Channels)
		}
		*to.normalise = to.stated
	}
	return with, s.BNEpsilon, nil
}

// evaluator measures the error of a program.
type evaluator struct {
	prog    engine.Program
	info    dataset.Info
	batch   int
	threads int
	logits  []float32
	images  []float32 // a last batch, padded with zeros
	loaders map[dataset.Split]*dataset.Loader
}

func newEvaluator(p engine.Program, info dataset.Info, batch, threads int) *evaluator {
	return &evaluator{prog: p, info: info, batch: batch, threads: threads, logits: make([]float32, batch*info.Classes), loaders: map[dataset.Split]*dataset.Loader{}}
}

func (e *evaluator) loader(split dataset.Split) *dataset.Loader {
	l := e.loaders[split]
	if l == nil {
		l = dataset.NewLoader(split, e.info, dataset.LoaderOptions{Batch: e.batch, Workers: decoders(e.threads)})
		e.loaders[split] = l
	}
	return l
}

// run evaluates in file order, without augmentation.
func (e *evaluator) run(ctx context.Context, split dataset.Split, mode engine.Mode, progress func(done, all int)) (Metrics, error) {
	classes := e.info.Classes
	size := e.info.Channels * e.info.Height * e.info.Width
	it := e.loader(split).Epoch(0, 0)
	defer it.Close()
	var loss float64
	var n, wrong1, wrong5 int
	for {
		b, err := it.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return Metrics{}, err
		}
		images := b.Images
		if b.N < e.batch { // programs take whole batches only
			e.images = resize(e.images, e.batch*size)
			clear(e.images[copy(e.images, images):])
			images = e.images
		}
		if err := e.prog.Forward(images, e.logits, mode, 0); err != nil {
			return Metrics{}, err
		}
		for i := range b.N {
			row, label := e.logits[i*classes:(i+1)*classes], int(b.Labels[i])
			loss += crossEntropy(row, label)
			rank := rankOf(row, label)
			if rank >= 1 {
				wrong1++
			}
			if rank >= 5 {
				wrong5++
			}
		}
		n += b.N
		if progress != nil {
			progress(n, split.Len())
		}
	}
	if n == 0 {
		return Metrics{}, errors.New("there are none")
	}
	return Metrics{Images: n, Error: percent(wrong1, n), Error5: percent(wrong5, n), Loss: loss / float64(n)}, nil
}

// crossEntropy is -log softmax(logits)[label]; NaN or +Inf where logits are not finite.
func crossEntropy(logits []float32, label int) float64 {
	top := math.Inf(-1)
	for _, v := range logits {
		top = math.Max(top, float64(v))
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum) - float64(logits[label])
}

// rankOf is the number of classes that come before label. Among equal logits
// the lower class comes first; a NaN puts its label last, so that a broken
// network is never right.
func rankOf(logits []float32, label int) int {
	own, rank := logits[label], 0
	for j, v := range logits {
		if j != label && !(own > v) && !(own == v && label < j) {
			rank++
		}
	}
	return rank
}

// wrongTop1 counts the rows of [N,classes] logits whose highest class is not
// that of the highest target.
func wrongTop1(logits, targets []float32, classes int) int {
	wrong := 0
	for i := 0; i < len(logits); i += classes {
		t := targets[i : i+classes]
		label := 0
		for j, v := range t {
			if v > t[label] {
				label = j
			}
		}
		if rankOf(logits[i:i+classes], label) > 0 {
			wrong++
		}
	}
	return wrong
}
