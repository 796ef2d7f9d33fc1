package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/graph"
)

// modelLine is one line of models --json.
type modelLine struct {
	Model      string   `json:"model"`
	Aliases    []string `json:"aliases"`
	Family     string   `json:"family"`
	Resolution int      `json:"resolution"`
	graph.Complexity
	PublishedError float64       `json:"published_error"` // ImageNet top-1, percent
	Training       arch.Training `json:"training"`        // the published one
	Spec           arch.Spec     `json:"spec"`
}

func newModelsCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "models [NAME…]",
		Short: "List the published networks: flops, params, acts, error",
		Long: `List the published networks with their exact complexity, counted at the
resolution of their training, and the ImageNet top-1 error published for them.

With arguments, only those whose name or alias contains one of them.`,
		Example: `  netspace models
  netspace models regnetx resnet
  netspace models --json | head -1`,
		RunE: func(_ *cobra.Command, args []string) error { return runModels(a, args) },
	}
}

func runModels(a *app, filter []string) error {
	var lines []modelLine
	for _, m := range arch.Zoo() {
		if !listed(m, filter) {
			continue
		}
		k, err := m.Spec.Complexity(arch.Input{})
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		lines = append(lines, modelLine{m.Name, m.Aliases, m.Spec.Family(), m.Resolution, k, m.PublishedError, m.Training, m.Spec})
	}
	if len(lines) == 0 {
		_, err := arch.Lookup(filter[0]) // says what is nearest
		return usage(err)
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
	fmt.Fprint(w, "model\tresolution\t"+metricNames()+"\ttop-1 error\t  also called\n")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%d\t%s\t%.1f %%\t  %s\n", l.Model, l.Resolution, counts(l.Complexity), l.PublishedError, strings.Join(l.Aliases, ", "))
	}
	return w.Flush()
}

// listed says whether a name of the model contains any of the filters, or
// there are none.
func listed(m arch.Model, filter []string) bool {
	if len(filter) == 0 {
		return true
	}
	for _, f := range filter {
		contains := func(name string) bool { return strings.Contains(strings.ToLower(name), strings.ToLower(f)) }
		if contains(m.Name) || slices.ContainsFunc(m.Aliases, contains) {
			return true
		}
	}
	return false
}
