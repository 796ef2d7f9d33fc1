package stats_test

import (
	"context"
	"fmt"

	"netspace/stats"
)

func ExampleCompare() {
	anynet := []float64{15.2, 16.9, 14.8, 19.5, 90, 16.1, 15.7, 17.3}
	regnet := []float64{13.9, 14.4, 14.1, 15.0, 14.6, 13.7, 15.3, 14.2}
	emax, _ := stats.DefaultEMax(anynet, regnet)
	spaces, pairs, err := stats.Compare(context.Background(), [][]float64{anynet, regnet}, emax, 0.5, stats.Options{Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("medians %.2f and %.2f\n", spaces[0].Median.Value, spaces[1].Median.Value)
	fmt.Printf("area to %.0f: %.2f and %.2f\n", emax, spaces[0].Area.Value, spaces[1].Area.Value)
	fmt.Printf("the second has the larger area with probability %.2f\n", pairs[0].Area.Better)
	// Output:
	// medians 16.50 and 14.30
	// area to 17: 0.79 and 2.60
	// the second has the larger area with probability 1.00
}

func ExampleBestRange() {
	errs := []float64{18, 14, 13, 13.5, 15, 19, 14.5, 17}
	depth := []float64{4, 12, 16, 14, 20, 3, 15, 6}
	r, err := stats.BestRange(errs, depth)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("good networks have %.0f to %.0f blocks, the best about %.0f\n", r.Lo, r.Hi, r.Best)
	// Output: good networks have 4 to 20 blocks, the best about 14
}

func ExampleSearchEfficiency() {
	s, err := stats.SearchEfficiency([]float64{14, 12, 16, 13}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, k := range s.K {
		fmt.Printf("best of %d: %.2f\n", k, s.Mean[i])
	}
	// Output:
	// best of 1: 13.75
	// best of 2: 12.67
	// best of 3: 12.25
	// best of 4: 12.00
}
