package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"netspace/space"
)

type spaceOptions struct {
	flags        spaceFlags
	yaml, schema bool
}

func newSpaceCmd(a *app) *cobra.Command {
	var o spaceOptions
	c := &cobra.Command{
		Use:   "space [SPACE]",
		Short: "Show a design space: its parameters, rules and size",
		Long: `Show a design space: what its networks have in common, the prior of every
parameter, the rules, the degrees of freedom, and how many settings of the
parameters there are, as a decimal logarithm. The number is exact where rules
hold by construction, else an estimate with its 95 % interval.

SPACE is a built-in space or a space file; without it, the built-in spaces are
listed. The language of space files is described in docs/spaces.md.`,
		Example: `  netspace space
  netspace space anynetx-e
  netspace space regnetx --flops 360M..400M
  netspace space anynetx-a --yaml > mine.yaml
  netspace space --schema > space.schema.json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeSpaces,
	}
	c.Flags().BoolVar(&o.yaml, "yaml", false, "print the space's file as it is")
	c.Flags().BoolVar(&o.schema, "schema", false, "print the JSON Schema of space files, for editors")
	c.MarkFlagsMutuallyExclusive("yaml", "schema")
	o.flags.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case o.schema:
			_, err := a.out.Write(space.Schema())
			return err
		case len(args) == 0 && o.yaml:
			return usagef("--yaml needs the name of a space: %s", strings.Join(space.Names(), ", "))
		case len(args) == 0:
			return listSpaces(a)
		}
		return runSpace(c.Context(), a, args[0], o)
	}
	return c
}

func listSpaces(a *app) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, name := range space.Names() {
		s, err := space.Load(name)
		if err != nil {
			return err
		}
		if a.json {
			err = a.emit(map[string]any{"name": s.Name, "about": s.About, "family": s.Family, "bases": append([]string{}, s.Bases...)})
		} else {
			_, err = fmt.Fprintf(w, "%s\t%s\n", s.Name, s.About)
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

// spaceReport is what space --json prints.
type spaceReport struct {
	space.Description
	Size space.Size `json:"size"`
}

func runSpace(ctx context.Context, a *app, name string, o spaceOptions) error {
	s, err := loadSpace(name)
	if err != nil {
		return err
	}
	if o.yaml {
		_, err := a.out.Write(s.Source())
		return err
	}
	cfg, err := o.flags.config()
	if err != nil {
		return err
	}
	p, err := s.Sampler(cfg)
	if err != nil {
		return spaceError(err)
	}
	size, err := s.Size(ctx, cfg)
	if err != nil {
		return spaceError(err)
	}
	r := spaceReport{p.Describe(), size}
	if a.json {
		return a.emit(r)
	}
	return printSpace(a, r)
}

func printSpace(a *app, r spaceReport) error {
	about := ""
	if r.About != "" {
		about = ": " + r.About
	}
	fmt.Fprintf(a.out, "%s%s\n", r.Name, about)
	if len(r.Bases) > 0 {
		fmt.Fprintf(a.out, "derived from %s\n", strings.Join(r.Bases, " < "))
	}
	fmt.Fprintf(a.out, "family %s: %s\n\n", r.Family, r.Network)
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PARAMETER\tPER\tVALUES\tPRIOR")
	for _, p := range r.Parameters {
		values := fmt.Sprint(p.Values)
		if p.Values == 0 {
			values = "continuous"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Name, p.Per, values, strings.Join(p.Priors, "; "))
	}
	if len(r.Rules) > 0 {
		fmt.Fprintln(w, "\nRULE\tHOW\tSHARE OF THE PRIOR\t")
	}
	for _, q := range r.Rules {
		how, share := "tested", ""
		if q.ByConstruction {
			how, share = "by construction", share2(q.Share)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t\n", q.Rule, how, share)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\ndegrees of freedom  %d\n", r.Freedom)
	_, err := fmt.Fprintf(a.out, "settings            %s\n", sizeText(r.Size))
	return err
}

func sizeText(s space.Size) string {
	text := ""
	switch {
	case s.Exact:
		text = fmt.Sprintf("10^%.2f", s.Log10.Value)
		if n := s.Settings.String(); len(n) <= 24 {
			text += " = " + n
		}
	case s.Passed == 0:
		text = fmt.Sprintf("fewer than 10^%.2f: none of %d settings drawn with equal chances passed", s.Log10.High, s.Candidates)
	default:
		text = fmt.Sprintf("about 10^%.3f (10^%.3f to 10^%.3f with 95 %%; from %d settings drawn with equal chances)", s.Log10.Value, s.Log10.Low, s.Log10.High, s.Candidates)
	}
	if s.Continuous > 0 {
		text += fmt.Sprintf(", times %d continuous parameters", s.Continuous)
	}
	return text
}

// share2 writes a share with two digits.
func share2(share float64) string { return fmt.Sprintf("%.2g %%", 100*share) }
