package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"netspace/internal/atomicfile"
	"netspace/interop/onnx"
	"netspace/interop/pymodule"
	"netspace/weights"
	"netspace/weights/safetensors"
)

type exportOptions struct {
	model                      string
	weights                    weightsFlags
	out                        string
	names                      string
	foldBN, softmax, normalise bool
}

// The endings of the files that export writes.
const (
	endONNX        = ".onnx"
	endSafetensors = ".safetensors"
	endModule      = ".pt.py"
)

func newExportCmd(a *app) *cobra.Command {
	var o exportOptions
	c := &cobra.Command{
		Use:   "export MODEL --weights FILE -o FILE",
		Short: "Write a trained network for other programs",
		Long: `Write a network with its weights as a file that other programs run. The ending of
the -o FILE says as what:

  .onnx         an ONNX model (opset 17) for images of any number and size. BN is
                folded into the convolutions in front of it, unless --fold-bn=false
  .safetensors  the tensors, under the --names of pycls, timm or torchvision
  .pt.py        a PyTorch module to read, which loads the weights from a
                safetensors file that is written beside it

Images are normalised as the weights' metadata state, which is stated in the file
and, with --normalise, done by the ONNX model. A network that timm or torchvision
cannot build has no names there, and is refused.`,
		Example: `  netspace export RegNetX-200MF --weights runs/a/weights.safetensors -o net.onnx --softmax --normalise
  netspace export ResNet-50 --weights w.safetensors -o r50.safetensors --names torchvision
  netspace export net.yaml --weights w.safetensors -o net.pt.py`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeModels,
	}
	o.weights.add(c)
	f := c.Flags()
	f.StringVarP(&o.out, "out", "o", "", "the `FILE` to write: .onnx, .safetensors or .pt.py")
	f.StringVar(&o.names, "names", string(weights.Pycls), "of the tensors in a safetensors file: "+namingWords())
	f.BoolVar(&o.foldBN, "fold-bn", true, "fold batch normalisation into convolutions (ONNX)")
	f.BoolVar(&o.softmax, "softmax", false, "give probabilities in place of logits (ONNX)")
	f.BoolVar(&o.normalise, "normalise", false, "normalise images inside: the model takes values in [0,1] (ONNX)")
	c.RunE = func(c *cobra.Command, args []string) error {
		o.model = args[0]
		return runExport(c, a, o)
	}
	return c
}

func namingWords() string {
	var words []string
	for _, n := range weights.Namings() {
		words = append(words, string(n))
	}
	return strings.Join(words, ", ")
}

// exportLine is what export prints with --json.
type exportLine struct {
	Model   string   `json:"model"`
	Files   []string `json:"files"`
	Format  string   `json:"format"` // onnx, safetensors or pytorch
	Names   string   `json:"names"`  // that the tensors of the given weights had
	Input   []int    `json:"input"`  // channels, height, width of the images that the weights are for
	Classes int      `json:"classes"`
}

func runExport(c *cobra.Command, a *app, o exportOptions) error {
	end, err := o.check(c)
	if err != nil {
		return err
	}
	model, err := a.resolve(o.model)
	if err != nil {
		return err
	}
	t, err := o.weights.network(o.model, model.Spec)
	if err != nil {
		return err
	}
	line := exportLine{o.model, []string{o.out}, strings.TrimPrefix(end, "."), string(t.naming), []int{t.input.Channels, t.input.Height, t.input.Width}, t.input.Classes}
	switch end {
	case endONNX:
		err = o.onnx(t)
	case endSafetensors:
		err = o.safetensors(t)
	case endModule:
		line.Format = "pytorch"
		line.Files = append(line.Files, o.beside())
		err = o.module(t)
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.emit(line)
	}
	_, err = fmt.Fprintf(a.out, "%s: %s, %d×%d×%d images, %d classes\n", strings.Join(line.Files, " and "), o.model, t.input.Channels, t.input.Height, t.input.Width, t.input.Classes)
	return err
}

