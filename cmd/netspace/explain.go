package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/metric"
	"netspace/report"
)

type explainOptions struct {
	svg   string
	input inputFlags
}

// explainLine is the result of explain --json.
type explainLine struct {
	Model string `json:"model"`
	arch.Explanation
}

func newExplainCmd(a *app) *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:   "explain MODEL",
		Short: "Show how the numbers of a network come about, stage by stage",
		Long: `Show each step from the parameters of a RegNet to its network (the line u_j, its
quantisation, the stages, the adjustment to the group width, the SE widths), and
for any network a table of its stages with shapes, flops, params and acts.
--svg draws the widths of the blocks, with the continuous line behind them.

` + modelHelp,
		Example: `  netspace explain RegNetY-400MF
  netspace explain net.yaml --resolution 28 --channels 1 --classes 10 --svg widths.svg`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeModels,
	}
	c.Flags().StringVar(&o.svg, "svg", "", "draw the widths of the blocks into `FILE`")
	o.input.add(c)
	c.RunE = func(c *cobra.Command, args []string) error { return runExplain(c, a, o, args[0]) }
	return c
}

func runExplain(c *cobra.Command, a *app, o explainOptions, model string) error {
	m, err := a.resolve(model)
	if err != nil {
		return err
	}
	in, err := o.input.input(c, m.Spec)
	if err != nil {
		return err
	}
	e, err := m.Spec.Explain(in)
	if err != nil {
		return usagef("%s: %w", model, err)
	}
	if o.svg != "" {
		drawing, err := m.Spec.Silhouette()
		if err != nil {
			return usagef("%s: %w", model, err)
		}
		if err := writeSVG(o.svg, report.Network(m.Name, drawing)); err != nil {
			return err
		}
		if !a.quiet {
			fmt.Fprintf(a.err, "wrote %s\n", o.svg)
		}
	}
	if a.json {
		return a.emit(explainLine{model, e})
	}
	var b bytes.Buffer
	printExplanation(&b, m.Name, m.Spec, e)
	_, err = a.out.Write(b.Bytes())
	return err
}

func printExplanation(b *bytes.Buffer, name string, spec arch.Spec, e arch.Explanation) {
	blocks, stages := 0, 0
	for _, s := range e.Sections {
		blocks += s.Blocks
		stages += min(s.Blocks, 1)
	}
	fmt.Fprintf(b, "%s: %s of %d %s blocks in %d stages, for %d×%d×%d images and %d classes\n",
		name, e.Family, blocks, e.Block, stages, e.Input.Channels, e.Input.Height, e.Input.Width, e.Input.Classes)
	if r, ok := spec.Network.(arch.RegNet); ok {
		printLine(b, r, e.Line)
	}
	if len(e.Adjusted) > 0 {
		printAdjusted(b, e.Adjusted)
	}
	printSections(b, e)
}

func table(b *bytes.Buffer, header string) *tabwriter.Writer {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, header)
	return w
}

// printLine shows eq. 2–4 of the RegNet paper; runs of blocks on one level are
// shown by their first and last block.
func printLine(b *bytes.Buffer, r arch.RegNet, line []arch.LineBlock) {
	fmt.Fprintf(b, "\nWidths: u_j = w0 + wa·j with w0 %g, wa %g; s_j = log(u_j/w0)/log(wm) with wm %g;\nw_j = w0·wm^⌊s_j⌉, rounded to a multiple of %d\n", r.W0, r.WA, r.WM, arch.WidthStep)
	w := table(b, "j\tu_j\ts_j\t⌊s_j⌉\tw0·wm^⌊s_j⌉\tw_j\t")
	for i, l := range line {
		if i > 0 && i+1 < len(line) && line[i-1].Level == l.Level && line[i+1].Level == l.Level {
			if line[max(0, i-2)].Level != l.Level || i < 2 {
				fmt.Fprint(w, "⋮\t\t\t\t\t\t\n")
			}
			continue
		}
		fmt.Fprintf(w, "%d\t%.2f\t%.3f\t%d\t%.2f\t%d\t\n", l.Block, l.U, l.S, l.Level, l.Exact, l.Width)
	}
	_ = w.Flush() // a bytes.Buffer takes everything
}

func printAdjusted(b *bytes.Buffer, stages []arch.Adjustment) {
	fmt.Fprint(b, "\nStages: the 3×3 has w_b = w/b channels in groups of g; g becomes at most w_b,\nw_b a multiple of g, and w follows\n")
	w := table(b, "stage\tblocks\tw\tb\tg\t  becomes\tw\tw_b\tg\tgroups\t")
	for _, s := range stages {
		changed := ""
		if s.Asked.Width != s.Built.Width || s.Asked.GroupWidth != s.Built.GroupWidth {
			changed = "→"
		}
		fmt.Fprintf(w, "%d\t%d\t%d\t%s\t%d\t%s\t%d\t%d\t%d\t%d\t\n", s.Stage, s.Asked.Depth, s.Asked.Width, ratio(s.Asked.Bottleneck), s.Asked.GroupWidth,
			changed, s.Built.Width, s.Mid, s.Built.GroupWidth, s.Mid/s.Built.GroupWidth)
	}
	_ = w.Flush()
}

// ratio writes b, an inverted one as 1/4.
func ratio(b float64) string {
	if b > 0 && b < 1 {
		return "1/" + strconv.FormatFloat(1/b, 'g', 4, 64)
	}
	return strconv.FormatFloat(b, 'g', 4, 64)
}

func printSections(b *bytes.Buffer, e arch.Explanation) {
	se := false
	for _, s := range e.Sections {
		se = se || len(s.SE) > 0
	}
	fmt.Fprint(b, "\nNetwork")
	if se {
		fmt.Fprint(b, " (se: squeezed width of the first block and of the others, a share of the block's input)")
	}
	fmt.Fprintln(b)
	header := "part\tblocks\tstride\tin\tout\t"
	if se {
		header += "se\t"
	}
	w := table(b, header+metricNames()+"\t")
	count := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	for _, s := range e.Sections {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t", s.Name, count(s.Blocks), count(s.Stride), s.In, s.Out)
		if se {
			var widths []string
			for _, v := range s.SE {
				widths = append(widths, strconv.Itoa(v))
			}
			fmt.Fprintf(w, "%s\t", strings.Join(widths, ", "))
		}
		fmt.Fprintf(w, "%s\t\n", counts(s.Complexity))
	}
	fmt.Fprint(w, "total\t\t\t\t\t")
	if se {
		fmt.Fprint(w, "\t")
	}
	fmt.Fprintf(w, "%s\t\n", perMetric(func(m metric.Metric) string {
		var parts []int64
		for _, s := range e.Sections {
			parts = append(parts, m.Of(s.Complexity))
		}
		return digits(m.Total(parts...))
	}))
	_ = w.Flush()
}
