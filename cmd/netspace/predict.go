package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"netspace/dataset"
	"netspace/engine"
	"netspace/engine/engines"
	"netspace/weights"
)

type predictOptions struct {
	model      string
	images     []string
	weights    weightsFlags
	resolution int
	mean, std  []float32
	top        int
	batch      int
	engine     string
	threads    int
}

func newPredictCmd(a *app) *cobra.Command {
	var o predictOptions
	c := &cobra.Command{
		Use:   "predict MODEL --weights FILE IMAGE…|FOLDER…",
		Short: "Say what is on images",
		Long: `Run a trained network on image files (JPEG, PNG, WebP), or on all in folders and the
folders below, and print the most probable classes of each.

Images are resized, cropped and normalised as they were for an evaluation of the
training, which the weights' metadata state. Where they come from elsewhere and state
nothing, --resolution, --mean and --std do. A damaged image is named, the others are done, and the exit
status is 1.`,
		Example: `  netspace predict RegNetX-200MF --weights runs/a/weights.safetensors photo.jpg
  netspace predict net.yaml --weights w.safetensors ~/photos --top 1 --json`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completeModels,
	}
	o.weights.add(c)
	f := c.Flags()
	f.IntVar(&o.resolution, "resolution", 0, "resize images to a square of this many `PIXELS`; 0: as the weights state, else the model")
	f.Float32SliceVar(&o.mean, "mean", nil, "`NUMBERS`, one per channel, of values in [0,1], that are taken off; default: as the weights state")
	f.Float32SliceVar(&o.std, "std", nil, "`NUMBERS`, one per channel, that images are divided by after that; default: as the weights state")
	f.IntVar(&o.top, "top", 5, "how many classes to print, the most probable first")
	f.IntVar(&o.batch, "batch", 16, "images at a time")
	f.StringVar(&o.engine, "engine", engines.Default, engines.Help())
	f.IntVar(&o.threads, "threads", 1, "threads")
	c.RunE = func(c *cobra.Command, args []string) error {
		o.model, o.images = args[0], args[1:]
		return runPredict(c.Context(), a, o)
	}
	return c
}

// predictLine is what predict prints of an image with --json.
type predictLine struct {
	Image   string       `json:"image"`
	Classes []likelihood `json:"classes,omitempty"` // the most probable first
	Error   string       `json:"error,omitempty"`   // of an image that is damaged or not readable
}

// likelihood is a class and its probability.
type likelihood struct {
	Class       int    `json:"class"` // from 0
	Name        string `json:"name,omitempty"`
	Probability number `json:"probability"` // null for weights that overflow
}

func runPredict(ctx context.Context, a *app, o predictOptions) (err error) {
	if o.resolution < 0 {
		return usagef("--resolution %d: must be at least 1", o.resolution)
	}
	if o.top < 1 || o.batch < 1 || o.threads < 1 {
		return usagef("--top %d, --batch %d and --threads %d: must be at least 1", o.top, o.batch, o.threads)
	}
	for _, image := range o.images { // before any work
		if _, err := os.Stat(image); err != nil {
			return usage(err)
		}
	}
	model, err := a.resolve(o.model)
	if err != nil {
		return err
	}
	model.Spec.Resolution = cmp.Or(o.resolution, model.Spec.Resolution)
	t, err := o.weights.network(o.model, model.Spec)
	if err != nil {
		return err
	}
	if model.Spec.Resolution == 0 && t.setting.Height == 0 {
		return usagef("--resolution is missing: neither the metadata of %s nor model %s state the size of images", o.weights.file, o.model)
	}
	if o.mean != nil {
		t.setting.Mean = o.mean
	}
	if o.std != nil {
		t.setting.Std = o.std
	}
	p := predictor{app: a, top: min(o.top, t.input.Classes), names: t.setting.Classes}
	if p.reader, err = t.reader(); err != nil {
		return usagef("--weights %s: %w", o.weights.file, err)
	}
	eng, err := openEngine(o.engine)
	if err != nil {
		return err
	}
	p.program, err = eng.Compile(t.graph, engine.Options{Batch: o.batch, Threads: o.threads, Inference: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.program.Close()) }()
	if err := weights.Load(p.program, t.graph, t.file); err != nil {
		return err
	}
	p.images = make([]float32, o.batch*t.input.Channels*t.input.Height*t.input.Width)
	p.logits = make([]float32, o.batch*t.input.Classes)
	p.lines = make([]predictLine, 0, o.batch)
	for _, path := range o.images {
		if err := p.path(ctx, path); err != nil {
			return err
		}
	}
	if err := p.flush(); err != nil {
		return err
	}
	switch {
	case p.done == 0 && p.damaged == 0:
		return usagef("%s: there are no JPEG, PNG or WebP images", strings.Join(o.images, ", "))
	case p.damaged > 0:
		return fmt.Errorf("%d of %d images are damaged or not readable", p.damaged, p.done+p.damaged)
	}
	return nil
}

