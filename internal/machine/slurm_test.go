//go:build unix

package machine

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeSlurm puts commands of Slurm into PATH, the one that lists partitions being a script.
func fakeSlurm(t *testing.T, sinfo string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range map[string]string{"sbatch": "exit 1", "sinfo": sinfo} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestAskSlurm(t *testing.T) {
	fakeSlurm(t, `[ "$*" = "--noheader --exact --format=%P|%a|%l|%F|%c|%m|%G" ] || exit 9
echo 'cpu*|up|4-00:00:00|3/5/2/10|64|257000|(null)'
echo 'gpu|drain|infinite|1/1/0/2|96|1031000|gpu:a100:4(S:0-1)'`)
	s := AskSlurm(t.Context())
	want := []Partition{
		{Name: "cpu", Default: true, State: "up", TimeLimit: "4-00:00:00", Nodes: 10, Working: 8, CPUs: 64, Memory: 257000 << 20},
		{Name: "gpu", State: "drain", TimeLimit: "infinite", Nodes: 2, Working: 2, CPUs: 96, Memory: 1031000 << 20, GRES: "gpu:a100:4(S:0-1)"},
	}
	if !s.Answers || s.Problem != "" || !slices.Equal(s.Partitions, want) {
		t.Errorf("%+v", s)
	}

	fakeSlurm(t, `echo "slurm_load_partitions: Unable to contact slurm controller (connect failure)" >&2; exit 1`)
	if s := AskSlurm(t.Context()); s.Answers || !strings.Contains(s.Problem, "Unable to contact slurm controller") {
		t.Errorf("no controller: %+v", s)
	}

	fakeSlurm(t, "exec sleep 1000")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if s := AskSlurm(ctx); s.Answers || !strings.Contains(s.Problem, "no answer") {
		t.Errorf("a controller that does not answer: %+v", s)
	}

	fakeSlurm(t, "echo 'cpu|up|infinite|3/5/2|64'")
	if s := AskSlurm(t.Context()); !s.Answers || s.Problem == "" {
		t.Errorf("an answer of another form: %+v", s)
	}
}
