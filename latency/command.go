package latency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"netspace/internal/tail"
	"netspace/interop/onnx"
	"netspace/strict"
	"netspace/weights"
)

// Command measures by a program of the user's, on whatever device it has or reaches. It is started as
//
//	ARGV… FILE BATCH THREADS CHANNELS HEIGHT WIDTH
//
// where FILE is the network as an ONNX model whose input "images" takes [N,C,H,W], and has to print the
// milliseconds of a batch: one number, or one for each of several runs, with white space between and nothing else.
type Command struct {
	Argv []string // program and arguments
}

var _ Meter = Command{}

// CommandError says that a program did not measure.
type CommandError struct {
	Argv []string
	Err  error
	Said string // the last lines of its standard error, or of what it printed in place of numbers
}

func (e *CommandError) Error() string {
	s := fmt.Sprintf("latency: %s: %v", strings.Join(e.Argv, " "), e.Err)
	if e.Said != "" {
		s += "\n" + e.Said
	}
	return s
}

func (e *CommandError) Unwrap() error { return e.Err }

// Measure implements Meter. The program is interrupted when ctx is done, and killed a second later. What it
// does wrong is a *CommandError.
func (m Command) Measure(ctx context.Context, t Task) (r Result, err error) {
	if t, err = t.withDefaults(); err != nil {
		return Result{}, err
	}
	if len(m.Argv) == 0 {
		return Result{}, &CommandError{m.Argv, errors.New("no program"), ""}
	}
	dir, err := os.MkdirTemp("", "netspace-latency-*")
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "net.onnx")
	f, err := os.Create(path)
	if err != nil {
		return Result{}, err
	}
	err = onnx.Write(f, t.Graph, weights.Initial(t.Graph, 1, false), onnx.Options{Name: "netspace"})
	if err = errors.Join(err, f.Close()); err != nil {
		return Result{}, err
	}
	in := t.Graph.Input()
	args := append(m.Argv[1:len(m.Argv):len(m.Argv)], path)
	for _, n := range []int{t.Batch, t.Threads, in.C, in.H, in.W} {
		args = append(args, strconv.Itoa(n))
	}
	c := exec.CommandContext(ctx, m.Argv[0], args...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = time.Second
	var out bytes.Buffer
	var complaints tail.Writer
	c.Stdout, c.Stderr = &out, &complaints
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
		return Result{}, &CommandError{m.Argv, err, complaints.Lines()}
	}
	runs, err := milliseconds(out.String())
	if err != nil {
		return Result{}, &CommandError{m.Argv, err, tail.Lines(out.String())}
	}
	return resultOf(runs), nil
}

// milliseconds reads what a program prints.
func milliseconds(text string) ([]float64, error) {
	var runs []float64
	for _, word := range strings.Fields(text) {
		v, err := strconv.ParseFloat(word, 64)
		if err != nil || !(v > 0) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("it printed %q; it must print milliseconds, numbers above 0, and nothing else", word)
		}
		runs = append(runs, v)
	}
	if len(runs) == 0 {
		return nil, errors.New("it printed nothing; it must print the milliseconds of a batch")
	}
	return runs, nil
}

// ParseCommand reads a Command as files state it, "{command: [program, argument…]}". An error is a *strict.Error.
func ParseCommand(text string) (Command, error) {
	doc, err := strict.Parse([]byte("latency: "+text), "latency")
	if err != nil {
		return Command{}, err
	}
	f := doc.Root()
	c, _ := ReadCommand(f)
	f.Finish()
	return c, doc.Err()
}

// ReadCommand reads the field "latency" of a file, which must be a Command; ok says that it is there.
func ReadCommand(f *strict.Fields) (c Command, ok bool) {
	v, ok := f.Value("latency")
	if !ok {
		return c, false
	}
	m, isMap := v.Fields()
	if isMap {
		m.Strings("command", &c.Argv)
		m.Finish()
	}
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		v.Fail("must be {command: [program, argument…]}")
	}
	return c, true
}
