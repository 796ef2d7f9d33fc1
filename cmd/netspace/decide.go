package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"netspace/design"
	"netspace/strict"
	"netspace/study"
)

type decideOptions struct {
	studyRunOptions
	between string
	flags   []string // of the question, in their order
	values  map[string]*string
}

func newDecideCmd(a *app) *cobra.Command {
	o := decideOptions{values: map[string]*string{}}
	var futility *bool
	c := &cobra.Command{
		Use:   "decide FILE|DIR",
		Short: "Train two spaces of a study until it is certain whether one may take the place of the other",
		Long: `Compare two spaces of a study, A and B, with as few trainings as that takes: may B be
kept in the place of A? Networks of both are trained in batches, and what is there is
looked at after each, until it is certain that B is better, that B is not worse by the
margin, or that B is worse; or until as many are trained as the question allows. The
chance that what is found is wrong is at most alpha, however often was looked.

What is trained already counts, and if it suffices nothing is trained. The command may be
interrupted at any time; the same command goes on to the same decision. The question is
that of the study file (decide), in which flags replace what they state; docs/study.md
explains each key, docs/statistics.md how it is decided and what it saves.

Exit status: 0 the comparison has ended, decided or not, 3 it has and networks failed (they
count with the error of chance), 130 interrupted, 75 stopped by a scheduler (SIGTERM), 2
the study or the question is wrong.`,
		Example: `  netspace decide out/demo --between anynetx-a,regnetx
  netspace decide study.yaml --delta 0.3 --power 0.9
  netspace decide study.yaml --futility
  netspace decide out/demo --between anynetx-a,regnetx --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text := strconv.FormatBool(*futility)
			o.flags, o.values["futility"] = append(o.flags, "futility"), &text
			for _, name := range o.flags {
				if !c.Flags().Changed(name) {
					delete(o.values, name)
				}
			}
			return o.run(c.Context(), a, args[0])
		},
	}
	f := c.Flags()
	f.StringVar(&o.between, "between", "", "the spaces `A,B`: may B be kept in the place of A? (default those of the study file)")
	for _, flag := range [][2]string{
		{"delta", fmt.Sprintf("margin in percentage points by which B may be worse (default %g)", study.DefaultDelta)},
		{"alpha", fmt.Sprintf("chance of a wrong finding (default %g)", study.DefaultAlpha)},
		{"power", fmt.Sprintf("chance of finding that B is not worse if both are equally good (default %g)", study.DefaultPower)},
		{"max-samples", fmt.Sprintf("networks of each space that are drawn, and trained at most (default %d)", study.DefaultMaxSamples)},
		{"batch", "networks of each space to add between two looks at least (default a seventh of what is there)"},
		{"emax", "errors in percent beyond it count as it (default the third quartile at the first look, rounded up)"},
		{"short-epochs", "length of short trainings: a number of epochs, 0 for none, or auto (default auto)"},
	} {
		o.flags = append(o.flags, flag[0])
		o.values[flag[0]] = f.String(flag[0], "", flag[1])
	}
	futility = f.Bool("futility", false, "end, undecided, as soon as it is unlikely that B will be found not to be worse")
	o.add(f)
	return c
}

func (o decideOptions) run(ctx context.Context, a *app, target string) error {
	req, err := o.request(a, target)
	if err != nil {
		return err
	}
	config, _, err := req.Read()
	if err != nil {
		return studyError(err)
	}
	q, err := o.question(config)
	if err != nil {
		return err
	}
	return o.decide(ctx, a, req, q)
}

// question is that of the study file with what flags state in its place.
func (o *decideOptions) question(c study.Config) (*study.Decide, error) {
	var stated []string
	o.command = "decide"
	state := func(flag, given, text string) {
		stated = append(stated, strings.ReplaceAll(flag, "-", "_")+": "+text)
		o.command += " --" + flag + " " + shellescape.Quote(given)
	}
	if o.between != "" {
		var names []string
		for name := range strings.SplitSeq(o.between, ",") {
			names = append(names, strconv.Quote(strings.TrimSpace(name)))
		}
		state("between", o.between, "["+strings.Join(names, ", ")+"]")
	}
	for _, flag := range o.flags {
		if v := o.values[flag]; v != nil {
			state(flag, *v, *v)
		}
	}
	q, err := study.ParseDecide("{"+strings.Join(stated, ", ")+"}", c)
	var bad *strict.Error
	if errors.As(err, &bad) {
		for i := range bad.Faults {
			f := &bad.Faults[i]
			f.File, f.Line = "", 0
			f.Path = "--" + strings.ReplaceAll(strings.TrimPrefix(f.Path, "decide."), "_", "-")
		}
	}
	return q, usage(err)
}

// decide trains until a question is decided, that of the study file if q is nil, and says what was found.
func (o studyRunOptions) decide(ctx context.Context, a *app, req study.Request, q *study.Decide) error {
	var totals study.Totals
	var dir string
	looks := 0
	d, err := design.Decide(ctx, req, design.Options{
		Decide: q,
		Train: func(ctx context.Context, run *study.Run) (err error) {
			dir = run.Dir
			totals, err = o.train(ctx, a, run)
			return err
		},
		Look: func(l design.Look) {
			looks++
			if a.json {
				_ = a.emit(struct {
					Event string `json:"event"`
					design.Look
				}{"look", l}) // a reader that went away must not stop the study
			}
			a.note("look %d: %s", looks, l)
		},
	})
	if err != nil {
		return startError(err)
	}
	if a.json {
		err = a.emit(struct {
			Event string `json:"event"`
			design.Decision
		}{"decision", d})
	} else {
		_, err = fmt.Fprintln(a.out, d.Text())
	}
	if err != nil {
		return fmt.Errorf("print the decision: %w", err)
	}
	return failedNetworks(totals, dir)
}
