package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/engine"
	"netspace/engine/engines"
	"netspace/graph"
	"netspace/train"
)

// benchLine is one line of bench train --json.
type benchLine struct {
	Model           string        `json:"model"`
	Resolution      int           `json:"resolution"`
	Batch           int           `json:"batch"`
	Threads         int           `json:"threads"`
	Activations     string        `json:"activations,omitempty"` // of what a step keeps; absent: float32
	ImagesPerSecond float64       `json:"images_per_second"`
	GFLOPS          float64       `json:"gflops"`
	PeakGFLOPS      number        `json:"peak_gflops"`   // null for an engine that cannot tell, as the next
	PeakFraction    number        `json:"peak_fraction"` // GFLOPS / PeakGFLOPS
	CompileSeconds  float64       `json:"compile_seconds"`
	MemoryMiB       float64       `json:"memory_mib"`
	Profile         []engine.Cost `json:"profile,omitempty"`
}

// benchOptions are what bench train and bench infer are told.
type benchOptions struct {
	inputFlags
	batch, threads int
	seconds        float64
	engine         string
	profile        bool
	activations    string // of bench train
}

// add makes the flags; what is measured is called a step or a run.
func (o *benchOptions) add(c *cobra.Command, what string) {
	c.Args, c.ValidArgsFunction = cobra.MinimumNArgs(1), completeModels
	o.inputFlags.add(c)
	f := c.Flags()
	f.IntVar(&o.batch, "batch", o.batch, "images per "+what)
	f.IntVar(&o.threads, "threads", o.threads, "threads of a "+what)
	f.Float64Var(&o.seconds, "seconds", o.seconds, "seconds to measure each network for")
	f.StringVar(&o.engine, "engine", engines.Default, engines.Help())
	f.BoolVar(&o.profile, "profile", false, "show where the time of a "+what+" goes")
}

func (o *benchOptions) check() error {
	if o.batch < 1 || o.threads < 1 || !(o.seconds > 0) {
		return usagef("--batch %d, --threads %d, --seconds %g: batch and threads are at least 1, seconds above 0", o.batch, o.threads, o.seconds)
	}
	return nil
}

