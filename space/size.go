package space

import (
	"context"
	"math"
	"math/big"
)

// Size is how many settings of its parameters a space has.
type Size struct {
	// Log10 is the decimal logarithm of the number of settings that obey all
	// rules and bounds. Where rules or bounds can only be tested, it is an
	// estimate from Candidates settings drawn with equal chances, with the 95 %
	// interval of Wilson. Continuous parameters are left out.
	Log10 Estimate `json:"log10"`
	Exact bool     `json:"exact"`
	// Settings is the number itself, where it is exact.
	Settings   *big.Int `json:"settings,omitempty"`
	Candidates int64    `json:"candidates,omitempty"` // of the estimate
	Passed     int64    `json:"passed,omitempty"`     // those that passed all tests
	Continuous int      `json:"continuous,omitempty"` // parameters that are continuous
}

// sizeCandidates is how many settings an estimate of the size draws.
const sizeCandidates = 400_000

// Size counts the settings of the space, or estimates their number. Different
// settings may be adjusted to one network.
func (s *Space) Size(ctx context.Context, cfg Config) (Size, error) {
	p, err := s.sampler(cfg, true)
	if err != nil {
		return Size{}, err
	}
	total, continuous := p.settings()
	size := Size{Continuous: continuous}
	if len(p.checks) == 0 {
		size.Exact, size.Settings = true, total
		size.Log10 = exactly(log10(total))
		return size, nil
	}
	k := newChunk(p)
	const step = 20_000
	var passed int64
	for from := uint64(0); from < sizeCandidates; from += step {
		if err := context.Cause(ctx); err != nil {
			return Size{}, err
		}
		k.from, k.to = from, from+step
		k.run()
		passed += int64(len(k.kept))
	}
	size.Candidates, size.Passed = sizeCandidates, passed
	share := wilson(passed, sizeCandidates)
	all := log10(total)
	size.Log10 = Estimate{all + math.Log10(share.Value), all + math.Log10(share.Low), all + math.Log10(share.High)}
	return size, nil
}

func exactly(v float64) Estimate { return Estimate{v, v, v} }

// wilson is the 95 % interval of Wilson for a share; the value is the plain one.
func wilson(passed, of int64) Estimate {
	const z = 1.959964
	n, p := float64(of), float64(passed)/float64(of)
	mid := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return Estimate{p, max(0, mid-half), min(1, mid+half)}
}

// log10 of a positive whole number of any size.
func log10(v *big.Int) float64 {
	shift := max(0, v.BitLen()-60)
	top := new(big.Int).Rsh(v, uint(shift))
	return math.Log10(float64(top.Int64())) + float64(shift)*math.Log10(2)
}

// settings is the number of ways to take values so that the rules obeyed by
// construction hold, and the number of continuous parameters beside them.
func (p *Sampler) settings() (total *big.Int, continuous int) {
	total = big.NewInt(1)
	for i := 0; i < len(p.draws); {
		j := i + 1
		for j < len(p.draws) && p.draws[j].from != nil {
			j++
		}
		if p.draws[i].tail == nil {
			continuous++
		} else {
			total.Mul(total, count(p.draws[i:j]))
		}
		i = j
	}
	return total, continuous
}
