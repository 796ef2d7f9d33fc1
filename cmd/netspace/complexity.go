package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"netspace/graph"
)

// complexityLine is one line of complexity --json.
type complexityLine struct {
	Model      string `json:"model"` // as given
	Resolution int    `json:"resolution"`
	Channels   int    `json:"channels"`
	Classes    int    `json:"classes"`
	graph.Complexity
}

func newComplexityCmd(a *app) *cobra.Command {
	var in inputFlags
	c := &cobra.Command{
		Use:   "complexity MODEL…",
		Short: "Count flops, params and acts of networks",
		Long: `Count networks for one image: flops (multiply-adds of convolutions and linear
layers, plus one per output element of a bias), params, and acts (elements in the
outputs of convolutions, linear layers and max-pools).

` + modelHelp,
		Example: `  netspace complexity RegNetX-400MF resnet50 efficientnet_b0
  netspace complexity net.yaml --resolution 28 --channels 1 --classes 10
  netspace complexity --json regnetx_004`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeModels,
	}
	in.add(c)
	c.RunE = func(c *cobra.Command, args []string) error { return runComplexity(c, a, in, args) }
	return c
}

func runComplexity(c *cobra.Command, a *app, flags inputFlags, models []string) error {
	var lines []complexityLine
	for _, name := range models {
		m, err := a.resolve(name)
		if err != nil {
			return err
		}
		in, err := flags.input(c, m.Spec)
		if err != nil {
			return err
		}
		k, err := m.Spec.Complexity(in)
		if err != nil {
			return usagef("%s: %w", name, err)
		}
		lines = append(lines, complexityLine{name, in.Width, in.Channels, in.Classes, k})
	}
	if a.json {
		for _, l := range lines {
			if err := a.emit(l); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "model\tinput\tclasses\t"+metricNames()+"\t\n")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%d×%d×%[3]d\t%d\t%s\t\n", l.Model, l.Channels, l.Resolution, l.Classes, counts(l.Complexity))
	}
	return w.Flush()
}
