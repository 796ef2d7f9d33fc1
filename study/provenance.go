package study

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"netspace/engine"
	"netspace/internal/machine"
	"netspace/space"
	"netspace/trial"
)

// Maker is what results were made by. Two makers that differ in engine or processor may give
// results of one trial that differ in their last digits, which is as much as another seed would.
type Maker struct {
	Host    string             `json:"host,omitempty"` // name of the machine
	Program string             `json:"program"`        // version of netspace, and of Go
	Engine  engine.Description `json:"engine"`
	System  string             `json:"system"`           // linux/amd64
	CPU     string             `json:"cpu"`              // model, "" if the system does not say
	Cores   int                `json:"cores"`            // that the process may use
	Memory  int64              `json:"memory,omitempty"` // bytes, 0 if the system does not say
	Data    string             `json:"data"`             // name or folder of the images
}

// String gives "onednn on cpu in fp32 (oneDNN 2.6.3, AVX2), Intel(R) Xeon(R)…".
func (m Maker) String() string {
	if m.CPU == "" {
		return m.Engine.String()
	}
	return m.Engine.String() + ", " + m.CPU
}

// makerHere is this process, with an engine.
func makerHere(e engine.Description, data string) Maker {
	cpu := machine.ReadCPU()
	return Maker{Program: program(), Engine: e, System: runtime.GOOS + "/" + runtime.GOARCH,
		CPU: cpu.Model, Cores: cpu.Cores, Memory: machine.ReadMemory().Total, Data: data}
}

// program is the version of this program's netspace, and of the Go that built it.
func program() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "netspace, " + runtime.Version()
	}
	version := info.Main.Version
	for _, d := range info.Deps { // of a program that uses the library
		if d.Path == "netspace" {
			version = d.Version
		}
	}
	return strings.Join(strings.Fields("netspace "+version), " ") + ", " + info.GoVersion
}

// sameNumbers tells whether two makers give the same bits. Instructions and cache sizes of the processor
// decide the order in which a fast engine adds up; one that states no instruction set depends on neither.
func (m Maker) sameNumbers(o Maker) bool {
	return m.Engine == o.Engine && m.System == o.System && (m.Engine.ISA == "" || m.CPU == o.CPU)
}

// Made is a maker with what it has made of a study.
type Made struct {
	Maker
	Trials int `json:"trials"` // results
}

// Provenance is where the results of a study come from.
type Provenance struct {
	Data   string `json:"data"`             // key of the images, see train.DataKey
	Makers []Made `json:"makers,omitempty"` // those with results, that with most first
	// Unknown counts results in journals of versions that did not write who made them.
	Unknown int `json:"unknown,omitempty"`
	// Differing tells whether numbers of different makers may differ: see Maker.
	Differing bool `json:"differing"`
}

// Provenance tells where the results of all trials in the folder come from.
func (s *Study) Provenance() Provenance { return s.history.provenance() }

// SpaceFiles are the texts of a space of the study as they were when it was first sampled
// (see space.Space.Files), by its name in the study file; nil if the journals do not hold them.
func (s *Study) SpaceFiles(name string) []space.File {
	return slices.Clone(s.history.spaces[name].Files)
}

func (h *history) provenance() Provenance {
	var p Provenance
	if h.study != nil {
		p.Data = h.study.Data
	}
	made := map[*Maker]int{}
	for _, o := range h.outcomes {
		switch {
		case o.done == nil:
		case o.done.maker == nil:
			p.Unknown++
		default:
			made[o.done.maker]++
		}
	}
	for _, m := range h.makers {
		if n := made[m]; n > 0 {
			p.Makers = append(p.Makers, Made{*m, n})
		}
	}
	slices.SortStableFunc(p.Makers, func(a, b Made) int { return b.Trials - a.Trials })
	for _, m := range p.Makers {
		p.Differing = p.Differing || !m.sameNumbers(p.Makers[0].Maker)
	}
	return p
}

// differs says how the numbers of this machine may differ from those of the results that are
// there; "" if they do not, or if that cannot be known.
func (r *Run) differs(req Request) string {
	engine, err := req.Trainer.Describe(trial.Task{Engine: r.Config.Engine, Trainer: r.Config.Trainer})
	if err != nil { // the workers will say so
		return ""
	}
	return differing(makerHere(engine, ""), r.history.provenance())
}

// differing says how the numbers of a maker may differ from those of results that are there; "" if they do not.
func differing(here Maker, there Provenance) string {
	for _, m := range there.Makers {
		if !here.sameNumbers(m.Maker) {
			return fmt.Sprintf("%d results in this study were made by %s; this is %s: networks that are trained here may come out a little differently, as with another seed", m.Trials, m.Maker, here)
		}
	}
	return ""
}
