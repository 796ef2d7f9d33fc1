package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/internal/tinydata"
	"netspace/train"
	"netspace/trial"
)

func newTrainerCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "trainer",
		Short: "Programs of your own as trainers of studies",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newTrainerCheckCmd(a), newTrainerSchemaCmd(a))
	return c
}

func newTrainerSchemaCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the trainer protocol",
		Long:    "Print the JSON Schema of what a trainer is told and of the lines that it answers with (docs/trainers.md).",
		Example: "  netspace trainer schema > protocol.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(trial.Schema)
			return err
		},
	}
}

type trainerCheckOptions struct {
	model  string
	data   string
	epochs int
}

func newTrainerCheckCmd(a *app) *cobra.Command {
	var o trainerCheckOptions
	c := &cobra.Command{
		Use:   "check -- COMMAND [ARGUMENT…]",
		Short: "Find out whether a program keeps to the trainer protocol",
		Long: `Have a program train a small network as a study would, several times; interrupt it,
let it go on, give it a task that cannot succeed, and one that freezes tensors; and say what it does wrong.
docs/trainers.md describes the protocol. Without --data the images are made up:
1×8×8, four classes.

Exit status: 0 nothing is wrong, 1 something is.`,
		Example: `  netspace trainer check -- python3 train.py
  netspace trainer check --data fashion-mnist --epochs 2 -- ./trainer --device cuda`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c.Context(), a, args) },
	}
	f := c.Flags()
	f.StringVar(&o.model, "model", "", "network to train, a zoo name or a spec file (default a small RegNet)")
	f.StringVar(&o.data, "data", "", "data set, or folder (default images that are made up)")
	f.IntVar(&o.epochs, "epochs", 4, "epochs of a training")
	return c
}

const checkedModel = "{family: regnet, depth: 4, w0: 8, wa: 8, wm: 2, group_width: 4, stem: {type: cifar, width: 8}}"

func (o trainerCheckOptions) run(ctx context.Context, a *app, argv []string) (err error) {
	if o.epochs < 2 {
		return usagef("--epochs %d: must be at least 2, so that there is something to interrupt", o.epochs)
	}
	spec, err := arch.ParseSpec([]byte(checkedModel), "")
	if o.model != "" {
		m, e := a.resolve(o.model)
		spec, err = m.Spec, e
	}
	if err != nil {
		return err
	}
	base, err := os.MkdirTemp("", "netspace-trainer")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(base)) }()
	task := trial.Task{Seed: 1, Spec: spec, Data: trial.Data{Name: o.data}, Recipe: train.DefaultRecipe()}
	task.Recipe.Epochs = o.epochs
	if o.data == "" {
		task.Data = trial.Data{Name: filepath.Join(base, "images"), Train: 256, Validation: 64}
		task.Recipe.Batch = 32
		if err := tinydata.WriteFiles(task.Data.Name, 320); err != nil {
			return err
		}
	}
	data, err := task.Data.Open(ctx, task.Final)
	if err != nil {
		return usage(err)
	}
	task.Input = trial.InputOf(data.Info)
	if err := data.Close(); err != nil {
		return err
	}
	if _, err := task.Graph(data.Info); err != nil {
		return usage(err)
	}
	wrong, all := 0, 0
	err = trial.Check(ctx, trial.Command{Argv: argv}, task, filepath.Join(base, "checkpoints"), func(f trial.Finding) {
		if all++; !f.OK {
			wrong++
		}
		if a.json {
			_ = a.emit(f)
			return
		}
		if f.OK {
			fmt.Fprintf(a.out, "ok    %s (%.1f s)\n", f.Check, f.Seconds)
			return
		}
		fmt.Fprintf(a.out, "FAIL  %s: %s\n", f.Check, f.Fault)
		if f.Log != "" {
			fmt.Fprintf(a.out, "      %s\n", strings.ReplaceAll(f.Log, "\n", "\n      "))
		}
	})
	var start *trial.StartError
	switch {
	case errors.As(err, &start):
		return usage(err)
	case err != nil:
		return err
	case wrong > 0:
		return fmt.Errorf("the program does not keep to the protocol in %d of %d checks (docs/trainers.md)", wrong, all)
	}
	return nil
}
