package train_test

import (
	"fmt"

	"netspace/train"
)

func ExampleRecipe_StepLR() {
	r := train.DefaultRecipe()
	r.Epochs, r.WarmupEpochs = 4, 1
	for epoch := range r.Epochs {
		fmt.Printf("%.4f\n", r.StepLR(epoch, 0, 100))
	}
	// Output:
	// 0.0100
	// 0.0854
	// 0.0500
	// 0.0146
}

func ExampleDecodeRecipe() {
	_, err := train.DecodeRecipe([]byte("epochs: 5\nmomentun: 0.9\nlr: -1\n"), "recipe.yaml", train.DefaultRecipe())
	fmt.Println(err)
	// Output:
	// recipe.yaml:2: momentun: is not a known field (did you mean momentum?)
	// recipe.yaml:3: lr: -1: must be a number in (0, 1000]
}
