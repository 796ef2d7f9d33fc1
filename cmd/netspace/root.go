package main

import (
	"encoding/json"
	"io"
	"math"
	"sync/atomic"

	"github.com/spf13/cobra"
)

// app is what every command shares: where it prints and in which form.
type app struct {
	in       io.Reader
	out, err io.Writer // results; progress and logs
	json     bool      // --json: results as JSON Lines
	quiet    bool      // --quiet: no progress

	grace atomic.Int64 // time.Duration that the command has after a signal
}

// emit writes one JSON line to the results.
func (a *app) emit(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// number is a measured number in JSON: null where it is none, such as the loss
// of weights that overflow, for which JSON has no word.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if v := float64(n); !math.IsNaN(v) && !math.IsInf(v, 0) {
		return json.Marshal(v)
	}
	return []byte("null"), nil
}

// root is the program's command line.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "netspace",
		Short:         "Design network design spaces: sample, train and compare populations of networks",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%w (see %s --help)", err, c.CommandPath())
	})
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print results as JSON, one object a line")
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "print no progress")
	root.AddCommand(commands(a)...)
	markUsage(root)
	return root
}

// markUsage makes wrong arguments of any command an error of the request.
func markUsage(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usagef("%w (usage: %s)", err, c.UseLine())
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		markUsage(sub)
	}
}
