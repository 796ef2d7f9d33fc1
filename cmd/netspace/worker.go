package main

import (
	"os"

	"github.com/spf13/cobra"

	"netspace/study"
)

// newWorkerCmd is the process that trains one trial for "study run".
func newWorkerCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "worker",
		Short:   "Train one network that standard input states (started by study run)",
		Long:    "Train one network for a study. Started by study run, which writes the task to\nstandard input and reads progress from standard output; see docs/study.md.",
		Example: "  netspace study run examples/demo.yaml",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return study.Worker{In: a.in, Out: a.out, Engine: openEngine, Kill: func() { os.Exit(exitInterrupted) }}.Run(c.Context())
		},
	}
}
