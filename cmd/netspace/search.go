package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"netspace/analysis"
	"netspace/arch"
	"netspace/design"
	"netspace/engine"
	"netspace/internal/machine"
	"netspace/latency"
	"netspace/metric"
	"netspace/report"
	"netspace/space"
	"netspace/strict"
	"netspace/study"
	"netspace/train"
	"netspace/trial"
)

type searchOptions struct {
	studyRunOptions
	space   string
	sampled spaceFlags
	recipe  recipeFlags
	block   searchBlock
	seed    uint64
	images  struct {
		train, validation, resolution int
		labels                        string
	}
	final struct {
		epochs, threads int
		recipe          string
	}
	latency, meter string
	by             string   // trainer, as a study file states it
	composing      []string // flags that state a search, in the place of a file
}

// searchBlock is the block search of a study file that flags state.
type searchBlock struct {
	Space    string `yaml:"space"`
	Schedule string `yaml:"schedule"`
	Budget   struct {
		Trainings int     `yaml:"trainings,omitempty"`
		Hours     float64 `yaml:"hours,omitempty"`
	} `yaml:"budget"`
	Finalists   int    `yaml:"finalists"`
	Reruns      int    `yaml:"reruns"`
	Estimate    int    `yaml:"estimate"`
	Memory      string `yaml:"memory,omitempty"`
	WeightsSize string `yaml:"weights_size,omitempty"`
	Latency     any    `yaml:"latency,omitempty"` // range, or that with a command
	Final       struct {
		Threads int            `yaml:"threads,omitempty"`
		Recipe  map[string]any `yaml:"recipe"`
	} `yaml:"final"`
}

