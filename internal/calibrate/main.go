// Command calibrate simulates what the statistics of the project promise, on made-up populations and on a real one
// (examples/population.jsonl), and writes what came of it into docs/statistics.md. It runs in the root of the repository.
//
//	go run ./internal/calibrate -o docs/statistics.md                    # minutes
//	go run ./internal/calibrate -runs 100                                # to the terminal
//	go run ./internal/calibrate -loops -runs 140 -o docs/statistics.md   # what whole design loops come to
//	go run ./internal/calibrate -searches -runs 10 -o docs/search.md     # successive halving beside random search
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

	beginLoops = "<!-- begin: make calibrate-loops -->\n"
	endLoops   = "<!-- end: make calibrate-loops -->\n"

	beginSearch = "<!-- begin: make bench-search -->\n"
	endSearch   = "<!-- end: make bench-search -->\n"
)

func main() {
	runs := flag.Int("runs", 600, "simulated populations for each number")
	seed := flag.Uint64("seed", 1, "of the simulations")
	output := flag.String("o", "", "document to write the tables into")
	loops := flag.Bool("loops", false, "design loops, in the place of the other tables of statistics")
	searches := flag.Bool("searches", false, "successive halving beside random search, in the place of the tables of statistics")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	what := document{begin, end, simulation{*runs, *seed}.tables}
	if *loops {
		what = document{beginLoops, endLoops, simulation{*runs, *seed}.loops}
	}
	if *searches {
		what = document{beginSearch, endSearch, simulation{*runs, *seed}.searches}
	}
	if *output != "" {
		err = what.write(ctx, *output, os.Stderr)
	} else {
		err = what.tables(ctx, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "calibrate:", err)
		os.Exit(1)
	}
}

// document is what stands between two lines of a document.
type document struct {
	begin, end string
	tables     func(ctx context.Context, w io.Writer) error
}

// write writes the tables into a document, and shows each when it is done.
func (d document) write(ctx context.Context, file string, progress io.Writer) error {
	begin, end := d.begin, d.end
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
	if err := d.tables(ctx, io.MultiWriter(&b, progress)); err != nil {
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
