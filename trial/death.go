package trial

// Cause is the kind of thing that a trial failed of, or its worker died of.
type Cause string

// The causes. Killed is somebody's doing, and no fault of the trial: when a study is run again the trial is tried again.
const (
	Diverged    Cause = "diverged"      // the loss is no number any more
	Refused     Cause = "refused"       // the engine or trainer cannot train it
	Crashed     Cause = "crashed"       // the worker, or the trainer's program, ended without a result
	Killed      Cause = "killed"        // it was ended by a signal from outside
	OutOfMemory Cause = "out of memory" // its own or the machine's
	TimedOut    Cause = "timed out"     // it took longer than trial_timeout
	Stalled     Cause = "stalled"       // no progress for stall_timeout, or the worker was stopped
)

// Death is why a trial, or an attempt at one, has no result.
type Death struct {
	Reason string `json:"reason,omitempty"`
	Cause  Cause  `json:"cause,omitempty"` // "" in journals of versions that did not write it
	Log    string `json:"log,omitempty"`   // last lines that the worker, or the trainer's program, wrote to standard error
}

// Failure says that a training has no result through its own fault: it diverged, its network is
// refused by the engine. It would fail again anywhere.
type Failure struct {
	Err   error // a *train.DivergedError, say
	Cause Cause
	Log   string // last lines of a program's standard error
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// LostError says that the program that trains died before it had a result. Another attempt, which goes on
// from its last checkpoint, may fare better.
type LostError struct{ Death }

func (e *LostError) Error() string { return e.Reason }
