//go:build unix

package atomicfile

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A link stays a link, also one to a file that is not there yet, and one in a
// folder that is reached by a link.
func TestLinksAreFollowed(t *testing.T) {
	base := t.TempDir()
	for _, dir := range []string{"a/deep", "b"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, name string) string {
		t.Helper()
		name = filepath.Join(base, name)
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
		return name
	}
	link("../a/deep", "b/dir")
	for _, c := range []struct{ link, file string }{
		{link("file", "a/one"), "a/file"},
		{link(filepath.Join(base, "a/one"), "b/two"), "a/file"},
		{link("../up", "b/dir/three"), "a/up"},
	} {
		for _, want := range []string{"first", "second"} {
			if err := WriteFile(c.link, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Lstat(c.link); err != nil || info.Mode()&os.ModeSymlink == 0 {
				t.Fatalf("%s is no link any more: %v, %v", c.link, info, err)
			}
			if got, err := os.ReadFile(filepath.Join(base, c.file)); err != nil || string(got) != want {
				t.Fatalf("%s holds %q, %v; want %q", c.file, got, err, want)
			}
		}
	}
	link("loop", "loop")
	if err := WriteFile(filepath.Join(base, "loop"), nil, 0o644); err == nil {
		t.Error("a link to itself was written to")
	}
}

func TestDevicesAndPipesAreWrittenTo(t *testing.T) {
	if err := WriteFile("/dev/null", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat("/dev/null"); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		t.Fatalf("/dev/null is %v, %v", info.Mode(), err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		data, _ := os.ReadFile(pipe)
		read <- string(data)
	}()
	if err := WriteFile(pipe, []byte("through"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "through" {
		t.Errorf("the pipe gave %q", got)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the pipe is %v, %v", info.Mode(), err)
	}
}

func TestFoldersAreRefused(t *testing.T) {
	dir := t.TempDir()
	err := WriteFile(dir, []byte("x"), 0o644)
	if err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("error %v", err)
	}
}

func TestOldFilesKeepTheirMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "private")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// What a shell has written to the file before is still there.
func TestStandardOutputOfAShell(t *testing.T) {
	if os.Getenv("ATOMICFILE_STDOUT") != "" {
		if err := WriteFile("/dev/stdout", []byte("written\n"), 0o644); err != nil {
			io.WriteString(os.Stderr, err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	file := filepath.Join(t.TempDir(), "log")
	for _, script := range []string{
		`echo before > "$1"; "$0" -test.run TestStandardOutputOfAShell >> "$1"`,
		`(echo before; "$0" -test.run TestStandardOutputOfAShell) > "$1"`,
		`(echo before; "$0" -test.run TestStandardOutputOfAShell) | cat > "$1"`,
	} {
		cmd := exec.Command("sh", "-c", script, os.Args[0], file)
		cmd.Env = append(os.Environ(), "ATOMICFILE_STDOUT=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != "before\nwritten\n" {
			t.Errorf("%s: %q, %v", script, got, err)
		}
	}
}
