// Command calibrate simulates what the statistics of the project promise, on made-up populations and on a real one
// (examples/population.jsonl), and writes what came of it into docs/statistics.md. It runs in the root of the repository.
//
//	go run ./internal/calibrate -o docs/statistics.md              # minutes
//	go run ./internal/calibrate -runs 100                          # to the terminal
//
// The same -runs and -seed give the same tables.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"netspace/internal/atomicfile"
)

// The tables stand between these lines of the document.
const (
	begin = "<!-- begin: make calibrate -->\n"
	end   = "<!-- end: make calibrate -->\n"
)

func main() {
	runs := flag.Int("runs", 600, "simulated populations for each number")
	seed := flag.Uint64("seed", 1, "of the simulations")
	output := flag.String("o", "", "document to write the tables into")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *output != "" {
		err = write(ctx, *output, simulation{*runs, *seed}, os.Stderr)
	} else {
		err = simulation{*runs, *seed}.tables(ctx, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "calibrate:", err)
		os.Exit(1)
	}
}

// write writes the tables into a document, and shows each when it is done.
func write(ctx context.Context, file string, s simulation, progress io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(text), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s: the tables stand between the lines %s and %s, which are not there", file, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	var b bytes.Buffer
	if err := s.tables(ctx, io.MultiWriter(&b, progress)); err != nil {
		return err
	}
	return atomicfile.WriteFile(file, []byte(head+begin+b.String()+end+tail), 0o644)
}

// tables writes all tables as Markdown.
func (s simulation) tables(ctx context.Context, w io.Writer) error {
	fmt.Fprintf(w, "%d simulations for each number, so that a share of 5 %% is known to ± %.1f.\n\n", s.runs, 100*halfWidth(s.runs))
	for _, table := range []func(context.Context, io.Writer) error{s.comparisons, s.power, s.selections, s.rules, s.decisions} {
		if err := table(ctx, w); err != nil {
			return err
		}
	}
	return nil
}
