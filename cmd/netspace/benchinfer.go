package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/engine"
	"netspace/graph"
	"netspace/latency"
)

// inferLine is one line of bench infer --json.
type inferLine struct {
	Model           string        `json:"model"`
	Resolution      int           `json:"resolution"`
	Batch           int           `json:"batch"`
	Threads         int           `json:"threads"`
	Milliseconds    float64       `json:"milliseconds"` // median
	P95             float64       `json:"p95"`          // milliseconds
	Fastest         float64       `json:"fastest"`      // milliseconds
	ImagesPerSecond float64       `json:"images_per_second"`
	Runs            int           `json:"runs"`
	MemoryMiB       number        `json:"memory_mib"` // null where a program measures
	Profile         []engine.Cost `json:"profile,omitempty"`
}

type benchInferOptions struct {
	benchOptions
	latency string
}

func newBenchInferCmd(a *app) *cobra.Command {
	o := benchInferOptions{benchOptions: benchOptions{batch: 1, threads: 1, seconds: 1}}
	c := &cobra.Command{
		Use:   "infer MODEL…",
		Short: "Measure inference: how long the logits of a batch take",
		Long: `Measure how long a network takes for a batch of random images that are in memory
already: the median of many runs, their 95th percentile and the fastest one. The engine
compiles it for inference; weights are initial ones. --profile adds where the time goes.

--latency '{command: [program, argument…]}' has a program of yours measure, on
any device: it is given the path of an ONNX file, batch, threads, channels, height
and width as its last arguments, and prints milliseconds (docs/latency.md).

` + modelHelp,
		Example: `  netspace bench infer RegNetX-200MF
  netspace bench infer net.yaml --batch 64 --resolution 28 --channels 1 --classes 10
  netspace bench infer --json --latency '{command: [ssh, phone, ./measure]}' regnety_004`,
	}
	o.add(c, "run")
	c.Flags().StringVar(&o.latency, "latency", "", "a `PROGRAM` that measures in the engine's place: '{command: [program, argument…]}'")
	c.RunE = func(c *cobra.Command, args []string) error { return o.run(c, a, args) }
	return c
}

// meter is what measures.
func (o benchInferOptions) meter(c *cobra.Command) (latency.Meter, error) {
	if !c.Flags().Changed("latency") {
		e, err := openEngine(o.engine)
		return latency.Engine{Engine: e, For: o.duration(), Profile: o.profile}, err
	}
	for _, flag := range []string{"engine", "seconds", "profile"} {
		if c.Flags().Changed(flag) {
			return nil, usagef("--%s is of the engine; with --latency a program measures", flag)
		}
	}
	m, err := latency.ParseCommand(o.latency)
	if err != nil {
		return nil, usagef("--latency: %w", err)
	}
	return m, nil
}

func (o benchInferOptions) run(c *cobra.Command, a *app, models []string) error {
	if err := o.check(); err != nil {
		return err
	}
	meter, err := o.meter(c)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if !a.json {
		fmt.Fprintln(table, "model\tmedian\t95 %\tfastest\timages/s\truns\tmemory\t")
	}
	var lines []inferLine
	err = o.each(c, a, models, func(name string, in arch.Input, g *graph.Graph) error {
		r, err := meter.Measure(c.Context(), latency.Task{Graph: g, Batch: o.batch, Threads: o.threads})
		if err != nil {
			return err
		}
		l := inferLine{
			Model: name, Resolution: in.Width, Batch: o.batch, Threads: o.threads,
			Milliseconds: r.Milliseconds, P95: r.P95, Fastest: r.Fastest, ImagesPerSecond: r.ImagesPerSecond(o.batch), Runs: r.Runs,
			MemoryMiB: unknownAsNaN(float64(r.Memory) / (1 << 20)), Profile: r.Profile,
		}
		if a.json {
			return a.emit(l)
		}
		memory := "-"
		if r.Memory > 0 {
			memory = fmt.Sprintf("%.1f MiB", l.MemoryMiB)
		}
		fmt.Fprintf(table, "%s\t%.3f ms\t%.3f ms\t%.3f ms\t%.0f\t%d\t%s\t\n", name, l.Milliseconds, l.P95, l.Fastest, l.ImagesPerSecond, l.Runs, memory)
		lines = append(lines, l)
		return nil
	})
	if err != nil {
		return err
	}
	if err := table.Flush(); err != nil || !o.profile {
		return err
	}
	for _, l := range lines {
		if err := printProfile(a.out, l.Model, "run", l.Profile); err != nil {
			return err
		}
	}
	return nil
}
