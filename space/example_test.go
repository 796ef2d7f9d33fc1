package space_test

import (
	"context"
	"fmt"

	"netspace/metric"
	"netspace/space"
)

func ExampleSpace_Sample() {
	s, err := space.Load("anynetx-e")
	if err != nil {
		fmt.Println(err)
		return
	}
	regime := space.Regime{Bounds: metric.Bounds{metric.Flops: {Min: 360e6, Max: 400e6}}}
	networks, report, err := s.Sample(context.Background(), space.Config{Regime: regime, Seed: 1}, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range networks {
		fmt.Println(n.Complexity.Flops, n)
	}
	fmt.Println(report.Candidates, "candidates")
	// Output:
	// 384373352 2×16/b2/g8 2×16/b2/g8 4×56/b2/g28 8×896/b2/g32
	// 376690264 2×32/b2/g1 2×88/b2/g1 2×200/b2/g1 10×784/b2/g1
	// 395806440 4×8/b1/g8 5×16/b1/g16 7×32/b1/g16 11×544/b1/g16
	// 87 candidates
}

func ExampleParse() {
	s, err := space.Parse([]byte(`
base: anynetx-c
rules:
  - {increasing: width}
  - blocks <= 12
`), "mine.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Name, s.Bases, s.Rules)
	// Output: mine [anynetx-c anynetx-b anynetx-a] [equal bottleneck equal group_width increasing width blocks <= 12]
}

// A space that a program states, one derived from it, and the file of that.
func ExampleNew() {
	small, err := space.New("small-basic", "anynet",
		space.Template{Block: "R", Stages: 3, Stem: space.Stem{Type: "cifar", Width: 16}},
		space.Parameter{Name: "depth", Priors: []space.Prior{{Kind: space.LogUniform, Min: 1, Max: 8, Multiple: 1}}},
		space.Parameter{Name: "width", Priors: []space.Prior{{Kind: space.LogUniform, Min: 8, Max: 128, Multiple: 8}}},
		space.Regime{Bounds: metric.Bounds{metric.Flops: {Min: 4e6, Max: 5e6}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	growing, err := small.With(space.Named("small-growing"),
		space.Rule{Kind: space.NonDecreasing, Parameter: "width"},
		space.Where("stages[2].width <= 4 * stages[0].width"))
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := growing.MarshalYAML()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(text))
	// Output:
	// name: small-growing
	// derived_from: [small-basic]
	// family: anynet
	// network:
	//   block: R
	//   stem: {type: cifar, width: 16}
	//   stages: 3
	// parameters:
	//   depth: {log-uniform: 1..8}
	//   width: {log-uniform: 8..128, multiple: 8}
	// rules:
	//   - {non-decreasing: width}
	//   - stages[2].width <= 4 * stages[0].width
	// regime:
	//   flops: 4M..5M
}
