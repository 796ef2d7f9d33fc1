package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"netspace/arch"
	"netspace/train"
)

// recipeFlags are a recipe on the command line: a file, and one flag per field.
type recipeFlags struct {
	file   string
	fields []*recipeFlag
	noAug  bool
	noShuf bool
}

// recipeFlag is the flag of one field. It keeps the text until the recipe it
// is to change is known.
type recipeFlag struct {
	option train.Option
	text   string
}

func (f *recipeFlag) String() string { return f.text }

func (f *recipeFlag) Type() string {
	if f.option.Switch {
		return "bool"
	}
	return "value"
}

func (f *recipeFlag) Set(text string) error {
	scratch := train.DefaultRecipe()
	if err := scratch.Set(f.option.Key, text); err != nil {
		return err
	}
	f.text = text
	return nil
}

// add defines the flags, but for fields that a command has flags of other meanings for. The key bn_weight_decay becomes --bn-weight-decay.
func (r *recipeFlags) add(c *cobra.Command, except ...string) {
	flags := c.Flags()
	flags.StringVar(&r.file, "recipe", "", "recipe by `NAME` ("+strings.Join(train.Named(), ", ")+"), or from a file (YAML); flags change what it states")
	_ = c.RegisterFlagCompletionFunc("recipe", cobra.FixedCompletions(train.Named(), cobra.ShellCompDirectiveDefault))
	for _, o := range train.Options() {
		if slices.Contains(except, o.Key) {
			continue
		}
		f := &recipeFlag{option: o}
		r.fields = append(r.fields, f)
		flag := flags.VarPF(f, flagName(o.Key), "", fmt.Sprintf("%s (default %s)", o.Help, o.Default))
		if o.Switch {
			flag.NoOptDefVal = "true"
		}
	}
	_ = c.RegisterFlagCompletionFunc("activations", cobra.FixedCompletions(train.ActivationsNames(), cobra.ShellCompDirectiveNoFileComp))
	flags.BoolVar(&r.noAug, "no-augment", false, "the same as --augment=false")
	flags.BoolVar(&r.noShuf, "no-shuffle", false, "the same as --shuffle=false: the training images in file order")
}

func flagName(key string) string { return strings.ReplaceAll(key, "_", "-") }

// recipe is the default recipe, changed by the network's file, by the recipe file and by the flags, in that order.
func (r *recipeFlags) recipe(spec arch.Spec, model string) (train.Recipe, error) {
	out, err := train.DecodeFields(spec.Recipe, model, train.DefaultRecipe())
	if err != nil {
		return out, usage(err)
	}
	if r.file != "" {
		if out, err = train.LoadRecipe(r.file, out); err != nil {
			return out, usage(err)
		}
	}
	for _, f := range r.fields {
		if f.text == "" {
			continue
		}
		if err := out.Set(f.option.Key, f.text); err != nil {
			return out, usage(err)
		}
	}
	if r.noAug {
		out.Augment = false
	}
	if r.noShuf {
		out.Shuffle = false
	}
	return out, usage(out.Validate())
}

// stated says whether a field was given in a file or by a flag.
func (r *recipeFlags) stated(flags *pflag.FlagSet, key string, spec arch.Spec) bool {
	_, inSpec := spec.Recipe[key]
	return inSpec || r.file != "" || flags.Changed(flagName(key))
}
