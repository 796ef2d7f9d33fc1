package space

import (
	"fmt"
	"math"

	"netspace/arch"
	"netspace/graph"
	"netspace/metric"
	"netspace/strict"
)

// Config says for what a space is sampled.
type Config struct {
	Input   arch.Input // images and classes; zeros: ImageNet's. A space with a parameter resolution draws the size of the images
	Network Template   // what takes the place of the space's template
	Regime  Regime     // what takes the place of the space's bounds; its rules are added
	Seed    uint64
	Workers int   // goroutines; 0: one per processor. No result depends on it
	Effort  int64 // candidates after which to give up; 0: DefaultEffort
	// Progress, if not nil, is called now and then with the networks found and
	// the candidates judged so far, by the goroutine that called Sample.
	Progress func(networks int, candidates int64)
}

// Sampler is a space made ready to be sampled for one Config. It is safe for
// concurrent use.
type Sampler struct {
	space  *Space
	config Config
	flat   bool // every setting equally likely, to count settings

	net        resolved
	layout     layout
	resolution bool // whether the resolution is drawn
	recipe     []recipeField
	asked      []askedSlot // what is drawn, in the order of the space

	key    uint64    // seed of candidate 0
	start  []float64 // environment before anything is drawn
	groups []group
	draws  []draw
	checks []check // by phase
}

type recipeField struct {
	name string
	slot int
}

// askedSlot is the slot of a drawn number, with its name.
type askedSlot struct {
	name string // "w0", "stages[1].width"
	slot int
}

// Sampler makes the space ready. The error is a *strict.Error with all faults.
func (s *Space) Sampler(cfg Config) (*Sampler, error) { return s.sampler(cfg, false) }

// sampler makes the space ready; flat replaces every prior by equal chances.
func (s *Space) sampler(cfg Config, flat bool) (*Sampler, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	p := &Sampler{space: s, config: cfg, flat: flat}
	template := cfg.Network.over(s.Network)
	net, err := template.resolve(s.Family)
	if err != nil {
		return nil, err
	}
	p.net, p.layout = net, layout{len(net.strides)}
	p.config.Input = fillInput(cfg.Input)
	p.config.Regime = cfg.Regime.over(s.Regime)
	if p.config.Effort == 0 {
		p.config.Effort = DefaultEffort
	}
	if p.config.Workers < 0 || p.config.Effort < 0 {
		return nil, fmt.Errorf("space %s: %d workers and an effort of %d: must not be negative", s.Name, cfg.Workers, cfg.Effort)
	}
	var faults strict.Faults
	p.fillStart()
	rest := p.prepare(&faults)
	p.addChecks(rest, &faults)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	for i := range p.draws {
		p.draws[i].makeGuide()
	}
	p.key = mix(cfg.Seed ^ mix(hash(s.Name)))
	return p, nil
}

func fillInput(in arch.Input) arch.Input {
	def := arch.ImageNet
	for _, x := range []struct{ to, from *int }{{&def.Channels, &in.Channels}, {&def.Height, &in.Height}, {&def.Width, &in.Width}, {&def.Classes, &in.Classes}} {
		if *x.from != 0 {
			*x.to = *x.from
		}
	}
	return def
}

// fillStart writes what is not drawn into the environment.
func (p *Sampler) fillStart() {
	recipe := 0
	for _, q := range p.space.Parameters {
		if isRecipe(q.Name) {
			p.recipe = append(p.recipe, recipeField{q.Name[len(recipePrefix):], p.layout.recipe(recipe)})
			recipe++
		}
	}
	p.start = make([]float64, p.layout.size(recipe))
	p.start[slotResolution] = float64(p.config.Input.Height)
	p.start[slotSE] = p.net.se
	p.start[slotRadix] = float64(p.net.radix)
	p.start[slotStemWidth] = float64(p.net.stem.Width)
	p.start[slotHeadWidth] = float64(p.net.headWidth)
	p.start[slotDropPath] = p.net.dropPath
	p.start[slotDropout] = p.net.dropout
	p.start[slotStride] = float64(p.net.strides[0])
	for i, s := range p.net.strides {
		p.start[p.layout.asked(i, fieldStride)] = float64(s)
	}
}

// spec makes the network of a candidate.
func (p *Sampler) spec(env []float64) arch.Spec {
	var s arch.Spec
	stem := arch.Stem{Type: p.net.stem.Type, Width: int(env[slotStemWidth])}
	if p.space.Family == familyRegNet {
		s = p.regnet(env, stem).Spec()
	} else {
		n := p.anynet(env, stem, nil)
		s = n.Spec()
	}
	s = s.Adjusted()
	if p.resolution {
		s.Resolution = int(env[slotResolution])
	}
	if len(p.recipe) > 0 {
		s.Recipe = map[string]any{}
		for _, f := range p.recipe {
			s.Recipe[f.name] = env[f.slot]
			if v := env[f.slot]; v == math.Trunc(v) && math.Abs(v) < 1<<53 {
				s.Recipe[f.name] = int(v)
			}
		}
	}
	return s
}

func (p *Sampler) regnet(env []float64, stem arch.Stem) arch.RegNet {
	r := arch.RegNet{
		Depth: int(env[slotDepth]), W0: env[slotW0], WA: env[slotWA], WM: env[slotWM], Bottleneck: env[slotBottleneck], GroupWidth: int(env[slotGroupWidth]), Stride: int(env[slotStride]),
		Block: p.net.block, Common: arch.Common{Stem: stem, SE: env[slotSE], Radix: int(env[slotRadix]), Activation: p.net.activation, HeadWidth: int(env[slotHeadWidth]), DropPath: env[slotDropPath], Dropout: env[slotDropout]},
	}
	return r
}

// anynet makes the network that was asked for, its stages appended to dst.
func (p *Sampler) anynet(env []float64, stem arch.Stem, dst []arch.Stage) arch.AnyNet {
	n := arch.AnyNet{
		Block: p.net.block, Common: arch.Common{Stem: stem, SE: env[slotSE], Radix: int(env[slotRadix]), Activation: p.net.activation, HeadWidth: int(env[slotHeadWidth]), DropPath: env[slotDropPath], Dropout: env[slotDropout]},
	}
	for i := range p.layout.stages {
		f := env[p.layout.asked(i, 0):]
		dst = append(dst, arch.Stage{Depth: int(f[fieldDepth]), Width: int(f[fieldWidth]), Stride: int(f[fieldStride]), Bottleneck: f[fieldBottleneck], GroupWidth: int(f[fieldGroupWidth])})
	}
	n.Stages = dst
	return n
}

// complexityOf a network into env.
func complexityOf(k *graph.Counter, n *arch.AnyNet, in arch.Input, env []float64) {
	k.Complexity = graph.Complexity{}
	n.Build(k, in)
	v := metric.Count(k.Complexity)
	copy(env[slotMetric:], v[:])
}

// mix is a bijection that spreads every bit over all (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
