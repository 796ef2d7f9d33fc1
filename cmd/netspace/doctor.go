package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"netspace/dataset"
	"netspace/engine/engines"
	"netspace/internal/machine"
)

// doctorReport is what the doctor finds.
type doctorReport struct {
	Go       string         `json:"go"`
	Platform string         `json:"platform"`
	CPU      machine.CPU    `json:"cpu"`
	Memory   machine.Memory `json:"memory"` // bytes
	Engines  []engineReport `json:"engines"`
	Data     []dataReport   `json:"data"`
	Cache    cacheReport    `json:"cache"`
	Slurm    machine.Slurm  `json:"slurm"`
}

type engineReport struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	Details   string `json:"details"` // version and instruction set, or why it is not available
}

type dataReport struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	Details   string `json:"details"` // where it is, or how to get it
}

type cacheReport struct {
	Folder string `json:"folder"` // of decoded images, "" if there is none
	Bytes  int64  `json:"bytes"`  // in it now
}

func newDoctorCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Show what this machine has: engines, processor, memory, data sets, Slurm",
		Long: `Show what this machine has and what is missing: the training engines with their
versions and instruction sets, processor and memory, the data sets that are known
by name and how to install them, the cache of decoded images, and Slurm: whether a
cluster answers, its partitions, and what their nodes have.`,
		Example: "  netspace doctor\n  netspace doctor --json | jq .engines",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return doctor(c.Context(), a) },
	}
}

// slurmPatience is how long the doctor waits for a cluster's answer.
const slurmPatience = 5 * time.Second

func doctor(ctx context.Context, a *app) error {
	asking, cancel := context.WithTimeout(ctx, slurmPatience)
	defer cancel()
	r := doctorReport{Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		CPU: machine.ReadCPU(), Memory: machine.ReadMemory(), Slurm: machine.AskSlurm(asking)}
	for _, name := range engines.Names() {
		details, err := describeEngine(name)
		if err != nil {
			details = err.Error()
		}
		r.Engines = append(r.Engines, engineReport{Name: name, Available: err == nil, Details: details})
	}
	for _, name := range dataset.Names() {
		r.Data = append(r.Data, lookForData(name))
	}
	r.Cache = cacheReport{Folder: dataset.DefaultCache()}
	entries, _ := os.ReadDir(r.Cache.Folder) // a cache that is not there is empty
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			r.Cache.Bytes += info.Size()
		}
	}
	if a.json {
		return a.emit(r)
	}
	r.print(a)
	return nil
}

// lookForData opens a data set that is known by name.
func lookForData(name string) dataReport {
	data, err := dataset.Open(name, dataset.Options{NoCache: true}) // a look must not write
	if err != nil {
		return dataReport{Name: name, Details: err.Error()}
	}
	defer data.Close()
	return dataReport{Name: name, Available: true, Details: fmt.Sprintf("%d training and %d test images, %d×%d×%d, %d classes",
		data.Train.Len()+data.Val.Len(), data.TestImages, data.Info.Channels, data.Info.Height, data.Info.Width, data.Info.Classes)}
}

func (r doctorReport) print(a *app) {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(a.out, "%-10s %s\n", what, fmt.Sprintf(format, args...))
	}
	check := map[bool]string{true: "yes", false: "no "}
	line("program", "%s, %s", r.Go, r.Platform)
	line("processor", "%s, %d cores, %s", orElse(r.CPU.Model, "unknown"), r.CPU.Cores, orElse(strings.Join(r.CPU.Features, " "), "no known vector instructions"))
	memory := "unknown"
	if r.Memory.Total > 0 {
		memory = fmt.Sprintf("%.1f GiB, %.1f GiB available", gib(r.Memory.Total), gib(r.Memory.Available))
	}
	if r.Memory.Limit > 0 {
		memory += fmt.Sprintf(", limited to %.1f GiB", gib(r.Memory.Limit))
	}
	line("memory", "%s", memory)
	for _, e := range r.Engines {
		line("engine", "%s %s: %s", check[e.Available], e.Name, e.Details)
	}
	for _, d := range r.Data {
		line("data", "%s %s: %s", check[d.Available], d.Name, d.Details)
	}
	line("cache", "%s, %.1f MiB", orElse(r.Cache.Folder, "none: there is no home folder"), float64(r.Cache.Bytes)/(1<<20))
	switch {
	case r.Slurm.Sbatch == "":
		line("slurm", "no  there is no sbatch command")
	case !r.Slurm.Answers:
		line("slurm", "no  %s is here, but no cluster answers: %s", r.Slurm.Sbatch, r.Slurm.Problem)
	default:
		in := ""
		if r.Slurm.Job != "" {
			in = ", in job " + r.Slurm.Job
		}
		line("slurm", "yes %s, a cluster answers%s", r.Slurm.Sbatch, in)
		for _, p := range r.Slurm.Partitions {
			line("partition", "%s", describePartition(p))
		}
		if r.Slurm.Problem != "" {
			line("partition", "%s", r.Slurm.Problem)
		}
	}
}

// describePartition says what a partition is in a line.
func describePartition(p machine.Partition) string {
	text := p.Name
	if p.Default {
		text += " (default)"
	}
	text += fmt.Sprintf(": %s, %d of %d nodes work, each with %d CPUs, %.1f GiB", p.State, p.Working, p.Nodes, p.CPUs, gib(p.Memory))
	if p.GRES != "" {
		text += ", " + p.GRES
	}
	return text + ", time limit " + p.TimeLimit
}

func gib(bytes int64) float64 { return float64(bytes) / (1 << 30) }

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// describeEngine says what an engine is, or why it is not available.
func describeEngine(name string) (string, error) {
	e, err := openEngine(name)
	if err != nil {
		return "", err
	}
	d := e.Describe()
	parts := []string{d.Library, d.ISA, string(d.Precision) + " on " + d.Device}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", "), nil
}
