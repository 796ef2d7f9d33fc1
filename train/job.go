package train

import (
	"fmt"
	"time"

	"netspace/dataset"
	"netspace/engine"
	"netspace/graph"
	"netspace/weights/safetensors"
)

// Job is one training: a network, data, a recipe and a seed, which together
// decide the result, and how to run it.
type Job struct {
	Graph  *graph.Graph // built with the recipe's rates and BN epsilon: see arch.Spec.TrainingGraph
	Data   *dataset.Data
	Recipe Recipe
	Seed   uint64

	Engine  engine.Engine
	Threads int // of a step; 0 means 1
	// Memory is how many bytes the compiled network may hold; 0: any number. One that would hold more is refused
	// with an engine.ErrMemory before anything begins.
	Memory int64

	// Init, if not nil, holds the initial parameters (and, where it has them,
	// BN statistics) in place of the random ones.
	Init *safetensors.File
	// MaxSteps > 0 ends the training after that many steps, counted from the
	// first of the first epoch. The schedule does not change.
	MaxSteps int
	// Final also evaluates the data set's test images, once, at the end.
	Final bool

	// Dir, if not "", is where the checkpoint is kept. The folder is made. Without
	// Resume, what an earlier training left there (see the names of files) is
	// removed, once this one is known to fit together.
	Dir string
	// Resume continues from the checkpoint in Dir if there is one. A checkpoint of another
	// job, or a damaged one, is a *CheckpointError.
	Resume bool
	// CheckpointEvery is the time between checkpoints within an epoch; 0 means
	// DefaultCheckpointEvery. Ends of epochs and cancellation write one, too.
	CheckpointEvery time.Duration
	// Warn, if not nil, is told of a checkpoint that could not be written while
	// the training goes on; the next one is tried at its time. If it is nil, such an error ends the training.
	Warn func(error)
	// Weights, if not "", is the file that the final weights and BN statistics
	// are written to: the averaged ones where the recipe says EMA.
	Weights string

	// Progress, if not nil, is called after every step and evaluation batch, on
	// the training goroutine.
	Progress func(Progress)
	// OnStep, if not nil, is called after every step. An error ends the training.
	OnStep func(StepStats) error
}

// DefaultCheckpointEvery bounds what a kill costs.
const DefaultCheckpointEvery = time.Minute

// StepStats is what one step did.
type StepStats struct {
	Epoch    int     // from 0
	Step     int     // from 0, counted over all epochs
	LR       float64 // that the update used
	Loss     float64 // mean cross-entropy of the batch against its (smoothed, mixed) targets
	GradNorm float64 // joint L2 norm of the gradients before clipping; 0 without clipping
	// Program holds the weights after the step and its gradients. It is valid during the call.
	Program engine.Program
}

// Phase is what a training does at the moment.
type Phase string

// The phases of an epoch.
const (
	Training    Phase = "train"
	Calibrating Phase = "precise-bn"
	Evaluating  Phase = "evaluate"
)

// Progress tells how far a training is.
type Progress struct {
	Phase           Phase
	Epoch, Epochs   int           // the current one, from 1, and how many
	Step, Steps     int           // done in this phase of this epoch, and how many
	Done            float64       // share of the whole training, [0, 1]
	LR              float64       // of the last step
	Loss            float64       // mean training loss of the epoch so far
	Error           float64       // mean training error of the epoch so far, percent
	ImagesPerSecond float64       // of training steps in this session; 0 until measured
	ETA             time.Duration // until the end, evaluations included; 0 until measured
	Finished        *EpochStats   // set once, when an epoch is complete
}

// EpochStats is one point of the training curve.
type EpochStats struct {
	Epoch      int     `json:"epoch"`       // from 1
	LR         float64 `json:"lr"`          // of the last step
	TrainLoss  float64 `json:"train_loss"`  // mean over the epoch's steps, against the (smoothed, mixed) targets
	TrainError float64 `json:"train_error"` // top-1, percent, of the images as augmented, during the epoch
	Evaluated  bool    `json:"evaluated"`   // whether the following are set
	ValLoss    float64 `json:"val_loss"`    // mean cross-entropy, without smoothing
	ValError   float64 `json:"val_error"`   // top-1, percent
	ValError5  float64 `json:"val_error5"`  // top-5, percent
}

// Metrics is the outcome of an evaluation.
type Metrics struct {
	Images int     `json:"images"`
	Error  float64 `json:"error"`  // top-1, percent
	Error5 float64 `json:"error5"` // top-5, percent
	Loss   float64 `json:"loss"`   // mean cross-entropy, without smoothing
}

// Result is what a training came to. All but the times is the same for the same job.
type Result struct {
	Error           float64      `json:"error"`  // at the end, on the validation images, or on the test images of a final training that has none: top-1, percent
	Error5          float64      `json:"error5"` // top-5, percent
	Loss            float64      `json:"loss"`   // mean cross-entropy, without smoothing
	Test            *Metrics     `json:"test,omitempty"`
	Steps           int          `json:"steps"` // done, over all epochs
	Epochs          []EpochStats `json:"epochs"`
	Seconds         float64      `json:"seconds"`           // wall time, all sessions together
	ImagesPerSecond float64      `json:"images_per_second"` // of training steps, in this session
}

// DivergedError says that the loss was not finite: the training ended at once.
type DivergedError struct {
	Epoch int     // from 1
	Step  int     // from 0, counted over all epochs
	LR    float64 // of the step
	Loss  float64 // NaN or ±Inf
	Where Phase   // Training, or Evaluating if the weights broke in the last update
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("training diverged: loss %v in epoch %d at step %d (%s, lr %g)", e.Loss, e.Epoch, e.Step, e.Where, e.LR)
}

// StoppedError says where a training was when its context ended it.
type StoppedError struct {
	Epoch, Epochs int // from 1
	Step, Steps   int // done within the epoch
	Err           error
}

func (e *StoppedError) Error() string {
	return fmt.Sprintf("stopped in epoch %d of %d after %d of %d steps", e.Epoch, e.Epochs, e.Step, e.Steps)
}

func (e *StoppedError) Unwrap() error { return e.Err }

// JobError says what in a job does not fit together.
type JobError struct {
	Reason string
}

func (e *JobError) Error() string { return "training: " + e.Reason }

// CheckpointError says why a checkpoint cannot be continued from.
type CheckpointError struct {
	Path   string
	Reason string
}

func (e *CheckpointError) Error() string {
	return fmt.Sprintf("checkpoint %s: %s", e.Path, e.Reason)
}
