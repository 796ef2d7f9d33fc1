package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"netspace/analysis"
	"netspace/design"
	"netspace/internal/atomicfile"
	"netspace/report"
	"netspace/study"
)

func newDesignCmd(a *app) *cobra.Command {
	var o studyRunOptions
	c := &cobra.Command{
		Use:   "design FILE|DIR",
		Short: "Refine a space rule by rule, each decided by fresh networks, until no rule passes",
		Long: `Run the loop of design: train networks of a start space, choose the rule that they
support best, train fresh networks of the space with that rule until it is decided whether
it may take the place of the space as it is, keep the rule if the simpler space is better
or not worse by the margin, and go on until no rule passes or the budget is spent.

FILE is a study file with a block design in the place of samples and spaces: docs/design.md
explains it. The folder is a study folder, which status, top, compare, report and export read.
design.json in it has every decision, spaces/ the space files, design.html the report. The
command may be interrupted or killed at any time: run again, with FILE or the folder, it
comes to the same decisions and trains nothing twice; with a larger budget it goes on.

Exit status: 0 the loop has ended, 130 interrupted, 75 stopped by a scheduler (SIGTERM), 2
the file or the folder is wrong.`,
		Example: `  netspace design examples/design.yaml
  netspace design out/design --workers 8 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.design(c.Context(), a, args[0]) },
	}
	o.add(c.Flags())
	return c
}

// design runs a design loop, and writes its report.
func (o studyRunOptions) design(ctx context.Context, a *app, target string) error {
	o.command = "design"
	req, err := o.request(a, target)
	if err != nil {
		return err
	}
	_, dir, err := req.Read()
	if err != nil {
		return studyError(err)
	}
	l, err := design.Loop(ctx, req, design.LoopOptions{
		Train: func(ctx context.Context, run *study.Run) error {
			_, err := o.train(ctx, a, run)
			return err
		},
		Look: func(l design.Look) { a.note("   %s", l) },
		Tell: a.note,
		Decided: func(r analysis.Rung) {
			if a.json {
				_ = a.emit(struct {
					Event string `json:"event"`
					analysis.Rung
				}{"rung", r}) // a reader that went away must not stop the loop
			}
		},
	})
	if err != nil {
		return startError(err)
	}
	page := filepath.Join(dir, "design.html")
	if err := writePage(ctx, dir, page); err != nil {
		return err
	}
	if a.json {
		return a.emit(struct {
			Event string `json:"event"`
			analysis.Ladder
			Report string `json:"report"`
		}{"ladder", l, page})
	}
	if err := report.Ladder(a.out, l); err != nil {
		return err
	}
	space := l.Found
	if n := len(l.Spaces()); n > 1 {
		space = displayPath(filepath.Join(dir, "spaces", l.Found+".yaml"))
	}
	fmt.Fprintf(a.out, "space: %s\nreport: %s\n", space, displayPath(page))
	return nil
}

// writePage writes the page of a design loop or a search.
func writePage(ctx context.Context, dir, page string) error {
	source, err := analysis.Load(ctx, dir)
	if err != nil {
		return err
	}
	o := analysis.Options{Delta: analysis.DefaultDelta}
	if source.Ladder != nil {
		o.Delta = source.Ladder.Delta
	}
	c, err := analysis.Compare(ctx, []analysis.Source{source}, o)
	if err != nil {
		return unfinished(err, []string{dir})
	}
	f, err := c.Findings()
	if err != nil {
		return err
	}
	return atomicfile.Write(page, 0o644, func(w io.Writer) error { return report.Page(w, f) })
}
