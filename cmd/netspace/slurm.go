package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"netspace/executor"
	"netspace/strict"
	"netspace/study"
)

// slurmFlags are what a study asks of a cluster, where the study file says nothing or something else.
type slurmFlags struct {
	study.Slurm
	memory     string
	memoryName string // of its flag
	flags      *pflag.FlagSet
}

// slurmNames are the flags by the keys of executor.slurm in a study file.
var slurmNames = map[string]string{"partition": "partition", "account": "account", "time": "time", "memory": "memory",
	"cpus": "cpus", "gpus": "gpus", "options": "sbatch"}

func (s *slurmFlags) add(f *pflag.FlagSet) {
	s.flags, s.memoryName = f, slurmNames["memory"]
	if f.Lookup(s.memoryName) != nil { // it is that of a network
		s.memoryName = "job-memory"
	}
	f.StringVar(&s.Partition, "partition", "", "slurm: partition, or several with commas")
	f.StringVar(&s.Account, "account", "", "slurm: account that is charged")
	f.DurationVar(&s.Time, "time", 0, "slurm: time limit of a job, such as 4h; jobs go on where it ended them")
	f.StringVar(&s.memory, s.memoryName, "", "slurm: memory of a job, such as 16GB")
	f.IntVar(&s.CPUs, "cpus", 0, "slurm: CPUs of a job; it has a worker for each, if it has no GPUs")
	f.IntVar(&s.GPUs, "gpus", 0, "slurm: GPUs of a job; it has a worker for each")
	f.StringArrayVar(&s.Options, "sbatch", nil, "slurm: a further `OPTION` of sbatch, such as --sbatch=--constraint=avx512; may be repeated")
}

// given are the flags of a cluster that were given, with their values, in the order of their names.
func (s *slurmFlags) given() (all []*pflag.Flag) {
	s.flags.VisitAll(func(f *pflag.Flag) {
		for key, name := range slurmNames {
			if key == "memory" {
				name = s.memoryName
			}
			if f.Name == name && f.Changed {
				all = append(all, f)
			}
		}
	})
	return all
}

// check checks the values. Flags of a cluster together with another executor are a mistake.
func (s *slurmFlags) check(where string) error {
	if given := s.given(); len(given) > 0 && where == "local" {
		return usagef("--%s goes with --executor slurm", given[0].Name)
	}
	if s.memory != "" {
		bytes, err := humanize.ParseBytes(s.memory)
		if err != nil || bytes == 0 || bytes > 1<<50 {
			return usagef("--%s %s: must be a size from 1 MB up, such as 2GB or 1.5GiB", s.memoryName, s.memory)
		}
		s.Memory = int64(bytes)
	}
	var bad *strict.Error
	if errors.As(s.Validate(), &bad) {
		for i, f := range bad.Faults {
			key, _, _ := strings.Cut(f.Path, "[") // of a list
			bad.Faults[i].Path = "--" + slurmNames[key]
		}
		return usage(bad)
	}
	return nil
}

// over gives what the flags say in the place of what a study file says. Options of sbatch are added to those of the file.
func (s *slurmFlags) over(file *study.Slurm, workers int) study.Slurm {
	if file == nil {
		file = &study.Slurm{}
	}
	return study.Slurm{
		Partition: cmp.Or(s.Partition, file.Partition), Account: cmp.Or(s.Account, file.Account),
		Time: cmp.Or(s.Time, file.Time), Memory: cmp.Or(s.Memory, file.Memory),
		CPUs: cmp.Or(s.CPUs, file.CPUs), GPUs: cmp.Or(s.GPUs, file.GPUs), Workers: cmp.Or(workers, file.Workers),
		Options: slices.Concat(file.Options, s.Options),
	}
}

// String is the flags as they would be typed, with a space before each.
func (s *slurmFlags) String() string {
	var b strings.Builder
	for _, f := range s.given() {
		if f.Name == slurmNames["options"] {
			for _, option := range s.Options {
				b.WriteString(" --" + f.Name + "=" + shellescape.Quote(option))
			}
			continue
		}
		b.WriteString(" --" + f.Name + " " + shellescape.Quote(f.Value.String()))
	}
	return b.String()
}

func cancelCommand(dir string) string {
	return fmt.Sprintf("%s study cancel %s", shellescape.Quote(os.Args[0]), shellescape.Quote(displayPath(dir)))
}

func newStudyCancelCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel DIR",
		Short: "End the jobs that train a study on a cluster",
		Long: `Cancel the Slurm jobs of a study, whoever submitted them, and no others. They write
checkpoints and end; "study run" goes on from there. A "study run" that follows the jobs ends, too,
with status 130. With --json, one line: {"cancelled":["4711_0",…]}.`,
		Example: "  netspace study cancel out/demo",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return studyCancel(c.Context(), a, args[0]) },
	}
}

func studyCancel(ctx context.Context, a *app, dir string) error {
	s, err := study.Open(ctx, dir)
	if err != nil {
		return studyError(err)
	}
	a.grace.Store(int64(10 * time.Second)) // a list of jobs is not left half cancelled
	ids, elsewhere, err := executor.CancelSlurm(ctx, s)
	if err != nil {
		return err
	}
	if elsewhere > 0 {
		a.note("%d jobs work in another folder of which %s is a copy: they are left alone", elsewhere, displayPath(dir))
	}
	if a.json {
		return a.emit(map[string]any{"cancelled": slices.Concat([]string{}, ids)})
	}
	if len(ids) == 0 {
		fmt.Fprintln(a.out, "no job of this study is in the queue")
		return nil
	}
	fmt.Fprintf(a.out, "cancelled %d jobs: %s\n", len(ids), strings.Join(ids, " "))
	return nil
}
