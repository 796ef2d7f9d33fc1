package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"netspace/dataset"
	"netspace/internal/machine"
	"netspace/train"
)

// benchDataLine is one line of bench data --json.
type benchDataLine struct {
	Data            string  `json:"data"`
	Images          int     `json:"images"` // for training
	Resolution      int     `json:"resolution"`
	Batch           int     `json:"batch"`
	Threads         int     `json:"threads"`
	OpenSeconds     float64 `json:"open_seconds"`
	ImagesPerSecond float64 `json:"images_per_second"`
	ResidentMiB     float64 `json:"resident_mib"`
}

type benchDataOptions struct {
	resolution, batch, threads int
	seconds                    float64
	recipe, labels             string
	decode                     bool
}

func newBenchDataCmd(a *app) *cobra.Command {
	o := benchDataOptions{batch: 128, threads: 1, seconds: 5}
	c := &cobra.Command{
		Use:   "data NAME|PATH…",
		Short: "Measure how fast images are read, decoded and augmented",
		Long: `Measure how fast the batches of a training are prepared: images read, decoded,
augmented as the recipe says and normalised, by as many goroutines as the
training has threads. Beside images/s of bench train it shows which of the two
waits for the other.

open is the time until the first batch can be asked for. The first opening of a
data set makes an index or decodes what is kept, later ones find it in the cache.
--decode decodes photographs each time, as those of a set that is too large to be
kept decoded.`,
		Example: `  netspace bench data fashion-mnist
  netspace bench data photos/ --resolution 224 --threads 8 --decode
  netspace bench data 'shards/train-{000000..000146}.tar' --resolution 224 --json`,
		Args: cobra.MinimumNArgs(1),
	}
	f := c.Flags()
	f.IntVar(&o.resolution, "resolution", 0, "resize images to this many `PIXELS`; 0: as they are")
	f.IntVar(&o.batch, "batch", o.batch, "images per batch")
	f.IntVar(&o.threads, "threads", o.threads, "threads of the training that is prepared for")
	f.Float64Var(&o.seconds, "seconds", o.seconds, "seconds to measure each data set for")
	f.StringVar(&o.labels, "labels", "", "the `COLUMN` of Parquet files, or member of the .json in tar archives, that has the classes (default label)")
	f.StringVar(&o.recipe, "recipe", "", "read the recipe, which augments images, from `FILE` (YAML)")
	f.BoolVar(&o.decode, "decode", false, "decode photographs each time, as of a set that is too large to be kept decoded")
	c.RunE = func(c *cobra.Command, args []string) error { return runBenchData(c, a, o, args) }
	return c
}

func runBenchData(c *cobra.Command, a *app, o benchDataOptions, paths []string) error {
	if o.batch < 1 || o.threads < 1 || !(o.seconds > 0) {
		return usagef("--batch %d, --threads %d, --seconds %g: batch and threads are at least 1, seconds above 0", o.batch, o.threads, o.seconds)
	}
	r := train.DefaultRecipe()
	if o.recipe != "" {
		var err error
		if r, err = train.LoadRecipe(o.recipe, r); err != nil {
			return usage(err)
		}
	}
	r.Batch = o.batch
	if err := r.Validate(); err != nil {
		return usage(err)
	}
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if !a.json {
		fmt.Fprintln(table, "data\timages\tsize\topen\timages/s\tmemory\t")
	}
	for _, path := range paths {
		l, err := benchData(c, a, o, r, path)
		if err != nil {
			return err
		}
		if a.json {
			if err := a.emit(l); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%.2f s\t%.0f\t%.0f MiB\t\n", path, l.Images, l.Resolution, l.OpenSeconds, l.ImagesPerSecond, l.ResidentMiB)
	}
	return table.Flush()
}

func benchData(c *cobra.Command, a *app, o benchDataOptions, r train.Recipe, path string) (l benchDataLine, err error) {
	start := time.Now()
	options := dataset.Options{Val: -1, Resolution: o.resolution, Labels: o.labels, NoTest: true}
	if o.decode {
		options.CacheLimit = 1
	}
	d, err := dataset.OpenContext(c.Context(), path, options)
	var (
		missing *dataset.MissingError
		format  *dataset.FormatError
		option  *dataset.OptionError
	)
	if errors.As(err, &missing) || errors.As(err, &format) || errors.As(err, &option) {
		return l, usage(err)
	}
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	l = benchDataLine{
		Data: path, Images: d.Train.Len(), Resolution: d.Info.Width, Batch: o.batch, Threads: o.threads,
		OpenSeconds: time.Since(start).Seconds(),
	}
	warnCorrupt(a, d, 0)
	if l.ImagesPerSecond, err = train.BenchData(c.Context(), d, r, o.threads, time.Duration(o.seconds*float64(time.Second))); err != nil {
		return l, fmt.Errorf("%s: %w", path, err)
	}
	l.ResidentMiB = float64(machine.Resident()) / (1 << 20)
	return l, nil
}
