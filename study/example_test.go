package study_test

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"slices"

	"netspace/study"
)

// Open a folder, also while the study runs, and list the best networks of each space.
func ExampleOpen() {
	s, err := study.Open(context.Background(), "testdata/v1/kept")
	if err != nil {
		log.Fatal(err)
	}
	populations, err := s.Populations(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range populations {
		done := slices.DeleteFunc(slices.Clone(p.Trials), func(t study.Trial) bool { return t.State != study.Done })
		if len(done) == 0 {
			fmt.Println(p.Space, "has none yet")
			continue
		}
		best := slices.MinFunc(done, func(a, b study.Trial) int { return cmp.Compare(a.Error, b.Error) })
		fmt.Printf("%s: the best of %d has %.2f %% error and %d flops\n", p.Space, len(done), best.Error, best.Complexity.Flops)
	}
	// Output:
	// anynetx-a: the best of 3 has 0.00 % error and 27764 flops
	// anynety-c: the best of 3 has 50.00 % error and 10651 flops
	// anynetv-a has none yet
	// regnetx: the best of 2 has 62.50 % error and 55892 flops
	// wild.yaml: the best of 2 has 7.81 % error and 42916 flops
}