// reader reads images as the weights' metadata state; what they do not, is as the network takes it.
func (t trained) reader() (*dataset.ImageReader, error) {
	s := t.setting
	if s.Mean == nil || s.Std == nil {
		return nil, errors.New("its metadata state no mean and std, by which images are normalised: --mean and --std do")
	}
	side := s.Side
	if t.input.Height != s.Height || t.input.Width != s.Width { // the model's file states another size
		side = 0
	}
	return dataset.NewImageReader(dataset.Info{
		Channels: t.input.Channels, Height: t.input.Height, Width: t.input.Width, Side: side, Classes: t.input.Classes, Mean: s.Mean, Std: s.Std,
	})
}

// predictor collects images to batches and prints what they are, in their order.
type predictor struct {
	app           *app
	program       engine.Program
	reader        *dataset.ImageReader
	names         []string
	top           int
	images        []float32     // of a batch
	logits        []float32     // likewise
	lines         []predictLine // images of the batch, and damaged ones among them
	n             int           // images in the batch
	done, damaged int
}

// path adds a file, whatever its name, or the images of a folder.
func (p *predictor) path(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return p.add(ctx, path)
	}
	return dataset.WalkImages(ctx, path, func(file string) error { return p.add(ctx, file) })
}

// add reads an image; a full batch is computed.
func (p *predictor) add(ctx context.Context, file string) error {
	size := len(p.images) / cap(p.lines)
	err := p.reader.Read(ctx, file, p.images[p.n*size:(p.n+1)*size])
	var (
		bad        *dataset.FormatError
		unreadable *fs.PathError
	)
	switch {
	case errors.As(err, &bad):
		p.damaged++
		p.lines = append(p.lines, predictLine{Image: file, Error: bad.Reason})
	case errors.As(err, &unreadable):
		p.damaged++
		p.lines = append(p.lines, predictLine{Image: file, Error: unreadable.Err.Error()})
	case err != nil:
		return err
	default:
		p.n++
		p.lines = append(p.lines, predictLine{Image: file})
	}
	if len(p.lines) == cap(p.lines) {
		return p.flush()
	}
	return nil
}

// flush computes and prints the batch.
func (p *predictor) flush() error {
	if p.n > 0 {
		if err := p.program.Forward(p.images, p.logits, engine.Evaluate, 0); err != nil {
			return err
		}
	}
	classes, k := len(p.logits)/cap(p.lines), 0
	for _, l := range p.lines {
		if l.Error == "" {
			l.Classes = p.best(p.logits[k*classes : (k+1)*classes])
			k++
		}
		if err := p.print(l); err != nil {
			return err
		}
	}
	p.done += p.n
	p.lines, p.n = p.lines[:0], 0
	return nil
}

// best gives the most probable classes.
func (p *predictor) best(logits []float32) []likelihood {
	order := make([]int, len(logits))
	top, sum := math.Inf(-1), 0.0
	for i, v := range logits {
		order[i] = i
		top = max(top, float64(v))
	}
	for _, v := range logits {
		sum += math.Exp(float64(v) - top)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(logits[b], logits[a]) })
	var best []likelihood
	for _, i := range order[:p.top] {
		l := likelihood{Class: i, Probability: number(math.Exp(float64(logits[i])-top) / sum)}
		if p.names != nil {
			l.Name = p.names[i]
		}
		best = append(best, l)
	}
	return best
}

func (p *predictor) print(l predictLine) error {
	switch {
	case l.Error != "":
		fmt.Fprintf(p.app.err, "netspace: %s: %s\n", l.Image, l.Error)
		if !p.app.json {
			return nil
		}
		fallthrough
	case p.app.json:
		return p.app.emit(l)
	}
	var words []string
	for _, c := range l.Classes {
		words = append(words, fmt.Sprintf("%s %.1f %%", cmp.Or(c.Name, fmt.Sprint(c.Class)), 100*float64(c.Probability)))
	}
	_, err := fmt.Fprintf(p.app.out, "%s: %s\n", l.Image, strings.Join(words, ", "))
	return err
}
