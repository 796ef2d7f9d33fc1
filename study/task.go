package study

import "fmt"

import "netspace/trial"

// Task is one attempt at one trial, with all that a worker needs to know.
type Task struct {
	trial.Task
	Dir     string `json:"dir"`     // study folder, absolute
	Host    string `json:"host"`    // Run.Host
	Attempt int    `json:"attempt"` // from 1
	Space   string `json:"space"`   // a population it belongs to, and its place there
	Index   int    `json:"index"`
	Rerun   int    `json:"rerun,omitempty"` // of the network, from 1; 0: its first training
}

// Name says which training it is: "regnetx #7", or "regnetx #7, rerun 1".
func (t Task) Name() string { return nameOf(t.Space, t.Index, t.Rerun) }

// Name is that of the task.
func (w AtWork) Name() string { return nameOf(w.Space, w.Index, w.Rerun) }

// Name is that of the task.
func (r Retrained) Name() string { return nameOf(r.Space, r.Index, r.Rerun) }

func nameOf(space string, index, rerun int) string {
	name := fmt.Sprintf("%s #%d", space, index)
	if rerun > 0 {
		name += fmt.Sprintf(", rerun %d", rerun)
	}
	return name
}
