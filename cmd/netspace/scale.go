package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/graph"
	"netspace/metric"
)

type scaleOptions struct {
	by    float64
	kind  string
	out   string
	input inputFlags
}

// scaleLine is the result of scale --json.
type scaleLine struct {
	Model      string       `json:"model"`
	By         float64      `json:"by"`
	Type       string       `json:"type"`
	Factors    arch.Factors `json:"factors"`
	Spec       arch.Spec    `json:"spec"`
	Resolution int          `json:"resolution"`
	graph.Complexity
	Unscaled struct {
		Resolution int `json:"resolution"`
		graph.Complexity
	} `json:"unscaled"`
}

func newScaleCmd(a *app) *cobra.Command {
	var o scaleOptions
	c := &cobra.Command{
		Use:   "scale MODEL --by FACTOR",
		Short: "Grow or shrink a network along depth, width and resolution",
		Long: `Scale a network so that its flops grow by about FACTOR, and write the spec of the
result (Dollár et al., Fast and Accurate Model Scaling, 2021). The type shares the
growth: letters of d (depth), w (width), g (group width) and r (resolution) with
equal weights, or weights by letter. The default, ` + arch.FastCompound + `, is fast
compound scaling.

Depths are rounded to whole blocks, widths to multiples of 8, resolutions to
multiples of 4, so that the flops are not hit exactly; what they became is in the
comment at the top.

` + modelHelp,
		Example: `  netspace scale RegNetX-400MF --by 4 --out big.yaml
  netspace scale efficientnet_b0 --by 2 --type dwr
  netspace scale net.yaml --by 0.5 --type d --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeModels,
	}
	f := c.Flags()
	f.Float64Var(&o.by, "by", 0, "multiply the flops by about this `FACTOR`")
	f.StringVar(&o.kind, "type", arch.FastCompound, "how depth, width, group width and resolution share it")
	f.StringVarP(&o.out, "out", "o", "", "write the spec to `FILE` instead of the output")
	o.input.add(c)
	_ = c.RegisterFlagCompletionFunc("type", cobra.FixedCompletions([]string{arch.FastCompound, "d", "w", "r", "dw", "dr", "wr", "dwr"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error { return runScale(c, a, o, args[0]) }
	return c
}

func runScale(c *cobra.Command, a *app, o scaleOptions, model string) error {
	if !c.Flags().Changed("by") {
		return usagef("--by is missing: the factor by which the flops grow")
	}
	m, err := a.resolve(model)
	if err != nil {
		return err
	}
	scaling, err := arch.ParseScaling(o.kind, o.by)
	if err != nil {
		return usage(err)
	}
	in, err := o.input.input(c, m.Spec)
	if err != nil {
		return err
	}
	l := scaleLine{Model: model, By: o.by, Type: o.kind, Factors: scaling.Factors()}
	if l.Unscaled.Complexity, err = m.Spec.Complexity(in); err != nil {
		return usagef("%s: %w", model, err)
	}
	l.Unscaled.Resolution = in.Width
	if l.Spec, err = scaling.Scale(m.Spec, in.Width); err != nil {
		return usagef("%s: %w", model, err)
	}
	l.Resolution = l.Spec.Resolution
	in.Height, in.Width = l.Resolution, l.Resolution
	if l.Complexity, err = l.Spec.Complexity(in); err != nil {
		return usagef("%s: %w", model, err)
	}
	text, err := specText(l.Spec, strings.HasSuffix(o.out, ".json"))
	if err != nil {
		return err
	}
	if a.json {
		if o.out != "" {
			if err := a.write(o.out, text); err != nil {
				return err
			}
		}
		return a.emit(l)
	}
	var changes strings.Builder
	for _, m := range metric.Counted() {
		before, after := m.Of(l.Unscaled.Complexity), m.Of(l.Complexity)
		fmt.Fprintf(&changes, "# %s %s -> %s (×%.2f)\n", m.Name, digits(before), digits(after), float64(after)/float64(before))
	}
	head := fmt.Sprintf("# %s scaled by %g, type %s: depth ×%.3g, width ×%.3g, group width ×%.3g, resolution ×%.3g\n%s# resolution %d -> %d\n",
		model, o.by, o.kind, l.Factors.Depth, l.Factors.Width, l.Factors.GroupWidth, l.Factors.Resolution,
		changes.String(), l.Unscaled.Resolution, l.Resolution)
	if strings.HasSuffix(o.out, ".json") { // which has no comments
		fmt.Fprint(a.err, head)
		head = ""
	}
	return a.write(o.out, append([]byte(head), text...))
}
