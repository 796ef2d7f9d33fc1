// Package seeded gives tests random numbers that differ from run to run and can be had again.
package seeded

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// variable is the environment variable that holds the seed to use again.
const variable = "NETSPACE_TEST_SEED"

// Rand seeds from the clock. A test that fails says how it is run with the same numbers.
func Rand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(variable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", variable, err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to have the same random numbers: %s=%d go test -run '^%s$'", variable, seed, t.Name())
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}
