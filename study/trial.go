package study

import (
	"netspace/arch"
	"netspace/graph"
	"netspace/space"
	"netspace/trial"
)

// State of a trial.
type State string

// The states of a trial as read back from the journals.
const (
	Pending State = "pending" // not started, or its attempt was lost
	Running State = "running"
	Short   State = "short" // trained for the epochs that a search or a comparison asked for, which are not all
	Done    State = "done"
	Failed  State = "failed" // diverged, crashed or out of memory: counts with the error of chance
)

// Trial is one network of one population, with what is known of its training.
type Trial struct {
	ID              string           `json:"id"`    // hash of adjusted network, recipe, data and seed
	Space           string           `json:"space"` // the population it belongs to
	Index           int              `json:"index"` // place in the sample of its space, from 0
	Seed            uint64           `json:"seed"`
	Spec            arch.Spec        `json:"spec"` // adjusted
	Asked           space.Asked      `json:"-"`    // as its space drew it, before adjusting; nil for trials that were sampled before this was kept
	Complexity      graph.Complexity `json:"complexity"`
	State           State            `json:"state"`
	Error           float64          `json:"error"`  // validation top-1 error in percent at the end; chance level for Failed
	Error5          float64          `json:"error5"` // top-5
	trial.Death                      // why it failed
	Seconds         float64          `json:"seconds"` // wall time of training
	ImagesPerSecond float64          `json:"images_per_second"`
	Epochs          []Epoch          `json:"epochs,omitempty"`
	// Reruns are further trainings of the network with other seeds; they have none of their own.
	Reruns []Trial `json:"-"`
	Rerun  int     `json:"rerun,omitempty"` // this is one of Reruns, from 1
}

// Epoch is one point of a training curve.
type Epoch struct {
	Epoch      int     `json:"epoch"` // from 1
	TrainLoss  float64 `json:"train_loss"`
	TrainError float64 `json:"train_error"` // percent
	Evaluated  bool    `json:"evaluated"`   // whether the following are set
	ValLoss    float64 `json:"val_loss"`
	ValError   float64 `json:"val_error"` // percent
}
