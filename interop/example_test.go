package interop_test

import (
	"fmt"

	"netspace/arch"
	"netspace/interop"
)

func ExampleParse() {
	model, err := interop.Parse([]byte(`
MODEL: {TYPE: regnet, NUM_CLASSES: 1000}
REGNET: {DEPTH: 22, W0: 24, WA: 24.48, WM: 2.54, GROUP_W: 16}
NUM_GPUS: 8
`), "regnetx-400mf.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	k, err := model.Spec.Complexity(arch.Input{})
	fmt.Println(model.Format, k.Flops, model.Ignored, err)
	// Output: pycls 397678568 [NUM_GPUS] <nil>
}
