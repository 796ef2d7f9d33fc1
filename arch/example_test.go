package arch_test

import (
	"fmt"

	"netspace/arch"
	"netspace/graph"
)

func ExampleRegNet_AnyNet() {
	r := arch.RegNet{Depth: 22, W0: 24, WA: 24.48, WM: 2.54, GroupWidth: 16, Bottleneck: 1,
		Common: arch.Common{Stem: arch.Stem{Type: arch.SimpleStem, Width: 32}, Activation: graph.ReLU}}
	n, err := r.AnyNet()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range n.Stages {
		fmt.Println(s.Depth, s.Width, s.GroupWidth)
	}
	// Output:
	// 1 32 16
	// 2 64 16
	// 7 160 16
	// 12 384 16
}

func ExampleParseSpec() {
	_, err := arch.ParseSpec([]byte("family: regnet\ndepth: 0\nw0: 24\nwa: fast\nwm: 2.5\ngroup_with: 8\n"), "net.yaml")
	fmt.Println(err)
	// Output:
	// net.yaml:1: group_width: is missing
	// net.yaml:2: depth: 0: must be a whole number from 1 to 4096
	// net.yaml:4: wa: fast: must be a number
	// net.yaml:6: group_with: is not a known field (did you mean group_width?)
}

func ExampleAnyNet_Fit() {
	resnet, _ := arch.Lookup("resnet50")
	n, _ := resnet.AnyNet()
	fmt.Printf("e_fit %.3f\n", n.Fit().Error)
	// Output: e_fit 0.085
}

func ExampleScaling_Scale() {
	spec, _ := arch.Lookup("efficientnet_b0")
	scaling, _ := arch.ParseScaling("dwr", 2)
	scaled, _ := scaling.Scale(spec, 0)
	k, _ := scaled.Complexity(arch.Input{})
	fmt.Println(scaled.Resolution, k.Flops)
	// Output: 252 791827760
}
