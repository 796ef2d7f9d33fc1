package space

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"

	"netspace/arch"
	"netspace/graph"
	"netspace/internal/portable"
	"netspace/metric"
)

// DefaultEffort is the number of candidates after which sampling gives up:
// enough for 500 networks where one candidate of 40,000 is kept, and at most a
// minute or so of one processor.
const DefaultEffort = 20_000_000

// patience is the share of the effort after which sampling gives up if it
// brought no new network: the space is empty, nearly so, or used up.
const patience = 10

// Network is one sampled network.
type Network struct {
	Index      uint64 // of the candidate, in the order of the seed
	Spec       arch.Spec
	Asked      Asked // what was drawn, before adjustment
	Complexity graph.Complexity
}

// Sample draws n networks: Sampler and Sampler.Sample in one.
func (s *Space) Sample(ctx context.Context, cfg Config, n int) ([]Network, Report, error) {
	p, err := s.Sampler(cfg)
	if err != nil {
		return nil, Report{Space: s.Name, Seed: cfg.Seed, Asked: n}, err
	}
	return p.Sample(ctx, n)
}

// Sample draws n different networks.
//
// Candidate i is a function of space, seed and i alone. It is drawn from the
// prior conditional on the rules that priors can obey by construction, and
// kept if all other rules and bounds hold; the result is the first n networks
// that are kept, in that order and without repetition. So more networks begin
// with the same ones, and the number of workers changes nothing.
//
// If there are not enough, the error is a *TooFewError, and the networks found
// are returned with it. The error of a done context is its cause.
func (p *Sampler) Sample(ctx context.Context, n int) ([]Network, Report, error) {
	c := newCollector(p, n)
	workers := p.config.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	chunks := make([]*chunk, workers)
	for i := range chunks {
		chunks[i] = newChunk(p)
	}
	// Rounds of chunks in parallel, collected in order. They grow, so that few
	// networks cost few candidates.
	next, size := uint64(0), uint64(64)
	for !c.done() {
		var wait sync.WaitGroup
		for i, k := range chunks {
			from := next + uint64(i)*size
			k.from, k.to = from, min(from+size, uint64(p.config.Effort))
			if len(chunks) == 1 {
				k.run()
				continue
			}
			wait.Go(k.run)
		}
		wait.Wait()
		if err := context.Cause(ctx); err != nil {
			return nil, c.report, err
		}
		for _, k := range chunks {
			c.collect(k)
		}
		if p.config.Progress != nil {
			p.config.Progress(len(c.networks), c.tally.candidates)
		}
		next += uint64(len(chunks)) * size
		size = min(size*2, 8192)
	}
	return c.networks, c.finish(), c.err()
}

// candidate is the working memory in which candidates are drawn and judged,
// one after the other, without allocating.
type candidate struct {
	p       *Sampler
	env     []float64
	random  rand.PCG
	stages  []arch.Stage
	net     arch.AnyNet
	counter graph.Counter
	input   arch.Input
}

func newCandidate(p *Sampler) *candidate {
	c := &candidate{p: p, env: append([]float64(nil), p.start...), stages: make([]arch.Stage, 0, 64), input: p.config.Input}
	return c
}

// kept is the result of judge for a candidate that nothing rejects.
const kept = -1

// golden is the odd number nearest to 2^64 over the golden ratio.
const golden = 0x9e3779b97f4a7c15

// draw fills env with candidate i.
func (c *candidate) draw(i uint64) {
	s := mix(c.p.key + i*golden)
	c.random.Seed(s, mix(s^golden))
	k := 0
	for j := range c.p.draws {
		d := &c.p.draws[j]
		u := float64(c.random.Uint64()>>11) * 0x1p-53
		var v float64
		if d.tail == nil {
			v = d.lo + float64(u*(d.hi-d.lo))
			if d.log {
				v = portable.Exp(v)
			}
		} else {
			k0 := 0
			if d.from != nil {
				k0 = d.from[k]
			}
			k = d.pick(u, k0)
			v = d.values[k]
		}
		for _, slot := range d.to {
			c.env[slot] = v
		}
	}
}

// judge gives the number of the first check that rejects what is drawn, or
// kept. counted says whether the complexity was needed to decide.
func (c *candidate) judge() (rejected int, atCount bool) {
	if c.p.space.Family == familyRegNet {
		r := c.p.regnet(c.env, arch.Stem{})
		c.env[slotLevels] = float64(r.Levels())
	}
	at := drawn
	for i := range c.p.checks {
		k := &c.p.checks[i]
		if k.phase >= built && at < built {
			c.build()
			at = built
		}
		if k.phase >= counted && at < counted {
			complexityOf(&c.counter, &c.net, c.input, c.env)
			at = counted
		}
		if k.holds == nil && len(c.net.Stages) != c.p.layout.stages || k.holds != nil && !k.holds(c.env) {
			return i, at == counted
		}
	}
	return kept, at == counted
}

// build makes the adjusted network of what is drawn.
func (c *candidate) build() {
	p := c.p
	stem := arch.Stem{Type: p.net.stem.Type, Width: int(c.env[slotStemWidth])}
	if p.space.Family == familyRegNet {
		r := p.regnet(c.env, stem)
		c.stages = r.AppendStages(c.stages[:0])
		c.net = arch.AnyNet{Block: r.Block, Common: r.Common, Stages: c.stages}
	} else {
		c.net = p.anynet(c.env, stem, c.stages[:0])
		c.stages = c.net.Stages
	}
	c.net.Adjust()
	for i, s := range c.net.Stages[:min(len(c.net.Stages), p.layout.stages)] {
		f := c.env[p.layout.adjusted(i, 0):]
		f[fieldDepth], f[fieldWidth], f[fieldStride] = float64(s.Depth), float64(s.Width), float64(s.Stride)
		f[fieldBottleneck], f[fieldGroupWidth] = s.Bottleneck, float64(s.GroupWidth)
	}
	if p.resolution {
		c.input.Height, c.input.Width = int(c.env[slotResolution]), int(c.env[slotResolution])
	}
}