// each builds the networks, one after the other, for the images that the flags or the models state.
func (o *benchOptions) each(c *cobra.Command, a *app, models []string, measure func(name string, in arch.Input, g *graph.Graph) error) error {
	for _, name := range models {
		m, err := a.resolve(name)
		if err != nil {
			return err
		}
		in, err := o.input(c, m.Spec)
		if err != nil {
			return err
		}
		g, err := m.Spec.Graph(in)
		if err != nil {
			return usagef("%s: %w", name, err)
		}
		if err := measure(name, in, g); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// duration is how long a network is measured for.
func (o *benchOptions) duration() time.Duration {
	return time.Duration(o.seconds * float64(time.Second))
}

func newBenchCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure speed on this machine",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newBenchTrainCmd(a), newBenchInferCmd(a), newBenchDataCmd(a))
	return c
}

func newBenchTrainCmd(a *app) *cobra.Command {
	o := benchOptions{batch: 128, threads: 1, seconds: 3, activations: train.Float32.String()}
	c := &cobra.Command{
		Use:   "train MODEL…",
		Short: "Measure training steps: forward, backward and update, on images in memory",
		Long: `Measure training steps (forward, backward, update) on random images that are in
memory already. gflops are 6 × forward multiply-adds per image × images/s: two
floating-point operations for each multiply-add of the forward pass and of the
two backward ones. peak_gflops is the multiply-add peak of the same threads,
measured in the same process (the reference engine knows none). --profile adds where the time of a step goes, by kind
of operation and for the slowest single ones.

` + modelHelp,
		Example: `  netspace bench train RegNetX-200MF --batch 32
  netspace bench train net.yaml --resolution 28 --channels 1 --classes 10 --batch 128
  netspace bench train --json --threads 2 regnety_004
  netspace bench train --profile net.yaml
  netspace bench train --activations bf16 net.yaml`,
	}
	o.add(c, "step")
	c.Flags().StringVar(&o.activations, "activations", o.activations, "float32 or bf16: what a step keeps for its backward pass")
	_ = c.RegisterFlagCompletionFunc("activations", cobra.FixedCompletions(train.ActivationsNames(), cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error { return runBenchTrain(c, a, o, args) }
	return c
}

func runBenchTrain(c *cobra.Command, a *app, o benchOptions, models []string) error {
	if err := o.check(); err != nil {
		return err
	}
	activations, err := train.ParseActivations(o.activations)
	if err != nil {
		return usagef("--activations %q: %w", o.activations, err)
	}
	e, err := openEngine(o.engine)
	if err != nil {
		return err
	}
	var table *tabwriter.Writer
	if !a.json {
		table = tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(table, "model\timages/s\tGFLOP/s\tpeak\tof peak\tcompile\tmemory\t")
	}
	var profiles []benchLine
	err = o.each(c, a, models, func(name string, in arch.Input, g *graph.Graph) error {
		s, err := train.Bench(c.Context(), e, g, engine.Options{Batch: o.batch, Threads: o.threads, Activations: activations.Precision()}, o.duration(), o.profile)
		if err != nil {
			return err
		}
		peak := float64(unknownAsNaN(e.Peak(o.threads, peakTime)))
		l := benchLine{
			Model: name, Resolution: in.Width, Batch: o.batch, Threads: o.threads, Activations: string(activations),
			ImagesPerSecond: s.ImagesPerSecond, GFLOPS: s.GFLOPS, PeakGFLOPS: number(peak), PeakFraction: number(s.GFLOPS / peak),
			CompileSeconds: s.Compile.Seconds(), MemoryMiB: float64(s.Memory) / (1 << 20), Profile: s.Profile,
		}
		if a.json {
			return a.emit(l)
		}
		of, share := "-", "-"
		if !math.IsNaN(peak) {
			of, share = fmt.Sprintf("%.1f", peak), fmt.Sprintf("%.0f %%", 100*l.PeakFraction)
		}
		fmt.Fprintf(table, "%s\t%.0f\t%.1f\t%s\t%s\t%.2f s\t%.0f MiB\t\n", name, l.ImagesPerSecond, l.GFLOPS, of, share, l.CompileSeconds, l.MemoryMiB)
		profiles = append(profiles, l)
		return nil
	})
	if err != nil || a.json {
		return err
	}
	if err := table.Flush(); err != nil || !o.profile {
		return err
	}
	for _, l := range profiles {
		if err := printProfile(a.out, l.Model, "step", l.Profile); err != nil {
			return err
		}
	}
	return nil
}

// unknownAsNaN is v, or NaN for the 0 of what is not known.
func unknownAsNaN(v float64) number {
	if v == 0 {
		return number(math.NaN())
	}
	return number(v)
}

// peakTime is how long the peak of the machine is measured for each network:
// near to it in time, since machines change their clock.
const peakTime = 200 * time.Millisecond

// slowest is how many single ops a profile shows.
const slowest = 12

// printProfile shows the time of a step or run by kind of op, and the ops that take the most.
func printProfile(w io.Writer, model, what string, profile []engine.Cost) error {
	kinds := map[string]*engine.Cost{}
	var order []*engine.Cost
	ops := slices.Clone(profile)
	total := 0.0
	for _, c := range ops {
		k := kinds[c.Kind]
		if k == nil {
			k = &engine.Cost{Kind: c.Kind}
			kinds[c.Kind] = k
			order = append(order, k)
		}
		k.Seconds += c.Seconds
		k.Flops += c.Flops
		total += c.Seconds
	}
	bySeconds := func(a, b float64) int { return cmp.Compare(b, a) }
	slices.SortStableFunc(order, func(a, b *engine.Cost) int { return bySeconds(a.Seconds, b.Seconds) })
	slices.SortStableFunc(ops, func(a, b engine.Cost) int { return bySeconds(a.Seconds, b.Seconds) })
	fmt.Fprintf(w, "\n%s: %.2f ms a %s\n", model, 1e3*total, what)
	rate := func(c *engine.Cost) string {
		if c.Flops == 0 || c.Seconds == 0 {
			return ""
		}
		return fmt.Sprintf("%.0f", c.Flops/c.Seconds/1e9)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "share\tms\tGFLOP/s\twhere")
	for _, c := range order {
		fmt.Fprintf(table, "%.1f %%\t%.3f\t%s\t%s\n", 100*c.Seconds/total, 1e3*c.Seconds, rate(c), c.Kind)
	}
	fmt.Fprintln(table, "\t\t\t")
	for _, c := range ops[:min(slowest, len(ops))] {
		fmt.Fprintf(table, "%.1f %%\t%.3f\t%s\t%s\n", 100*c.Seconds/total, 1e3*c.Seconds, rate(&c), strings.Join(slices.DeleteFunc([]string{c.Layer, c.Kind, c.Shape, c.Kernel}, func(s string) bool { return s == "" }), "  "))
	}
	return table.Flush()
}
