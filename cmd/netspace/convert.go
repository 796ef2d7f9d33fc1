package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/internal/atomicfile"
)

type convertOptions struct {
	out              string
	stages, adjusted bool
	schema           bool
	input            inputFlags
}

func newConvertCmd(a *app) *cobra.Command {
	var o convertOptions
	c := &cobra.Command{
		Use:   "convert MODEL",
		Short: "Write any network as a spec file",
		Long: `Write a network as a spec file, YAML or, with --json or a FILE that ends in
.json, JSON. From the files of other tools, the recipe comes along.

` + modelHelp,
		Example: `  netspace convert RegNetX-400MF
  netspace convert RegNetX-400MF --stages          # the AnyNet that it expands to
  netspace convert configs/R-50.yaml --out r50.yaml
  netspace convert --schema > spec.schema.json     # for editors`,
		Args: func(c *cobra.Command, args []string) error {
			if o.schema {
				return cobra.NoArgs(c, args)
			}
			return cobra.ExactArgs(1)(c, args)
		},
		ValidArgsFunction: completeModels,
	}
	f := c.Flags()
	f.StringVarP(&o.out, "out", "o", "", "write to `FILE` instead of the output")
	f.BoolVar(&o.stages, "stages", false, "write the stages that a RegNet expands to")
	f.BoolVar(&o.adjusted, "adjusted", false, "write the numbers made compatible, as they are built")
	f.BoolVar(&o.schema, "schema", false, "write the JSON Schema of spec files instead")
	o.input.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if o.schema {
			text, err := arch.Schema()
			if err != nil {
				return err
			}
			return a.write(o.out, append(text, '\n'))
		}
		return runConvert(c, a, o, args[0])
	}
	return c
}

func runConvert(c *cobra.Command, a *app, o convertOptions, model string) error {
	m, err := a.resolve(model)
	if err != nil {
		return err
	}
	spec := m.Spec
	in, err := o.input.input(c, spec)
	if err != nil {
		return err
	}
	for name, field := range map[string]struct {
		to    *int
		value int
	}{"resolution": {&spec.Resolution, in.Width}, "channels": {&spec.Channels, in.Channels}, "classes": {&spec.Classes, in.Classes}} {
		if c.Flags().Changed(name) {
			*field.to = field.value
		}
	}
	if o.stages {
		n, ok := spec.AnyNet()
		if !ok {
			return usagef("--stages: %s is of family %s and has no other form", model, spec.Family())
		}
		spec.Network = n
	}
	if o.adjusted {
		spec = spec.Adjusted()
	}
	if err := spec.Validate(); err != nil {
		return usagef("%s: %w", model, err)
	}
	text, err := specText(spec, a.json || strings.EqualFold(filepath.Ext(o.out), ".json"))
	if err != nil {
		return err
	}
	return a.write(o.out, text)
}

// specText is a spec as a file, in JSON on one line or in YAML.
func specText(spec arch.Spec, inJSON bool) ([]byte, error) {
	if !inJSON {
		return spec.MarshalYAML()
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(spec)
	return b.Bytes(), err
}

// write puts data into a file, or to the results if no file is named.
func (a *app) write(file string, data []byte) error {
	if file == "" {
		_, err := a.out.Write(data)
		return err
	}
	if err := atomicfile.WriteFile(file, data, 0o644); err != nil {
		return err
	}
	if !a.quiet {
		fmt.Fprintf(a.err, "wrote %s\n", file)
	}
	return nil
}
