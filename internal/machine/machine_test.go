package machine

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
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
