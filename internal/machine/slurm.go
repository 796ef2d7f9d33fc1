package machine

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Slurm describes the workload manager, if there is one.
type Slurm struct {
	Sbatch string `json:"sbatch"`           // path of the command, "" if there is none
	Job    string `json:"job_id,omitempty"` // of the job that this process runs in, "" if in none

	// Of AskSlurm.
	Answers    bool        `json:"answers"`              // the controller does
	Problem    string      `json:"problem,omitempty"`    // why not
	Partitions []Partition `json:"partitions,omitempty"` // one entry for each kind of nodes in them
}

// Partition is a partition of a Slurm cluster, or those of its nodes that are alike.
type Partition struct {
	Name      string `json:"name"`
	Default   bool   `json:"default"`
	State     string `json:"state"`          // "up", or why it takes or begins no jobs
	TimeLimit string `json:"time_limit"`     // as Slurm writes it: days-hours:minutes:seconds, or "infinite"
	Nodes     int    `json:"nodes"`          // in all
	Working   int    `json:"working"`        // of them that run jobs or wait for some; the others are down or drained
	CPUs      int    `json:"cpus"`           // of a node
	Memory    int64  `json:"memory"`         // of a node, bytes
	GRES      string `json:"gres,omitempty"` // of a node: "gpu:a100:4"
}

// FindSlurm looks for Slurm's commands, and asks nobody.
func FindSlurm() Slurm {
	path, err := exec.LookPath("sbatch")
	if err != nil {
		path = ""
	}
	return Slurm{Sbatch: path, Job: os.Getenv("SLURM_JOB_ID")}
}

// AskSlurm asks the cluster for its partitions too, for as long as ctx lasts.
func AskSlurm(ctx context.Context) Slurm {
	s := FindSlurm()
	if s.Sbatch == "" {
		return s
	}
	c := exec.CommandContext(ctx, "sinfo", "--noheader", "--exact", "--format=%P|%a|%l|%F|%c|%m|%G")
	c.WaitDelay = time.Second
	var out, complaints bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaints
	switch err := c.Run(); {
	case err != nil && ctx.Err() != nil:
		s.Problem = "no answer: " + ctx.Err().Error()
	case err != nil:
		s.Problem = cmp.Or(strings.ReplaceAll(strings.TrimSpace(complaints.String()), "\n", "; "), err.Error())
	default:
		s.Answers = true
		for line := range strings.Lines(out.String()) {
			p, err := parsePartition(strings.TrimSpace(line))
			if err != nil {
				s.Problem = "sinfo: " + err.Error()
				break
			}
			s.Partitions = append(s.Partitions, p)
		}
	}
	return s
}

// parsePartition reads a line of sinfo in the format of AskSlurm.
func parsePartition(line string) (p Partition, err error) {
	part := strings.Split(line, "|")
	if len(part) != 7 {
		return p, fmt.Errorf("%q: not 7 fields", line)
	}
	number := func(text string) int {
		n, e := strconv.Atoi(text)
		if e != nil && err == nil {
			err = fmt.Errorf("%q: %w", line, e)
		}
		return n
	}
	p.Name, p.Default = strings.CutSuffix(part[0], "*")
	p.State, p.TimeLimit = part[1], part[2]
	nodes := strings.Split(part[3], "/") // allocated, idle, other, total
	if len(nodes) != 4 {
		return p, fmt.Errorf("%q: not 4 numbers of nodes", line)
	}
	p.Working, p.Nodes = number(nodes[0])+number(nodes[1]), number(nodes[3])
	p.CPUs, p.Memory = number(part[4]), int64(number(part[5]))<<20
	if part[6] != "(null)" {
		p.GRES = part[6]
	}
	return p, err
}