func newSearchCmd(a *app) *cobra.Command {
	var o searchOptions
	c := &cobra.Command{
		Use:   "search [FILE|DIR] [--space SPACE --data NAME|PATH --flops ..20M --hours 2 --out DIR]",
		Short: "Find the best network of a space within budgets, and train it",
		Long: `Search a space for the best network for a data set within budgets, and train it. Networks
that keep the budgets are drawn, and trained by successive halving: all for the first
epochs, the better third for three times as many, and so on (or all wholly, with --schedule
random). The best few are trained again with fresh seeds; that says which one is chosen, and
how sure it is that it is the best of those tried. Its error is estimated by images that
nothing was chosen by. At last it is trained on all training images, and the test images
are read, once.

What is searched is stated by flags, by a study file with a block search, or by the folder
of a search, which goes on. The folder is a study folder, which study status, top, compare,
report and export read; search.json in it has every decision, search.html the report,
winner.yaml the network and winner/weights.safetensors its weights. The command may be
interrupted or killed at any time: run again it comes to the same decisions and trains
nothing twice; with a larger budget it goes on. With --trainings the same seed gives the same
search on every machine; with --hours the clock says how many networks begin and go on. docs/search.md
has the whole road, to a file that runs elsewhere.

Exit status: 0 the search has ended, 130 interrupted, 75 stopped by a scheduler (SIGTERM), 2
what was asked for is wrong.`,
		Example: `  netspace search --space regnetx --data fashion-mnist --flops ..3M --hours 0.5 --out out/small
  netspace search --space regnety --data ~/photos --flops ..20M --weights-size ..2MB --trainings 60 --out out/photos
  netspace search examples/search.yaml
  netspace search out/small --workers 8 --json`,
		Args: cobra.MaximumNArgs(1),
	}
	f := c.Flags()
	f.SortFlags = false // what is searched, how, and where
	f.StringVar(&o.space, "space", "regnetx", "space to search: "+strings.Join(space.Names(), ", ")+", or a space file")
	o.sampled.add(c)
	for _, name := range []string{"channels", "classes"} { // are those of the images
		f.Lookup(name).Hidden = true
	}
	f.Lookup("resolution").Usage, f.Lookup("resolution").DefValue = "resize images to this many `PIXELS`; 0: as they are", "0"
	f.StringVar(&o.block.Memory, "memory", "", "bytes of activations of an inference of one image, as `RANGE`: ..2MB")
	f.StringVar(&o.block.WeightsSize, "weights-size", "", "bytes of the weights as float32, as `RANGE`: ..4MB")
	f.StringVar(&o.latency, "latency", "", "time of one image on one thread of this machine, as `RANGE`: ..3ms")
	f.StringVar(&o.meter, "latency-command", "", "a `PROGRAM` that measures it on another device: '{command: [ssh, phone, ./measure]}' (docs/latency.md)")
	f.Float64Var(&o.block.Budget.Hours, "hours", 0, "budget of time, the last training within it")
	f.IntVar(&o.block.Budget.Trainings, "trainings", 0, "budget in whole trainings, shorter ones by their epochs; the last training comes on top")
	f.StringVar(&o.block.Schedule, "schedule", study.Halving, strings.Join(study.Schedules(), " or "))
	f.IntVar(&o.block.Finalists, "finalists", study.DefaultFinalists, "networks that are trained again before one is chosen")
	f.IntVar(&o.block.Reruns, "reruns", study.DefaultReruns, "trainings of each of them with fresh seeds")
	f.StringVar(&o.images.labels, "labels", "", "the `COLUMN` of Parquet files, or member of the .json in tar archives, that has the classes (default label)")
	f.IntVar(&o.images.train, "train-images", 0, "train on the first `N` training images while searching; 0: all that are not held out")
	f.IntVar(&o.images.validation, "val-images", 0, "compare networks on `N` images; 0: a tenth of the training images, at most 10000, or half of the data set's own validation images")
	f.IntVar(&o.block.Estimate, "estimate-images", -1, "estimate the error of the winner by `N` further images; 0: not at all, -1: as many as --val-images")
	f.IntVar(&o.final.epochs, "final-epochs", 0, fmt.Sprintf("of the last training; 0: %d times those of the search", study.DefaultFinalFactor))
	f.StringVar(&o.final.recipe, "final-recipe", "", "recipe of the last training by `NAME` or from a file, where it is another one than that of the search")
	f.IntVar(&o.final.threads, "threads", 1, "threads of the last training")
	f.StringVar(&o.by, "trainer", "builtin", "that trains all networks: "+trainerHelp)
	f.Uint64Var(&o.seed, "seed", 0, "of the networks that are drawn and of all other chance")
	f.StringVarP(&o.dir, "out", "o", "", "folder of the search")
	had := map[string]bool{"data": true, "out": true}
	o.recipe.add(c, "schedule")
	for _, field := range o.recipe.fields { // the flags of train, of which help shows the first few
		if !slices.Contains([]string{"epochs", "batch", "lr", "weight_decay"}, field.option.Key) {
			f.Lookup(flagName(field.option.Key)).Hidden = true
		}
	}
	f.Lookup("no-augment").Hidden, f.Lookup("no-shuffle").Hidden = true, true
	f.Lookup("recipe").Usage += ". Those of netspace train for single fields work here, too"
	f.VisitAll(func(flag *pflag.Flag) {
		if !had[flag.Name] {
			o.composing = append(o.composing, flag.Name)
		}
	})
	o.add(f)
	f.Lookup("dir").Hidden = true
	f.Lookup("data").Usage = "data set: a `NAME` (fashion-mnist) or a folder; with FILE or DIR, where the images are that it names"
	_ = c.RegisterFlagCompletionFunc("space", cobra.FixedCompletions(space.Names(), cobra.ShellCompDirectiveDefault))
	_ = c.RegisterFlagCompletionFunc("schedule", cobra.FixedCompletions(study.Schedules(), cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error { return o.run(c, a, args) }
	return c
}

func (o *searchOptions) run(c *cobra.Command, a *app, args []string) error {
	ctx := c.Context()
	o.command = "search"
	if len(args) == 1 {
		for _, name := range o.composing {
			if c.Flags().Changed(name) {
				return usagef("--%s states a search: it has no place beside %s, which states one", name, args[0])
			}
		}
		req, err := o.request(a, args[0])
		if err != nil {
			return err
		}
		return o.search(ctx, a, req)
	}
	if o.data == "" || o.dir == "" {
		return usagef("--data NAME|PATH and --out DIR say what is searched for and where; or name a study file with a block search, or the folder of a search")
	}
	text, err := o.compose(ctx, c)
	if err != nil {
		return err
	}
	dir := o.dir
	o.data, o.dir = "", "" // which the request has
	req, err := o.request(a, "")
	if err != nil {
		return err
	}
	req.File, req.Text, req.Dir = "the flags", text, dir
	if _, _, err := req.Read(); err != nil {
		return flagFaults(err)
	}
	return o.search(ctx, a, req)
}

// compose writes the study file that flags state.
func (o *searchOptions) compose(ctx context.Context, c *cobra.Command) ([]byte, error) {
	for _, name := range []string{"channels", "classes"} {
		if c.Flags().Changed(name) {
			return nil, usagef("--%s: it is that of the images", name)
		}
	}
	if c.Flags().Changed("resolution") {
		o.images.resolution = o.sampled.resolution
	}
	cfg, err := o.sampled.config()
	if err != nil {
		return nil, err
	}
	recipe, err := o.recipe.recipe(arch.Spec{}, "")
	if err != nil {
		return nil, err
	}
	final := recipe
	if o.final.recipe != "" {
		if final, err = train.LoadRecipe(o.final.recipe, recipe); err != nil {
			return nil, usage(err)
		}
	} else {
		final.Epochs *= study.DefaultFinalFactor
	}
	if o.final.epochs != 0 {
		final.Epochs = o.final.epochs
	}
	b := o.block
	b.Space = o.space
	if b.Final.Recipe, err = differing(final, recipe); err != nil {
		return nil, err
	}
	b.Final.Recipe["epochs"] = final.Epochs
	if o.final.threads != 1 {
		b.Final.Threads = o.final.threads
	}
	if b.Latency = nil; o.latency != "" {
		b.Latency = o.latency
	}
	if o.meter != "" {
		m, err := latency.ParseCommand(o.meter)
		if err != nil {
			return nil, usagef("--latency-command: %w", err)
		}
		if o.latency == "" {
			return nil, usagef("--latency-command measures for a budget: --latency RANGE")
		}
		b.Latency = map[string]any{"range": o.latency, "command": m.Argv}
	}
	if c.Flags().Changed("hours") == c.Flags().Changed("trainings") {
		return nil, usagef("--hours or --trainings, one of them, says what the search may take")
	}
	stated, err := differing(recipe, train.DefaultRecipe())
	if err != nil {
		return nil, err
	}
	stated["epochs"] = recipe.Epochs
	images, side, err := o.split(ctx, &b)
	if err != nil {
		return nil, err
	}
	// Of small images a stem that keeps their resolution, and fewer stages, leave something to look at.
	const small = 64
	if side <= small && o.sampled.stem == "" && o.sampled.network.Stages == 0 && o.sampled.strides == nil {
		cfg.Network.Stem, cfg.Network.Stages = space.Stem{Type: "cifar", Width: 16}, 3
	}
	trainer, err := o.statedTrainer()
	if err != nil {
		return nil, err
	}
	regime := map[string]any{}
	for _, m := range metric.Counted() {
		if r := cfg.Regime.Bounds[m.ID]; !r.IsZero() {
			regime[m.Name] = r.String()
		}
	}
	if len(cfg.Regime.Rules) > 0 {
		regime["rules"] = cfg.Regime.Rules
	}
	return yaml.Marshal(struct {
		Name    string         `yaml:"name"`
		Data    map[string]any `yaml:"data"`
		Network space.Template `yaml:"network,omitempty"`
		Regime  map[string]any `yaml:"regime,omitempty"`
		Recipe  map[string]any `yaml:"recipe"`
		Trainer any            `yaml:"trainer,omitempty"`
		Seed    uint64         `yaml:"seed"`
		Search  searchBlock    `yaml:"search"`
	}{studyName(o.dir), images, cfg.Network, regime, stated, trainer, o.seed, b})
}

// statedTrainer is the trainer as the study file is to state it; nil: the built-in one.
func (o *searchOptions) statedTrainer() (stated any, err error) {
	if _, err := study.ParseTrainer(o.by); err != nil {
		return nil, usagef("--trainer: %w", err)
	}
	if err := yaml.Unmarshal([]byte(o.by), &stated); err != nil {
		return nil, usagef("--trainer: %w", err)
	}
	if stated == "builtin" {
		return nil, nil
	}
	return stated, nil
}

// studyName names a study by its folder.
func studyName(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	name := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, filepath.Base(dir))
	return strings.TrimLeft("search-"+name, "-")
}

// differing are the fields of a recipe in which it is not the base.
func differing(r, base train.Recipe) (map[string]any, error) {
	var is, was map[string]any
	for _, x := range []struct {
		r  train.Recipe
		to *map[string]any
	}{{r, &is}, {base, &was}} {
		text, err := json.Marshal(x.r)
		if err == nil {
			err = json.Unmarshal(text, x.to)
		}
		if err != nil {
			return nil, err
		}
	}
	for key, v := range is {
		if reflect.DeepEqual(v, was[key]) {
			delete(is, key)
		} else if n, ok := v.(float64); ok && n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			is[key] = int64(n)
		}
	}
	return is, nil
}

