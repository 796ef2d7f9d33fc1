package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"netspace/arch"
)

// fitLine is one line of fit --json.
type fitLine struct {
	Model string `json:"model"`
	arch.Fit
}

func newFitCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "fit MODEL…",
		Short: "Fit the quantised line of a RegNet to the widths of any network",
		Long: `Find the w0, wa and wm whose quantised line describes the block widths of a
network best, and how far it is off: e_fit is the mean over the blocks of
|log(fitted width / width)|. Good networks have a small one; of a RegNet it is 0.

` + modelHelp,
		Example: `  netspace fit ResNet-50 RegNetX-400MF
  netspace fit population/*.yaml --json`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeModels,
		RunE:              func(c *cobra.Command, args []string) error { return runFit(c, a, args) },
	}
}

func runFit(c *cobra.Command, a *app, models []string) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if !a.json {
		fmt.Fprint(w, "model\tdepth\tw0\twa\twm\te_fit\t\n")
	}
	for _, name := range models {
		if err := c.Context().Err(); err != nil {
			return err
		}
		m, err := a.resolve(name)
		if err != nil {
			return err
		}
		fit, err := m.Spec.Fit()
		if err != nil {
			return usagef("%s: %w", name, err)
		}
		if a.json {
			if err := a.emit(fitLine{name, fit}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%.6g\t%.6g\t%.6g\t%.4f\t\n", name, fit.Depth, fit.W0, fit.WA, fit.WM, fit.Error)
	}
	return w.Flush()
}
