package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"

	"netspace/design"
	"netspace/stats"
	"netspace/study"
)

// network is one of a population, as testdata holds it.
type network struct {
	Space string       `json:"space"`
	Error float64      `json:"error"`
	Known []float64    `json:"known"` // design.Features
	Curve []stats.Seen `json:"curve"` // by epoch, loss and error on the training images
}

type population []network

// 150 networks of each of three spaces, trained for ten epochs: testdata/fashion-mnist.yaml.
//
//go:embed testdata/fashion-mnist.jsonl
var fashion []byte

// real gives the trained populations by their spaces.
func real() (map[string]population, error) {
	all := map[string]population{}
	lines := bufio.NewScanner(bytes.NewReader(fashion))
	for lines.Scan() {
		var n network
		if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
			return nil, fmt.Errorf("testdata: %w", err)
		}
		all[n.Space] = append(all[n.Space], n)
	}
	return all, lines.Err()
}

// extract writes the populations of a study as testdata.
func extract(ctx context.Context, dir string, w io.Writer) error {
	s, err := study.Open(ctx, dir)
	if err != nil {
		return err
	}
	out := json.NewEncoder(w)
	return s.Each(ctx, func(t study.Trial) error {
		n := network{Space: t.Space, Error: t.Error, Known: design.Features(t)}
		for i, v := range n.Known {
			n.Known[i] = digits(v)
		}
		for _, e := range t.Epochs {
			n.Curve = append(n.Curve, stats.Seen{digits(e.TrainLoss), digits(e.TrainError)})
		}
		if t.State != study.Done {
			return fmt.Errorf("network %d of %s is %s", t.Index, t.Space, t.State)
		}
		return out.Encode(n)
	})
}

// digits keeps five digits, which is more than matters.
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

// each does something for every simulation, on all cores. Its random numbers depend on the simulation alone.
func (s simulation) each(ctx context.Context, do func(rng *rand.Rand) error) error {
	var wait sync.WaitGroup
	errs := make([]error, runtime.GOMAXPROCS(0))
	for worker := range errs {
		wait.Go(func() {
			for i := worker; i < s.runs && errs[worker] == nil; i += len(errs) {
				if errs[worker] = ctx.Err(); errs[worker] == nil {
					errs[worker] = do(rand.New(rand.NewPCG(s.seed, uint64(i))))
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
