package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	if c := ReadCPU(); c.Cores < 1 || runtime.GOOS == "linux" && runtime.GOARCH == "amd64" && c.Model == "" {
		t.Errorf("%+v", c)
	}
	if m := ReadMemory(); runtime.GOOS == "linux" && (m.Total <= 0 || m.Available <= 0 || m.Available > m.Total) {
		t.Errorf("%+v", m)
	}
}

func TestGroupLimit(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) string {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	self := write("self", "0::/a/b\n")
	if got := groupLimit(self, root); got != 0 {
		t.Errorf("without limits: %d", got)
	}
	write("a/memory.max", "4096\n")
	write("a/b/memory.max", "max\n")
	if got := groupLimit(self, root); got != 4096 {
		t.Errorf("limit of the parent group: %d; want 4096", got)
	}
	write("a/b/memory.max", "1024\n")
	if got := groupLimit(self, root); got != 1024 {
		t.Errorf("own limit: %d; want 1024", got)
	}
	if got := groupLimit(filepath.Join(root, "absent"), root); got != 0 {
		t.Errorf("no control groups: %d; want 0", got)
	}
}

func TestBound(t *testing.T) {
	t.Setenv("SLURM_MEM_PER_NODE", "")
	for _, c := range []struct {
		slurm string
		m     Memory
		want  int64
	}{
		{"", Memory{}, 0},
		{"", Memory{Total: 8 << 30}, 8 << 30},
		{"", Memory{Total: 8 << 30, Limit: 2 << 30}, 2 << 30},
		{"", Memory{Total: 8 << 30, Limit: 20 << 30}, 8 << 30},
		{"1024", Memory{Total: 8 << 30, Limit: 2 << 30}, 1 << 30},
		{"1024", Memory{}, 1 << 30},
		{"0", Memory{Total: 8 << 30}, 8 << 30}, // all of the node
	} {
		t.Setenv("SLURM_MEM_PER_NODE", c.slurm)
		if got := c.m.Bound(); got != c.want {
			t.Errorf("%+v in a job of %q MB: %d; want %d", c.m, c.slurm, got, c.want)
		}
	}
}

// What a process has started counts as its own.
func TestResident(t *testing.T) {
	before := Resident()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux says")
	}
	child := exec.Command("tail", "/dev/zero") // keeps what it reads
	if err := child.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	for start := time.Now(); Resident() < before+64<<20; {
		if time.Since(start) > time.Minute {
			t.Fatalf("%d bytes before and %d with a child that takes more and more", before, Resident())
		}
	}
}
