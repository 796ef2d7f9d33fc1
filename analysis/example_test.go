package analysis_test

import (
	"context"
	"fmt"
	"log"

	"netspace/analysis"
	"netspace/space"
	"netspace/study"
)

// Compare the spaces of a study: what is known, and how surely.
func ExampleCompare() {
	source, err := analysis.Load(context.Background(), "../study/testdata/v1/kept")
	if err != nil {
		log.Fatal(err)
	}
	c, err := analysis.Compare(context.Background(), []analysis.Source{source}, analysis.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range c.Spaces {
		fmt.Printf("%s: %d networks, %d failed, mean error %.1f %% (%.1f to %.1f)\n", s.Label, s.N, s.Failed, s.Mean.Value, s.Mean.Lo, s.Mean.Hi)
	}
	// Output:
	// anynetx-a: 3 networks, 0 failed, mean error 22.4 % (0.0 to 59.4)
	// anynety-c: 3 networks, 0 failed, mean error 53.1 % (50.0 to 57.8)
	// anynetv-a: 3 networks, 3 failed, mean error 75.0 % (75.0 to 75.0)
	// regnetx: 2 networks, 0 failed, mean error 67.2 % (62.5 to 71.9)
	// wild.yaml: 2 networks, 0 failed, mean error 15.6 % (7.8 to 23.4)
}

// Propose the next rule of a space from networks and errors of anyone's, and
// derive the space that has it. Here networks of AnyNetXC whose widths decrease
// have two points more.
func ExampleRefine() {
	ctx := context.Background()
	base, err := space.Load("anynetx-c")
	if err != nil {
		log.Fatal(err)
	}
	networks, _, err := base.Sample(ctx, space.Config{Seed: 1, Network: space.Template{Stages: 3}}, 100)
	if err != nil {
		log.Fatal(err)
	}
	p := study.Population{Study: "theirs", Space: "anynetx-c"}
	for i, n := range networks {
		t := study.Trial{Index: i, Spec: n.Spec, Asked: n.Asked, Complexity: n.Complexity, State: study.Done, Error: 20 + float64(i*37%100)/25}
		if w, _ := n.Spec.AnyNet(); w.Stages[0].Width > w.Stages[1].Width || w.Stages[1].Width > w.Stages[2].Width {
			t.Error += 2
		}
		p.Trials = append(p.Trials, t)
	}
	source := analysis.Source{Name: "theirs", Dir: "theirs", Populations: []study.Population{p}}
	r, err := analysis.Refine(ctx, source, "anynetx-c", analysis.RefineOptions{Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	c := r.Candidates[0]
	fmt.Printf("%s: %s, from %d networks\n", c.Label, c.Standing, c.Part)
	fmt.Printf("mean error %.1f (%.1f to %.1f); the space is 10^%.2f times smaller\n", c.Mean.Value, c.Mean.Lo, c.Mean.Hi, c.Log10.Value())
	fmt.Println(c.Space.Name, c.Space.Rules)
	// Output:
	// width never decreases: better, from 10 networks
	// mean error -1.6 (-3.0 to -0.2); the space is 10^0.77 times smaller
	// anynetx-c-ascending-width [equal bottleneck equal group_width non-decreasing width]
}
