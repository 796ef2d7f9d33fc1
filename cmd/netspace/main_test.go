package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"netspace/engine"
	"netspace/engine/engines"
)

// The test program is also the program: netspace and netspaceCmd start it
// again as a process of its own, with its workers.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "as-trainer" {
		os.Exit(asTrainer())
	}
	switch os.Getenv("NETSPACE_TEST_PROGRAM") {
	case "1":
		main()
	case "panic":
		start(func() int { panic("a bug") })
	case "panic elsewhere":
		start(func() int {
			go panic("a bug")
			select {}
		})
	}
	os.Exit(runTests(m))
}

// runTests keeps the decoded images of the tests out of the user's cache.
func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "netspace-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	return m.Run()
}

// netspaceCmd is the program with arguments, not started yet.
func netspaceCmd(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), "NETSPACE_TEST_PROGRAM=1")
	return c
}

// netspace runs the program and gives what it printed and its exit status.
func netspace(t testing.TB, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	c := netspaceCmd(t, args...)
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		status = exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	return out.String(), errs.String(), status
}

// needDefaultEngine skips a test where this build or machine lacks the engine
// that trains by default.
func needDefaultEngine(t testing.TB) {
	t.Helper()
	_, err := engines.Open(engines.Config{})
	var lacking *engine.ErrUnavailable
	if errors.As(err, &lacking) {
		t.Skip(err)
	}
}

// writeFile writes a file in a new folder and gives its path.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEveryCommandHasHelpAndExample(t *testing.T) {
	root := (&app{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}}).root()
	for _, c := range root.Commands() {
		for _, leaf := range append(c.Commands(), c) {
			if leaf.HasSubCommands() {
				continue
			}
			if leaf.Short == "" || leaf.Long == "" || leaf.Example == "" {
				t.Errorf("%s lacks a short text, a long text or an example", leaf.CommandPath())
			}
		}
	}
}

// Status 2 is the user's fault; that of a bug must be another one.
func TestPanicsAreNoWrongRequests(t *testing.T) {
	for _, where := range []string{"panic", "panic elsewhere"} {
		c := netspaceCmd(t)
		c.Env = append(os.Environ(), "NETSPACE_TEST_PROGRAM="+where)
		out, err := c.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() == exitUsage || exit.ExitCode() == exitOK {
			t.Errorf("%s: %v", where, err)
		}
		if !strings.Contains(string(out), "a bug") {
			t.Errorf("%s is not told: %s", where, out)
		}
	}
}
