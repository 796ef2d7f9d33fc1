package study

import (
	"fmt"

	"netspace/trial"
)

// MachineError says that workers die before their first step, one after the other and all of the same cause: this machine
// is not fit to train, and the study stops before it takes that for the networks' fault. No trial has failed of it.
type MachineError struct {
	Deaths int // in a row
	trial.Death
}

func (e *MachineError) Error() string {
	s := fmt.Sprintf("%d workers in a row died before their first step, the last one of this: %s; no trial was failed for it, and the study goes on when it is run again", e.Deaths, e.Reason)
	if e.Log != "" {
		s += "\n" + e.Log
	}
	return s
}

// machineDeaths is how many deaths in a row, of two trials at least, are the machine's fault.
const machineDeaths = 3

// deaths are those of a run's workers.
type deaths struct {
	row   int // before a first step, one after the other, of the same cause
	of    string
	among map[trialID]bool

	soft  map[trialID]int // of a trial, that journals do not count
	moves int             // trainings that made a step
	first map[trialID]int // moves when a trial died first
}

// add counts a death.
func (d *deaths) add(l lostRecord) {
	if !l.counts() {
		d.soft[l.Trial]++
	}
	if !l.Early {
		return
	}
	if _, known := d.first[l.Trial]; !known {
		d.first[l.Trial] = d.moves
	}
	if of := string(l.Cause) + l.Reason; of != d.of {
		d.of, d.row, d.among = of, 0, map[trialID]bool{}
	}
	d.row++
	d.among[l.Trial] = true
}

// moved says that a training made a step: the machine can train.
func (d *deaths) moved() {
	d.moves++
	d.of, d.row, d.among = "", 0, nil
}

func (d *deaths) machine() bool { return d.row >= machineDeaths && len(d.among) > 1 }

// movedSince tells whether any training made a step since a trial died first.
func (d *deaths) movedSince(id trialID) bool { return d.moves > d.first[id] }
