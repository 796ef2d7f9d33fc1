package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"netspace/analysis"
	"netspace/figure"
	"netspace/internal/atomicfile"
	"netspace/report"
)

type reportOptions struct {
	compareFlags
	out     string
	figures string
	values  string
}

func newReportCmd(a *app) *cobra.Command {
	var o reportOptions
	c := &cobra.Command{
		Use:   "report DIR…",
		Short: "Write a page about studies: distributions, tests, parameters, best networks",
		Long: `Write one self-contained HTML page about a study, or about several together: the
protocol, the comparison of the spaces with intervals and tests, the error
distributions, error against complexity and against every parameter, training
curves, the best networks drawn, failures with their reasons, and how to repeat it.
The page refers to nothing outside itself. It may be written while a study runs.`,
		Example: `  netspace report out/demo
  netspace report out/demo -o demo.html
  netspace report out/anynet out/regnet -o both.html --figures figures`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c.Context(), a, args) },
	}
	f := c.Flags()
	f.StringVarP(&o.out, "out", "o", "report.html", "the page's file; - for standard output")
	f.StringVar(&o.figures, "figures", "", "folder to write the figures to as well, as SVG files")
	f.StringVar(&o.values, "values", "", "`FILE` to write everything that the page shows to as well, as JSON")
	o.add(f)
	return c
}

// reportLine is what the command says with --json.
type reportLine struct {
	Report  string   `json:"report"`
	Figures []string `json:"figures,omitempty"`
	Values  string   `json:"values,omitempty"`
}

func (o reportOptions) run(ctx context.Context, a *app, dirs []string) error {
	if o.out == "-" && a.json {
		return usagef("-o -: with --json standard output is taken; name a file")
	}
	options, err := o.options()
	if err != nil {
		return err
	}
	sources, err := o.load(ctx, a, dirs)
	if err != nil {
		return err
	}
	c, err := analysis.Compare(ctx, sources, options)
	if err != nil {
		return unfinished(err, dirs)
	}
	f, err := c.Findings()
	if err != nil {
		return err
	}
	if o.out == "-" {
		err = report.Page(a.out, f)
	} else {
		err = atomicfile.Write(o.out, 0o644, func(w io.Writer) error { return report.Page(w, f) })
	}
	if err != nil {
		return err
	}
	if o.values != "" {
		err := atomicfile.Write(o.values, 0o644, func(w io.Writer) error { return json.NewEncoder(w).Encode(f) })
		if err != nil {
			return err
		}
	}
	line := reportLine{Report: o.out, Values: o.values}
	if o.figures != "" {
		if line.Figures, err = o.writeFigures(f); err != nil {
			return err
		}
	}
	if a.json {
		return a.emit(line)
	}
	if o.out != "-" {
		fmt.Fprintf(a.out, "report: %s\n", displayPath(o.out))
	}
	for _, f := range line.Figures {
		a.note("figure: %s", displayPath(f))
	}
	return nil
}

// writeSVG writes a drawing to a file of its own.
func writeSVG(path string, d figure.Drawing) error {
	return atomicfile.WriteFile(path, figure.File(d), 0o644)
}

func (o reportOptions) writeFigures(f analysis.Findings) ([]string, error) {
	if err := os.MkdirAll(o.figures, 0o755); err != nil {
		return nil, err
	}
	var paths []string
	for _, file := range report.Figures(f) {
		path := filepath.Join(o.figures, file.Name)
		if err := atomicfile.WriteFile(path, file.Data, 0o644); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}