// split says which images train, validate, and estimate the error of the winner; side is that of the images.
func (o *searchOptions) split(ctx context.Context, b *searchBlock) (images map[string]any, side int, err error) {
	d := trial.Data{Name: o.data, Resolution: o.images.resolution, Labels: o.images.labels}
	count := func(validation int) (train, val int, err error) {
		d.Validation = validation
		data, err := d.Open(ctx, false)
		if err != nil {
			return 0, 0, startError(&study.RequestError{Err: err})
		}
		side = max(data.Info.Height, data.Info.Width)
		if data.Val != nil {
			val = data.Val.Len()
		}
		return data.Train.Len(), val, data.Close()
	}
	all, _, err := count(-1)
	if err != nil {
		return nil, 0, err
	}
	train, val, err := count(0)
	if err != nil {
		return nil, 0, err
	}
	own := train == all // it has validation images of its own
	validation := o.images.validation
	if validation == 0 && own {
		validation = max(1, val/2)
	} else if validation == 0 {
		const most = 10_000
		validation = max(1, min(all/10, most))
	}
	if b.Estimate < 0 {
		b.Estimate = validation
	}
	if train = o.images.train; train == 0 && own {
		train = all
	} else if train == 0 {
		train = all - validation - b.Estimate
	}
	if train < 1 {
		return nil, 0, usagef("--val-images %d and --estimate-images %d: data set %s has %d training images to hold them out of", validation, b.Estimate, o.data, all)
	}
	images = map[string]any{"name": o.data, "train": train, "validation": validation}
	if o.images.resolution > 0 {
		images["resolution"] = o.images.resolution
	}
	if o.images.labels != "" {
		images["labels"] = o.images.labels
	}
	return images, side, nil
}

