package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"

	"netspace/design"
	"netspace/stats"
	"netspace/study"
)

// network is one of a population.
type network struct {
	Error float64
	Known []float64    // design.Features
	Curve []stats.Seen // by epoch, loss and error on the training images
}

type population []network

// trainedFile has 150 networks of each of three spaces, as study export writes them, from the root of the repository.
const trainedFile = "examples/population.jsonl"

// real gives the trained populations by their spaces.
func real() (map[string]population, error) {
	text, err := os.ReadFile(trainedFile)
	if err != nil {
		return nil, err
	}
	all := map[string]population{}
	for line := range bytes.Lines(text) {
		var t study.Trial
		if err := json.Unmarshal(line, &t); err != nil {
			return nil, fmt.Errorf("%s: %w", trainedFile, err)
		}
		n := network{Error: t.Error, Known: design.Features(t)}
		for i, v := range n.Known {
			n.Known[i] = digits(v)
		}
		for _, e := range t.Epochs {
			n.Curve = append(n.Curve, stats.Seen{digits(e.TrainLoss), digits(e.TrainError)})
		}
		all[t.Space] = append(all[t.Space], n)
	}
	return all, nil
}

// digits keeps five digits, which is more than matters and the same on all machines.
func digits(v float64) float64 {
	if v == 0 {
		return 0
	}
	unit := math.Pow(10, 4-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*unit) / unit
}

// made is a population of n networks: 10 + 5·exp(N(0,1)/2), of which a share fails, and of which nothing is known that tells how good they are.
func made(n int, failing float64) (p population) {
	rng := rand.New(rand.NewPCG(1, uint64(1000*failing)))
	for range n {
		e := 10 + 5*math.Exp(0.5*rng.NormFloat64())
		if rng.Float64() < failing {
			e = 90
		}
		m := network{Error: e}
		for range 3 {
			m.Known = append(m.Known, rng.NormFloat64())
		}
		for range 10 {
			m.Curve = append(m.Curve, stats.Seen{rng.NormFloat64(), rng.NormFloat64()})
		}
		p = append(p, m)
	}
	return p
}

func (p population) errors() (e []float64) {
	for _, n := range p {
		e = append(e, n.Error)
	}
	return e
}

// mean is that of the errors, those beyond emax counted as it.
func (p population) mean(emax float64) float64 {
	sum := 0.0
	for _, n := range p {
		sum += math.Min(n.Error, emax)
	}
	return sum / float64(len(p))
}

// shifted makes all networks worse by as much as makes the mean one by d worse than that of a.
func (p population) shifted(a population, emax, d float64) population {
	goal, low, high := a.mean(emax)+d, -50.0, 50.0
	for range 60 {
		mid := (low + high) / 2
		if p.mean(emax-mid)+mid > goal {
			high = mid
		} else {
			low = mid
		}
	}
	q := make(population, len(p))
	for i, n := range p {
		n.Error += low
		q[i] = n
	}
	return q
}

// draw draws n networks with replacement.
func (p population) draw(rng *rand.Rand, n int) population {
	q := make(population, n)
	for i := range q {
		q[i] = p[rng.IntN(len(p))]
	}
	return q
}

func (p population) trained() (t stats.Trained) {
	t.Final = p.errors()
	for _, n := range p {
		t.Known, t.Curves = append(t.Known, n.Known), append(t.Curves, n.Curve)
	}
	return t
}

// simulation says how much is simulated.
type simulation struct {
	runs int
	seed uint64
}

// each does something for every simulation, by its number, on all cores. Its random numbers depend on the simulation alone.
func (s simulation) each(ctx context.Context, do func(run int, rng *rand.Rand) error) error {
	var wait sync.WaitGroup
	errs := make([]error, runtime.GOMAXPROCS(0))
	for worker := range errs {
		wait.Go(func() {
			for i := worker; i < s.runs && errs[worker] == nil; i += len(errs) {
				if errs[worker] = ctx.Err(); errs[worker] == nil {
					errs[worker] = do(i, rand.New(rand.NewPCG(s.seed, uint64(i))))
				}
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// tally counts what comes of simulations, safely for concurrent use.
type tally struct {
	mu   sync.Mutex
	sums map[string]float64
}

func (t *tally) add(what string, v float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sums == nil {
		t.sums = map[string]float64{}
	}
	t.sums[what] += v
}

func (t *tally) count(what string, yes bool) {
	if yes {
		t.add(what, 1)
	}
}

// halfWidth is two standard deviations of a share of 5 %.
func halfWidth(runs int) float64 { return 2 * math.Sqrt(0.05*0.95/float64(runs)) }
