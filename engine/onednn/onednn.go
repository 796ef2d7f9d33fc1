//go:build cgo

// Package onednn is the fast engine: it compiles a network's training step
// into a list of loops over cache-sized chunks of the batch, of convolutions
// by register tiles and element-wise kernels in C. oneDNN has matrix products and a rare convolution.
//
// It is the only package that imports C.
package onednn

// #cgo CFLAGS: -O3 -Wall -g0
// #cgo amd64 CFLAGS: -march=haswell
// #cgo LDFLAGS: -lm -lpthread
// #cgo linux LDFLAGS: -ldl
// #include "ns.h"
import "C"

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/cpu"

	"netspace/engine"
	"netspace/graph"
)

// Engine is the oneDNN CPU engine. It is safe for concurrent use.
type Engine struct {
	c    *C.ns_engine
	wide bool // AVX-512: blocks of 16 channels where all fit

	// Of tests: see planner.zone; vectors and images of the tiles to use; and what is called with every program before it goes.
	zone    int64
	tile    [2]int
	closing func(*program)
}

var _ engine.Engine = (*Engine)(nil)

// New loads oneDNN and opens the engine. The error is an *engine.ErrUnavailable
// where the library is missing, or the processor lacks what the kernels are
// compiled for.
func New() (engine.Engine, error) {
	if runtime.GOARCH == "amd64" && !(cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasBMI1 && cpu.X86.HasBMI2) {
		return nil, &engine.ErrUnavailable{Engine: Name, Reason: "this processor lacks the instructions of Haswell: AVX2, FMA, BMI"}
	}
	if fault := C.GoString(C.ns_library()); fault != "" {
		return nil, &engine.ErrUnavailable{Engine: Name, Reason: "oneDNN cannot be loaded: " + fault + " (Debian: apt-get install libdnnl2)"}
	}
	var status C.int
	e := &Engine{c: C.ns_engine_new(&status)}
	if status != 0 {
		return nil, &engine.ErrUnavailable{Engine: Name, Reason: "oneDNN: " + C.GoString(C.ns_status(status))}
	}
	var major, minor, patch, isa C.int
	C.ns_version(&major, &minor, &patch, &isa)
	// As the library will use it: an environment variable of oneDNN can lower it.
	e.wide = isa&avx512 == avx512 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ
	return e, nil
}

// Describe names the library that is loaded and the instructions that it uses.
func (e *Engine) Describe() engine.Description {
	var major, minor, patch, isa C.int
	C.ns_version(&major, &minor, &patch, &isa)
	return engine.Description{Name: Name, Device: engine.CPU, Precision: engine.FP32,
		Library: fmt.Sprintf("oneDNN %d.%d.%d", int(major), int(minor), int(patch)), ISA: isaName(int(isa)), Kernels: kernels}
}

// kernels goes up whenever the C kernels give other bits than before; 0 were those without tiles, 1 had them for dense convolutions alone,
// 3 not for every kernel and stride, 4 had larger chunks, and oneDNN's first convolutions.
const kernels = 5

// isaName is what people call a set of instructions that oneDNN has a number for.
func isaName(isa int) string {
	for _, n := range []struct {
		bits int
		name string
	}{
		{0x3e7, "AVX-512 with AMX"}, {0xe7, "AVX-512 with bfloat16"}, {0x67, "AVX-512 with VNNI"}, {avx512, "AVX-512"},
		{0x407, "AVX2 with VNNI"}, {0x7, "AVX2"}, {0x3, "AVX"}, {0x1, "SSE4.1"},
	} {
		if isa&n.bits == n.bits {
			return n.name
		}
	}
	return fmt.Sprintf("isa %#x", isa)
}

// avx512 is oneDNN's number for what the wide kernels need.
const avx512 = 0x27

// Peak measures multiply-adds on one core and takes as many for every thread.
func (e *Engine) Peak(threads int, d time.Duration) float64 {
	wide := C.int(0)
	if e.wide {
		wide = 1
	}
	return float64(threads) * float64(C.ns_peak_gflops(C.double(d.Seconds()), wide))
}

// Compile makes a program; see engine.Engine. The error is an
// *UnsupportedError where the graph has a form without kernels, an *Error where oneDNN
// refuses a shape.
func (e *Engine) Compile(g *graph.Graph, o engine.Options) (engine.Program, error) {
	o = o.WithDefaults()
	if o.Batch < 1 || o.Threads < 1 {
		return nil, fmt.Errorf("onednn: batch %d and %d threads: both are at least 1", o.Batch, o.Threads)
	}
	if _, err := o.Fixed(g); err != nil {
		return nil, fmt.Errorf("onednn: %w", err)
	}
	o.Threads = min(o.Threads, o.Batch)
	if o.Inference && o.Fold {
		return e.compileFolded(g, o)
	}
	return e.compile(g, o)
}

// heapBytes is what the C heap has in use, or -1 where the C library cannot tell.
func heapBytes() int64 { return int64(C.ns_heap()) }

// failAfter lets so many allocations of this process succeed and the next one
// fail, once; -1: none fails. For tests.
func failAfter(n int) { C.ns_fail_after(C.int64_t(n)) }
