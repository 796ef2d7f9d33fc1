package study

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"netspace/strict"
)

// Slurm is what a study asks of a Slurm cluster (docs/slurm.md). The zero value asks for what the cluster
// gives to those who ask for nothing. It may change while a study goes on.
type Slurm struct {
	Partition, Account string        // "": the user's default
	Time               time.Duration // limit of a job; 0: the partition's
	Memory             int64         // bytes of a job; 0: the cluster's default
	CPUs               int           // of a job; 0 means one for each of its workers, and one worker
	GPUs               int           // of a job
	Workers            int           // in all jobs together; 0: as many as there are networks, up to DefaultSlurmWorkers
	Options            []string      // of sbatch, further ones
}

// DefaultSlurmWorkers is how many workers a study asks a cluster for at most if it does not say.
const DefaultSlurmWorkers = 100

// Bounds of a Slurm's numbers: more than there is anywhere, to find slips of the finger.
const (
	maxSlurmCPUs    = 4096
	maxSlurmGPUs    = 64
	maxSlurmWorkers = 100_000
	minSlurmTime    = 2 * time.Minute // a job is told to stop a minute before its end
	maxSlurmTime    = 8760 * time.Hour
)

// JobWorkers is the number of workers in each job: one per GPU, else one per CPU.
func (s Slurm) JobWorkers() int {
	return max(1, cmp.Or(s.GPUs, s.CPUs))
}

var slurmName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._,@+-]*$`)

// ownOptions are the options of sbatch that belong to the executor, or have a key of their own.
var ownOptions = map[string]string{
	"--partition": "partition", "-p": "partition", "--account": "account", "-A": "account", "--time": "time", "-t": "time",
	"--mem": "memory", "--cpus-per-task": "cpus", "-c": "cpus",
	"--array": "", "-a": "", "--job-name": "", "-J": "", "--output": "", "-o": "", "--error": "", "-e": "", "--chdir": "", "-D": "",
	"--parsable": "", "--wrap": "", "--signal": "", "--requeue": "", "--no-requeue": "", "--open-mode": "", "--nodes": "", "-N": "",
	"--ntasks": "", "-n": "", "--wait": "", "-W": "", "--hold": "", "-H": "", "--test-only": "", "--clusters": "", "-M": "", "--export": "",
}

// checkOption says what is wrong with an option of sbatch, or "".
func checkOption(option string) string {
	name := option
	if i := strings.IndexAny(option, "= "); i >= 0 {
		name = option[:i]
	}
	short := len(name) > 1 && name[0] == '-' && name[1] != '-'
	if short && len(name) > 2 {
		name = name[:2] // -pNAME
	}
	key, own := ownOptions[name]
	for long := range ownOptions { // sbatch takes beginnings of names
		own = own || len(name) > 2 && strings.HasPrefix(long, name)
	}
	switch {
	case !strings.HasPrefix(option, "-") || name == "-" || name == "--" || strings.ContainsAny(option, "\n\x00"):
		return "must be an option of sbatch with its value, such as --constraint=avx512"
	case own && key != "":
		return "has a key of its own: " + key
	case own:
		return "is what netspace states itself"
	}
	return ""
}

// Validate checks the values, which may come from flags. The error is a *strict.Error whose paths are
// the keys of the study file below executor.slurm.
func (s Slurm) Validate() error {
	var faults strict.Faults
	name := func(path, v string) {
		if v != "" && !slurmName.MatchString(v) {
			faults.Add(strict.Fault{Path: path, Value: v, Rule: "must be a name of letters, digits and ._-,@+"})
		}
	}
	number := func(path string, v, most int) {
		if v < 0 || v > most {
			faults.Add(strict.Fault{Path: path, Value: strconv.Itoa(v), Rule: fmt.Sprintf("must be from 1 to %d", most)})
		}
	}
	name("partition", s.Partition)
	name("account", s.Account)
	number("cpus", s.CPUs, maxSlurmCPUs)
	number("gpus", s.GPUs, maxSlurmGPUs)
	number("workers", s.Workers, maxSlurmWorkers)
	if s.Time != 0 && (s.Time < minSlurmTime || s.Time > maxSlurmTime) {
		faults.Add(strict.Fault{Path: "time", Value: s.Time.String(), Rule: "must be a time from 2m to 8760h, such as 90m or 48h"})
	}
	if s.Memory != 0 && (s.Memory < 1_000_000 || s.Memory > 1<<50) {
		faults.Add(strict.Fault{Path: "memory", Value: humanize.IBytes(uint64(s.Memory)), Rule: memoryRule})
	}
	for i, option := range s.Options {
		if wrong := checkOption(option); wrong != "" {
			faults.Add(strict.Fault{Path: strict.Index("options", i), Value: option, Rule: wrong})
		}
	}
	return faults.Err()
}

// readSlurm reads executor.slurm; nil if the study says nothing of it.
func readSlurm(doc *strict.Doc, f *strict.Fields) *Slurm {
	if f == nil {
		return nil
	}
	f.Require("slurm")
	in := f.Map("slurm")
	f.Finish()
	if in == nil {
		return nil
	}
	s := &Slurm{}
	in.String("partition", &s.Partition)
	in.String("account", &s.Account)
	readDuration(in, "time", &s.Time)
	readBytes(in, "memory", &s.Memory)
	whole(doc, in, "cpus", &s.CPUs, 1, maxSlurmCPUs)
	whole(doc, in, "gpus", &s.GPUs, 1, maxSlurmGPUs)
	whole(doc, in, "workers", &s.Workers, 1, maxSlurmWorkers)
	in.Strings("options", &s.Options)
	in.Finish()
	var bad *strict.Error
	if errors.As(s.Validate(), &bad) {
		for i := range bad.Faults {
			bad.Faults[i].Path = "executor.slurm." + bad.Faults[i].Path
		}
		relocate(doc, bad)
	}
	return s
}