// check finds the format by the ending of the file, and flags that it does not have.
func (o exportOptions) check(c *cobra.Command) (end string, err error) {
	switch {
	case o.out == "":
		return "", usagef("-o FILE is missing: where to write, ending in %s, %s or %s", endONNX, endSafetensors, endModule)
	case strings.HasSuffix(o.out, endONNX):
		end = endONNX
	case strings.HasSuffix(o.out, endSafetensors):
		end = endSafetensors
	case strings.HasSuffix(o.out, endModule):
		end = endModule
	default:
		return "", usagef("-o %s: must end in %s, %s or %s", o.out, endONNX, endSafetensors, endModule)
	}
	for flag, of := range map[string]string{"names": endSafetensors, "fold-bn": endONNX, "softmax": endONNX, "normalise": endONNX} {
		if c.Flags().Changed(flag) && end != of {
			return "", usagef("--%s is of files that end in %s", flag, of)
		}
	}
	if !slices.Contains(weights.Namings(), weights.Naming(o.names)) {
		return "", usagef("--names %q: must be one of %s", o.names, namingWords())
	}
	return end, nil
}

func (o exportOptions) onnx(t trained) error {
	s := t.setting
	options := onnx.Options{Name: filepath.Base(o.model), KeepBN: !o.foldBN, Softmax: o.softmax, Metadata: map[string]string{
		"model": o.model,
		"size":  list([]int{t.input.Height, t.input.Width}),
	}}
	if s.Classes != nil {
		options.Metadata["classes"] = list(s.Classes)
	}
	switch {
	case s.Mean != nil && s.Std != nil:
		options.Metadata["mean"], options.Metadata["std"] = list(s.Mean), list(s.Std)
		options.Metadata["normalised"] = "outside: the model takes (x-mean)/std, x in [0,1]"
	case o.normalise:
		return usagef("--normalise: the metadata of %s state no mean and std", o.weights.file)
	}
	if o.normalise {
		options.Mean, options.Std = s.Mean, s.Std
		options.Metadata["normalised"] = "inside: the model takes x in [0,1]"
	}
	return atomicfile.Write(o.out, 0o644, func(w io.Writer) error { return onnx.Write(w, t.graph, t.file, options) })
}

// list is a list as JSON.
func list[T int | float32 | string](values []T) string {
	text, err := json.Marshal(values)
	if err != nil {
		return fmt.Sprint(values) // not finite
	}
	return string(text)
}

// safetensors writes the tensors as float32, under the names asked for.
func (o exportOptions) safetensors(t trained) error {
	names, err := weights.Naming(o.names).Of(t.graph)
	if err != nil {
		return usagef("--names: %w", err)
	}
	f, err := renamed(t, names)
	if err != nil {
		return err
	}
	return safetensors.WriteFile(o.out, f)
}

func renamed(t trained, names weights.Names) (*safetensors.File, error) {
	f := &safetensors.File{Metadata: map[string]string{"format": weights.PyTorch}}
	t.setting.Put(f.Metadata)
	for _, x := range t.file.Tensors {
		values := make([]float32, x.Len())
		if err := x.CopyFloat32(values); err != nil {
			return nil, err
		}
		name := x.Name
		if names != nil {
			name = names(name)
		}
		f.Tensors = append(f.Tensors, safetensors.Float32(name, x.Shape, values))
	}
	return f, nil
}

// beside is the file of the weights that a PyTorch module loads.
func (o exportOptions) beside() string { return strings.TrimSuffix(o.out, endModule) + endSafetensors }

func (o exportOptions) module(t trained) error {
	if same(o.weights.file, o.beside()) {
		return usagef("-o %s: its weights would be written over those of --weights %s; choose another name", o.out, o.weights.file)
	}
	s := t.setting
	text, err := pymodule.Write(t.graph, pymodule.Options{Name: o.model, Weights: filepath.Base(o.beside()), Mean: s.Mean, Std: s.Std, Classes: s.Classes})
	if err != nil {
		return err
	}
	f, err := renamed(t, nil)
	if err != nil {
		return err
	}
	if err := safetensors.WriteFile(o.beside(), f); err != nil {
		return err
	}
	return atomicfile.WriteFile(o.out, text, 0o644)
}

// same says whether two paths lead to one file.
func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
