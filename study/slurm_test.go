package study

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSlurmOfAStudyFile(t *testing.T) {
	const text = "name: s\ndata: {name: d}\nrecipe: {epochs: 1}\nsamples: 1\nspaces: [regnetx]\n"
	for more, want := range map[string]*Slurm{
		"":                      nil,
		"executor: {slurm: {}}": {},
		"executor: {slurm: {partition: 'a,b', account: lab, time: 36h, memory: 2GiB, cpus: 16, gpus: 2, workers: 64, options: [--qos=low, '-Cavx512']}}": {
			Partition: "a,b", Account: "lab", Time: 36 * time.Hour, Memory: 2 << 30, CPUs: 16, GPUs: 2, Workers: 64, Options: []string{"--qos=low", "-Cavx512"}},
	} {
		c, err := ParseConfig([]byte(text+more+"\n"), "s.yaml")
		if diff := cmp.Diff(want, c.Slurm); err != nil || diff != "" {
			t.Errorf("%s: %v: %s", more, err, diff)
		}
	}
	for _, c := range []struct {
		Slurm
		workers int
	}{{Slurm{}, 1}, {Slurm{CPUs: 8}, 8}, {Slurm{CPUs: 8, GPUs: 2}, 2}} {
		if got := c.JobWorkers(); got != c.workers {
			t.Errorf("%+v: %d workers in a job; want %d", c.Slurm, got, c.workers)
		}
	}
}

// Every option that has a key in the study file, or that the executor states, is refused in whatever way it is written; others pass.
func TestSlurmOptions(t *testing.T) {
	for option, good := range map[string]bool{
		"--qos=low": true, "-Cavx512": true, "--gres=gpu:a100:2": true, "--comment=it's ours": true, "--nice": true,
		"--partition=p": false, "-pp": false, "--partition p": false, "--arr=0-3": false, "--mem-per-cpu=1G": true, "--time-min=5": true, "-p": false, "--mem=4G": false, "--array=0-3": false, "--wrap=true": false, "-J x": false,
		"qos=low": false, "-": false, "--": false, "": false, "--comment=a\nb": false,
	} {
		if got := checkOption(option) == ""; got != good {
			t.Errorf("%q: allowed: %v; want %v", option, got, good)
		}
	}
}
