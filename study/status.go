package study

import (
	"cmp"

	"netspace/trial"
)

// Status sums up a population.
type Status struct {
	Space   string `json:"space"`
	Samples int    `json:"samples"` // networks that the study asks for
	Done    int    `json:"done"`
	Failed  int    `json:"failed"`
	Running int    `json:"running"`
	Pending int    `json:"pending"` // not started, or not sampled yet
	// Short are networks of a search that were trained for the epochs that were asked for, and may be gone on with.
	Short int `json:"short,omitempty"`
	// Lowest error in percent, and the mean error of those that are done or
	// failed; nil if there are none.
	Best *float64 `json:"best"`
	Mean *float64 `json:"mean"`
	// Reruns are further trainings of networks that the study asks for; they are not part of the other numbers.
	Reruns     int `json:"reruns,omitempty"`
	RerunsDone int `json:"reruns_done,omitempty"` // or failed
	// Causes counts the failed ones by what they failed of; nil if none failed.
	Causes map[trial.Cause]int `json:"causes,omitempty"`
}

// Failure is a trial that failed.
type Failure struct {
	Space string
	Index int
	ID    string
	trial.Death
}

// Failures lists the trials that failed, space by space in sample order.
func (s *Study) Failures() []Failure {
	var all []Failure
	for _, name := range s.Config.Spaces {
		for index, place := range s.places(name) {
			if o := s.history.outcomes[place.id]; place.ref.length > 0 && o.state() == Failed {
				all = append(all, Failure{name, index, place.id.String(), o.failed.Death})
			}
		}
	}
	return all
}

// Status sums up every population, in the order of the study file.
func (s *Study) Status() []Status {
	all := make([]Status, len(s.Config.Spaces))
	for i, name := range s.Config.Spaces {
		all[i] = s.status(name)
	}
	return all
}

func (s *Study) status(space string) Status {
	st := Status{Space: space}
	if st.Samples, _ = s.history.extent(space, s.Config.Samples); s.Config.Search != nil {
		st.Samples = len(s.population(space))
	}
	sum := 0.0
	for index, place := range s.places(space) {
		reruns := s.history.rerunsOf(space, index, s.Config)
		st.Reruns += reruns
		if place.ref.length == 0 {
			continue
		}
		for rerun := range reruns {
			if id, _ := rerunOf(place.id, rerun+1); s.history.outcomes[id].hasEnded() {
				st.RerunsDone++
			}
		}
		switch o := s.history.outcomes[place.id]; s.history.state(place.id) {
		case Done:
			st.Done++
			sum += o.done.Error
			if st.Best == nil || o.done.Error < *st.Best {
				st.Best = &o.done.Error
			}
		case Failed:
			st.Failed++
			err1, _ := s.history.chance()
			sum += err1
			if st.Causes == nil {
				st.Causes = map[trial.Cause]int{}
			}
			st.Causes[cmp.Or(o.failed.Cause, "unknown")]++
		case Running:
			st.Running++
		case Pending:
			if o.reached(s.history.epochsOf(space, index, s.Config.Samples)) {
				st.Short++
			}
		}
	}
	st.Pending = st.Samples - st.Done - st.Failed - st.Running - st.Short
	if n := st.Done + st.Failed; n > 0 {
		mean := sum / float64(n)
		st.Mean = &mean
	}
	return st
}
