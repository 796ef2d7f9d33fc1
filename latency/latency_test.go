package latency

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"netspace/arch"
	"netspace/engine/reference"
	"netspace/graph"
)

// The test program is also the program that measures.
func TestMain(m *testing.M) {
	if how := os.Getenv("NETSPACE_TEST_METER"); how != "" {
		os.Exit(pretend(how, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// pretend is a program that measures in the way that a test asks for.
func pretend(how string, args []string) int {
	switch how {
	case "shape": // what it was given, as numbers
		model, err := os.ReadFile(args[len(args)-6])
		if err != nil || !strings.Contains(string(model), "images") || args[0] != "own argument" {
			fmt.Fprintln(os.Stderr, "the model is", err, "the arguments are", args)
			return 1
		}
		fmt.Println(strings.Join(args[len(args)-5:], "\n"))
	case "fails":
		fmt.Fprintln(os.Stderr, "no such phone")
		return 3
	case "sleeps":
		time.Sleep(time.Minute)
	default:
		fmt.Print(how)
	}
	return 0
}

func small(t *testing.T) *graph.Graph {
	t.Helper()
	s, err := arch.ParseSpec([]byte("{family: regnet, depth: 2, w0: 8, wa: 8, wm: 2, group_width: 4, stem: {type: cifar, width: 8}, channels: 3, classes: 4}"), "")
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.Graph(arch.Input{Channels: 3, Height: 9, Width: 11, Classes: 4})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestEngine(t *testing.T) {
	m := Engine{Engine: reference.New(), For: time.Millisecond}
	r, err := m.Measure(context.Background(), Task{Graph: small(t), Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	if r.Runs < minRuns || !(r.Milliseconds > 0) || r.P95 < r.Milliseconds || r.Memory <= 0 {
		t.Errorf("%+v", r)
	}
	if got, want := r.ImagesPerSecond(2)*r.Milliseconds, 2000.0; got < want*0.999 || got > want*1.001 {
		t.Errorf("%g images/s at %g ms a batch of 2", r.ImagesPerSecond(2), r.Milliseconds)
	}
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Measure(stopped, Task{Graph: small(t)}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := m.Measure(context.Background(), Task{Graph: small(t), Batch: -1}); err == nil {
		t.Error("a batch of -1: no error")
	}
	m.Profile = true
	if _, err := m.Measure(context.Background(), Task{Graph: small(t)}); err == nil || !strings.Contains(err.Error(), "reference") {
		t.Errorf("a profile of an engine that has none: %v", err)
	}
}

func TestCommand(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	task := Task{Graph: small(t), Batch: 64, Threads: 2}
	measure := func(ctx context.Context, how string) (Result, error) {
		t.Setenv("NETSPACE_TEST_METER", how)
		return Command{Argv: []string{self, "own argument"}}.Measure(ctx, task)
	}
	ctx := context.Background()
	// Batch 64, 2 threads, 3×9×11: sorted 2 3 9 11 64.
	if r, err := measure(ctx, "shape"); err != nil || r.Milliseconds != 9 || r.P95 != 64 || r.Fastest != 2 || r.Runs != 5 || r.Memory != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := measure(ctx, " 1.5e0\n"); err != nil || r.Milliseconds != 1.5 || r.P95 != 1.5 || r.Runs != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	for how, want := range map[string]string{"fails": "no such phone", "1 0": `"0"`, "2 NaN": `"NaN"`, "fast": `"fast"`, " \n": "nothing", "3 Inf": `"Inf"`} {
		_, err := measure(ctx, how)
		var wrong *CommandError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), self) {
			t.Errorf("%q: %v, want a *CommandError with %s", how, err, want)
		}
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := measure(short, "sleeps"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a program that never ends: %v", err)
	}
	if _, err := (Command{Argv: []string{self + "-gone"}}).Measure(ctx, task); err == nil {
		t.Error("a program that is not there: no error")
	}
}

func TestParseCommand(t *testing.T) {
	c, err := ParseCommand("{command: [ssh, phone, ./measure]}")
	if err != nil || strings.Join(c.Argv, "|") != "ssh|phone|./measure" {
		t.Errorf("%q, %v", c.Argv, err)
	}
	for _, text := range []string{"engine", "{command: []}", "{command: ['']}", "{program: [a]}", "[a]", "{command: [a], unknown: 1}", "", "{"} {
		if c, err := ParseCommand(text); err == nil {
			t.Errorf("%q is read as %q", text, c.Argv)
		}
	}
}