// flagFaults names the flags that state what is wrong in a composed study file.
func flagFaults(err error) error {
	var bad *strict.Error
	if !errors.As(err, &bad) {
		return studyError(err)
	}
	flags := map[string]string{"data.name": "data", "data.train": "train-images", "data.validation": "val-images", "search.estimate": "estimate-images",
		"search.final.recipe.epochs": "final-epochs", "search.final.threads": "threads", "search.budget": "trainings", "network.stem.type": "stem", "network.stem.width": "stem"}
	for i := range bad.Faults {
		f := &bad.Faults[i]
		f.File, f.Line = "", 0
		name, known := flags[f.Path]
		if !known {
			parts := strings.Split(f.Path, ".")
			name = parts[len(parts)-1]
		}
		f.Path = "--" + flagName(name)
	}
	return usage(err)
}

// search runs a search, and writes its report.
func (o *searchOptions) search(ctx context.Context, a *app, req study.Request) error {
	_, dir, err := req.Read()
	if err != nil {
		return studyError(err)
	}
	show := &trainPrinter{a: a, live: isTerminal(a.err)}
	l, err := design.Search(ctx, req, design.SearchOptions{
		Train: func(ctx context.Context, run *study.Run) error {
			_, err := o.train(ctx, a, run)
			return err
		},
		Trainer: o.trainer,
		Engine:  func() (engine.Engine, error) { return openEngine(o.engine) },
		Meter: func(command []string) (latency.Meter, string, error) {
			if command != nil {
				return latency.Command{Argv: command}, strings.Join(command, " "), nil
			}
			e, err := openEngine(o.engine)
			if err != nil {
				return nil, "", err
			}
			return latency.Engine{Engine: e, For: measureFor}, "one thread of " + cmp.Or(machine.ReadCPU().Model, "this machine"), nil
		},
		Tell: func(format string, args ...any) {
			show.end()
			a.note(format, args...)
		},
		Round: func(r analysis.SearchRun) {
			if a.json {
				_ = a.emit(struct {
					Event string `json:"event"`
					analysis.SearchRun
				}{"round", r}) // a reader that went away must not stop the search
			}
		},
		Progress: show.progress,
	})
	show.end()
	if err != nil {
		if errors.Is(err, context.Canceled) {
			var stopped *stoppedError
			if !errors.As(err, &stopped) {
				err = &stoppedError{"interrupted; to go on, type:\n  " + o.again(dir), err}
			}
			return err
		}
		return startError(err)
	}
	page := filepath.Join(dir, "search.html")
	if err := writePage(ctx, dir, page); err != nil {
		return err
	}
	if a.json {
		return a.emit(struct {
			Event string `json:"event"`
			analysis.SearchLog
			Report string `json:"report"`
		}{"search", l, page})
	}
	if err := report.Search(a.out, l); err != nil {
		return err
	}
	o.next(a, dir, l)
	return nil
}

// measureFor is how long a network's latency is measured: many are, and the median needs few runs.
const measureFor = 300 * time.Millisecond

// next prints what one does with the winner.
func (o *searchOptions) next(a *app, dir string, l analysis.SearchLog) {
	at := func(file string) string { return shellescape.Quote(displayPath(filepath.Join(dir, file))) }
	program := shellescape.Quote(os.Args[0])
	fmt.Fprintf(a.out, "\nreport:  %s\nnetwork: %s\n", at("search.html"), at(l.Winner.File))
	if l.Final.Weights == "" {
		return
	}
	fmt.Fprintf(a.out, "weights: %s\nnext:\n", at(l.Final.Weights))
	fmt.Fprintf(a.out, "  %s export %s --weights %s -o %s\n", program, at(l.Winner.File), at(l.Final.Weights), at("winner.onnx"))
	fmt.Fprintf(a.out, "  %s predict %s --weights %s IMAGE…\n", program, at(l.Winner.File), at(l.Final.Weights))
}