// tally counts what happened to candidates.
type tally struct {
	candidates int64
	rejected   []int64 // by check
	counted    int64   // candidates whose complexity was counted
	low, high  metric.Values
}

func newTally(checks int) tally {
	t := tally{rejected: make([]int64, checks)}
	t.reset()
	return t
}

func (t *tally) reset() {
	clear(t.rejected)
	t.candidates, t.counted = 0, 0
	for i := range t.low {
		t.low[i], t.high[i] = math.Inf(1), 0
	}
}

func (t *tally) add(u *tally) {
	t.candidates += u.candidates
	t.counted += u.counted
	for i, n := range u.rejected {
		t.rejected[i] += n
	}
	for i := range t.low {
		t.low[i], t.high[i] = min(t.low[i], u.low[i]), max(t.high[i], u.high[i])
	}
}

// chunk is a run of successive candidates that one worker judges.
type chunk struct {
	candidate *candidate
	from, to  uint64
	kept      []uint64
	tally     tally
}

func newChunk(p *Sampler) *chunk {
	return &chunk{candidate: newCandidate(p), tally: newTally(len(p.checks))}
}

// run judges the candidates from from up to, not including, to.
func (k *chunk) run() {
	k.kept = k.kept[:0]
	k.tally.reset()
	c, t := k.candidate, &k.tally
	for i := k.from; i < k.to; i++ {
		c.draw(i)
		rejected, atCount := c.judge()
		t.candidates++
		if atCount {
			t.counted++
			for j := range t.low {
				v := c.env[slotMetric+j]
				t.low[j], t.high[j] = min(t.low[j], v), max(t.high[j], v)
			}
		}
		if rejected == kept {
			k.kept = append(k.kept, i)
		} else {
			t.rejected[rejected]++
		}
	}
}

// collector makes networks of kept candidates, in their order.
type collector struct {
	p         *Sampler
	want      int
	networks  []Network
	report    Report
	tally     tally
	candidate *candidate
	last      uint64         // the candidate after that of the newest network
	invalid   int64          // kept, but beyond the limits of package arch
	times     []int64        // how often each network came
	byKey     map[string]int // place in times by key of the adjusted network
	byAsked   map[string]int // the same by what was drawn, to be quick where few networks come again and again
	raw       []byte
}

// maxAsked bounds the memory of byAsked.
const maxAsked = 1 << 18

func newCollector(p *Sampler, n int) *collector {
	return &collector{
		p: p, want: n, candidate: newCandidate(p), tally: newTally(len(p.checks)),
		byKey: map[string]int{}, byAsked: map[string]int{},
		report: Report{Space: p.space.Name, Seed: p.config.Seed, Asked: n, Effort: p.config.Effort},
	}
}

// done says whether there are enough networks or the effort is spent.
func (c *collector) done() bool {
	return len(c.networks) >= c.want || uint64(c.tally.candidates) >= c.limit()
}

// limit is the candidate before which sampling ends: the effort is spent, or a
// part of it brought no new network.
func (c *collector) limit() uint64 {
	effort := uint64(c.p.config.Effort)
	return min(effort, c.last+max(1, effort/patience))
}

// collect takes what a chunk kept. The chunk in which sampling ends counts up to
// that candidate only, so that nothing depends on the size of chunks.
func (c *collector) collect(k *chunk) {
	if c.done() {
		return
	}
	for _, i := range k.kept {
		if i >= c.limit() || len(c.networks) >= c.want {
			break
		}
		c.take(i)
	}
	end := min(k.to, c.limit())
	if len(c.networks) >= c.want {
		end = c.last
	}
	if end < k.to {
		k.to = end
		k.run()
	}
	c.tally.add(&k.tally)
}

// take makes the network of candidate i, if it is a new one.
func (c *collector) take(i uint64) {
	d := c.candidate
	d.draw(i)
	c.raw = c.raw[:0]
	for _, a := range c.p.asked {
		c.raw = binary.LittleEndian.AppendUint64(c.raw, math.Float64bits(d.env[a.slot]))
	}
	if k, known := c.byAsked[string(c.raw)]; known {
		c.times[k]++
		return
	}
	spec := c.p.spec(d.env)
	if spec.Validate() != nil {
		c.invalid++
		return
	}
	key := spec.Key()
	for _, f := range c.p.recipe {
		key += " " + f.name + metric.FormatNumber(d.env[f.slot])
	}
	k, known := c.byKey[key]
	if !known {
		k = len(c.times)
		c.byKey[key] = k
		c.times = append(c.times, 0)
	}
	c.times[k]++
	if len(c.byAsked) < maxAsked {
		c.byAsked[string(c.raw)] = k
	}
	if known {
		return
	}
	d.build()
	complexityOf(&d.counter, &d.net, d.input, d.env)
	asked := make(Asked, len(c.p.asked))
	for j, a := range c.p.asked {
		asked[j] = Drawn{a.name, d.env[a.slot]}
	}
	c.networks = append(c.networks, Network{Index: i, Spec: spec, Asked: asked, Complexity: d.counter.Complexity})
	c.last = i + 1
}
