package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/graph"
	"netspace/interop"
	"netspace/metric"
)

// modelHelp is what every command's help says about its MODEL arguments.
const modelHelp = `MODEL is the name of a published network (see netspace models), a spec file
(YAML or JSON), a configuration of the paper authors' tool (YAML), or one of the
RegNet search (INI).`

// resolve finds the network of a MODEL argument. What reading a foreign file
// assumed or ignored goes to the log. An error is one of the request.
func (a *app) resolve(model string) (interop.Model, error) {
	m, err := interop.Resolve(model)
	if err != nil {
		return m, usage(err)
	}
	if !a.quiet {
		if len(m.Ignored) > 0 {
			fmt.Fprintf(a.err, "%s: ignored, no meaning here: %s\n", model, strings.Join(m.Ignored, ", "))
		}
		for _, note := range m.Notes {
			fmt.Fprintf(a.err, "%s: %s\n", model, note)
		}
	}
	return m, nil
}

// completeModels offers the names of the zoo, and files.
func completeModels(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, m := range arch.Zoo() {
		for _, n := range append([]string{m.Name}, m.Aliases...) {
			if strings.HasPrefix(strings.ToLower(n), strings.ToLower(prefix)) {
				names = append(names, n)
			}
		}
	}
	return names, cobra.ShellCompDirectiveDefault
}

// inputFlags say for which images a network is built.
type inputFlags struct{ resolution, channels, classes int }

func (o *inputFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.IntVar(&o.resolution, "resolution", 0, "side of the images in `PIXELS` (default: what the model states, else 224)")
	f.IntVar(&o.channels, "channels", 0, "channels of the images (default: what the model states, else 3)")
	f.IntVar(&o.classes, "classes", 0, "outputs (default: what the model states, else 1000)")
}

// input makes the input of a network; a flag that is given must be at least 1.
func (o *inputFlags) input(c *cobra.Command, spec arch.Spec) (arch.Input, error) {
	for name, v := range map[string]int{"resolution": o.resolution, "channels": o.channels, "classes": o.classes} {
		if c.Flags().Changed(name) && v < 1 {
			return arch.Input{}, usagef("--%s %d: must be at least 1", name, v)
		}
	}
	in := spec.Input()
	if o.resolution > 0 {
		in.Height, in.Width = o.resolution, o.resolution
	}
	if o.channels > 0 {
		in.Channels = o.channels
	}
	if o.classes > 0 {
		in.Classes = o.classes
	}
	return in, nil
}

// digits writes a count with its thousands apart: 397,678,568.
func digits(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// perMetric are cells of a table, one for each counted metric.
func perMetric(cell func(metric.Metric) string) string {
	var cells []string
	for _, m := range metric.Counted() {
		cells = append(cells, cell(m))
	}
	return strings.Join(cells, "\t")
}

// metricNames are the headings above cells of perMetric.
func metricNames() string { return perMetric(func(m metric.Metric) string { return m.Name }) }

// counts are exact numbers of a network.
func counts(c graph.Complexity) string {
	return perMetric(func(m metric.Metric) string { return digits(m.Of(c)) })
}
