package analysis_test

import (
	"context"
	"fmt"
	"log"

	"netspace/analysis"
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
