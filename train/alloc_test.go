package train

import (
	"runtime"
	"testing"
	"time"

	"netspace/engine"
	"netspace/graph"
)

// idle is an engine that computes nothing.
type idle struct{}

func (idle) Describe() engine.Description    { return engine.Description{Name: "idle"} }
func (idle) Peak(int, time.Duration) float64 { return 0 }
func (idle) Compile(*graph.Graph, engine.Options) (engine.Program, error) {
	return idleProgram{}, nil
}

type idleProgram struct{}

func (idleProgram) Step(engine.Batch, []float32) (float64, error)            { return 1, nil }
func (idleProgram) Update(engine.Update) (float64, error)                    { return 1, nil }
func (idleProgram) Forward([]float32, []float32, engine.Mode, float64) error { return nil }
func (idleProgram) Get(engine.Set, string, []float32) error                  { return nil }
func (idleProgram) Set(engine.Set, string, []float32) error                  { return nil }
func (idleProgram) Memory() int64                                            { return 0 }
func (idleProgram) Close() error                                             { return nil }

// The loop around the engine allocates nothing once it runs, whatever the recipe.
func TestStepsAllocateNothing(t *testing.T) {
	r := fullRecipe()
	r.Epochs, r.Batch = 1, 2
	j := testJob(t, r)
	j.Data = testData(2000, 10)
	j.Engine = idle{}
	j.Progress = func(Progress) {}
	var before, after runtime.MemStats
	j.OnStep = func(s StepStats) error {
		switch s.Step {
		case 100:
			runtime.ReadMemStats(&before)
		case 900:
			runtime.ReadMemStats(&after)
		}
		return nil
	}
	mustRun(t, j)
	if n := after.Mallocs - before.Mallocs; n > 20 { // the runtime's own, such as stacks of goroutines
		t.Errorf("%d allocations in 800 steps", n)
	}
}
