//go:build cgo

package onednn

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"netspace/engine"
)

// What oneDNN refuses to make is told with the primitive, the shapes and the status.
func TestFailureToMake(t *testing.T) {
	p, err := open(t).compile(network(t, 16, 8, 0), engine.Options{Batch: 4}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for shape := range p.shapes {
		// A depthwise one of a lone image in blocks of 8 where there is AVX-512 is oneDNN's.
		shape.n, shape.width, shape.wide, shape.block, shape.plain_src = 1, 1, 1, 8, 0
		shape.groups, shape.ic, shape.oc, shape.ih = 8, 8, 8, -1
		_, err := p.makePrims(shape)
		var e *Error
		if !errors.As(err, &e) || e.Primitive != "source layout" || !strings.HasPrefix(e.Shape, "convolution 1x8x-1x") || e.Status != "invalid arguments" {
			t.Errorf("error %v; want source layout of %s", err, shapeString(shape))
		}
		break
	}
}

// So is what fails in a step, with the operation's name.
func TestFailureToRun(t *testing.T) {
	g := network(t, 16, 8, 0)
	p, err := open(t).compile(g, engine.Options{Batch: 4}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i, c := range p.opConv {
		if c != nil && c.weight.prims == nil {
			*(*int32)(unsafe.Pointer(&p.ops[i].of)) = -1 // the output channels of a product
			break
		}
	}
	_, err = p.Step(randomBatch(g, 4), make([]float32, 4*10))
	var e *Error
	if !errors.As(err, &e) || *e != (Error{"forward", "head.fc, matrix product 32 -> -1", "invalid arguments"}) {
		t.Errorf("error %v", err)
	}
}

// A machine without the library, or with a broken one, is told so; the loader
// looks once, so this takes a process of its own.
func TestMissingLibrary(t *testing.T) {
	if os.Getenv("NETSPACE_TEST_NO_LIBRARY") != "" {
		_, err := New()
		var missing *engine.ErrUnavailable
		if !errors.As(err, &missing) || !strings.Contains(err.Error(), "libdnnl") || !strings.Contains(err.Error(), "apt-get install") {
			t.Errorf("error %v", err)
		}
		return
	}
	dir := t.TempDir()
	for _, name := range []string{"libdnnl.so.2", "libdnnl.2.dylib"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("not a library"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(os.Args[0], "-test.run=^TestMissingLibrary$")
	c.Env = append(os.Environ(), "NETSPACE_TEST_NO_LIBRARY=1", "LD_LIBRARY_PATH="+dir, "DYLD_LIBRARY_PATH="+dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// GODEBUG hides instructions of the processor.
func TestUnsupportedProcessor(t *testing.T) {
	if os.Getenv("NETSPACE_TEST_OLD_PROCESSOR") != "" {
		_, err := New()
		var missing *engine.ErrUnavailable
		if !errors.As(err, &missing) || !strings.Contains(err.Error(), "AVX2") {
			t.Errorf("error %v", err)
		}
		return
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("the kernels need no special instructions on " + runtime.GOARCH)
	}
	c := exec.Command(os.Args[0], "-test.run=^TestUnsupportedProcessor$")
	c.Env = append(os.Environ(), "NETSPACE_TEST_OLD_PROCESSOR=1", "GODEBUG=cpu.avx2=off")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Wherever memory runs out while a network is compiled, that is an error then,
// and nothing leaks or is lost later: a program that was compiled has all that it will need.
func TestMemoryRunsOut(t *testing.T) {
	e := open(t)
	g := network(t, 16, 8, 0)
	o := engine.Options{Batch: 4, Threads: 2}.WithDefaults()
	// oneDNN keeps what it has made once; do that first, so that the heap can be compared.
	if p, err := e.compile(g, o); err != nil {
		t.Fatal(err)
	} else {
		p.Close()
	}
	defer failAfter(-1)
	failures := 0
	for n := range 10_000 {
		failAfter(n)
		p, err := e.compile(g, o)
		failAfter(-1)
		if err == nil {
			if failures < 20 {
				t.Errorf("only %d allocations could fail", failures)
			}
			failAfter(0) // none is left to make
			defer p.Close()
			batch := randomBatch(g, 4)
			for step := range 3 {
				if _, err := p.Step(batch, nil); err != nil {
					t.Fatal(err)
				}
				u := engine.Update{Optimizer: engine.Adam, LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-8, Step: step + 1, EMADecay: 0.9}
				if _, err := p.Update(u); err != nil {
					t.Fatal(err)
				}
			}
			return
		}
		failures++
		var memory *MemoryError
		var native *Error
		if !errors.As(err, &memory) && !(errors.As(err, &native) && strings.Contains(err.Error(), "out of memory")) && !strings.Contains(err.Error(), "threads") {
			t.Fatalf("allocation %d: %v", n, err)
		}
	}
	t.Error("compiling never succeeds")
}
