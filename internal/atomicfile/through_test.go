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
	"time"
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

// What a killed writer left goes, what a living one writes stays.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	if os.Getenv("ATOMICFILE_HANG") != "" {
		WriteFile(filepath.Join(os.Getenv("ATOMICFILE_HANG"), "x"), nil, 0o644)
		Write(filepath.Join(os.Getenv("ATOMICFILE_HANG"), "killed"), 0o644, func(io.Writer) error {
			io.WriteString(os.Stdout, "here\n")
			select {}
		})
	}
	cmd := exec.Command(os.Args[0], "-test.run", "TestSweep")
	cmd.Env = append(os.Environ(), "ATOMICFILE_HANG="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		found, err := filepath.Glob(filepath.Join(dir, ".*.tmp"))
		if err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-time.Hour)
		for _, f := range found {
			if err := os.Chtimes(f, old, old); err != nil {
				t.Fatal(err)
			}
		}
		return len(found)
	}
	if n := count(); n != 1 {
		t.Fatalf("%d temporary files while one is written", n)
	}
	if Sweep(dir); count() != 1 {
		t.Error("the file of a living writer was removed")
	}
	cmd.Process.Kill()
	cmd.Wait()
	if Sweep(dir); count() != 0 {
		t.Error("the file of a dead writer was not removed")
	}
}
