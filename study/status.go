package study

// Status sums up a population.
type Status struct {
	Space   string `json:"space"`
	Samples int    `json:"samples"` // networks that the study asks for
	Done    int    `json:"done"`
	Failed  int    `json:"failed"`
	Running int    `json:"running"`
	Pending int    `json:"pending"` // not started, or not sampled yet
	// Lowest error in percent, and the mean error of those that are done or
	// failed; nil if there are none.
	Best *float64 `json:"best"`
	Mean *float64 `json:"mean"`
}

// Status sums up every population, in the order of the study file.
func (s *Study) Status() ([]Status, error) {
	populations, err := s.Populations()
	if err != nil {
		return nil, err
	}
	all := make([]Status, len(populations))
	for i, p := range populations {
		all[i] = p.status(s.Config.Samples)
	}
	return all, nil
}

func (p Population) status(samples int) Status {
	st := Status{Space: p.Space, Samples: samples}
	sum := 0.0
	for _, t := range p.Trials {
		switch t.State {
		case Done:
			st.Done++
			sum += t.Error
			if st.Best == nil || t.Error < *st.Best {
				st.Best = &t.Error
			}
		case Failed:
			st.Failed++
			sum += t.Error
		case Running:
			st.Running++
		}
	}
	st.Pending = samples - st.Done - st.Failed - st.Running
	if n := st.Done + st.Failed; n > 0 {
		mean := sum / float64(n)
		st.Mean = &mean
	}
	return st
}
