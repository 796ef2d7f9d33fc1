package study

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// View is what a study is at, seen from outside of its runs: read back from the journals.
type View struct {
	Study string `json:"study"`
	Time  string `json:"time"` // RFC 3339

	Totals
	Spaces  []Status `json:"spaces"`
	Running []AtWork `json:"running"`
	// Seconds until everything is trained, at the pace of the workers that are there; nil until that can be told.
	SecondsLeft *float64 `json:"seconds_left"`
	// ImagesPerSecond is that of all workers together, told from what they trained last; 0 if they have not ended a trial.
	ImagesPerSecond float64 `json:"images_per_second"`
	Damaged         int     `json:"damaged"` // lines that were set aside
}

// AtWork is a trial that a worker is at.
type AtWork struct {
	Host    string `json:"host"`
	Space   string `json:"space"`
	Index   int    `json:"index"`
	Rerun   int    `json:"rerun,omitempty"` // see Task
	ID      string `json:"id"`
	Attempt int    `json:"attempt"`
	Since   string `json:"since"` // RFC 3339, when the worker began
	Epoch   int    `json:"epoch"` // complete ones
	Epochs  int    `json:"epochs"`
	// ValError after the last epoch that was evaluated, percent; nil before.
	ValError *float64 `json:"val_error"`
}

// View tells what the study is at.
func (s *Study) View(now time.Time) View {
	h := s.history
	v := View{Study: s.Config.Name, Time: now.UTC().Format(time.RFC3339), Spaces: s.Status(), Damaged: len(s.Damage()), Running: []AtWork{}}
	var known line
	left, leftFlops := 0.0, 0.0
	speed := map[string]float64{} // of the last result of a host
	latest := map[string]int64{}
	places := map[trialID]AtWork{}
	flops := map[trialID]float64{}
	h.wanted(s.Config, func(p training) {
		places[p.id], flops[p.id] = AtWork{Space: p.space, Index: p.index, Rerun: p.rerun, ID: p.id.String(), Epochs: min(p.epochs, s.Config.Recipe.Epochs)}, p.flops
		v.Trials++
		switch o := h.outcomes[p.id]; o.state() {
		case Done:
			known.add(p.flops, o.done.Seconds)
			v.done(p.best(o.done), p.rerun)
			if host := h.order[o.done.ref.file].host; o.done.at > latest[host] {
				latest[host], speed[host] = o.done.at, o.done.ImagesPerSecond
			}
		case Failed:
			v.Failed++
		default:
			if o.reached(p.epochs) {
				v.Done++
				break
			}
			left++
			leftFlops += p.flops
		}
	})
	l := &lines{h: h}
	defer l.close()
	for _, f := range h.order {
		r, ours := places[f.last]
		if !f.busy || !ours || h.outcomes[f.last].hasEnded() || !h.atWork(f) {
			continue
		}
		r.Host, r.Attempt, r.Since = f.host, f.attempt, unpack(f.since).Format(time.RFC3339)
		var epochs []Epoch
		if o := h.outcomes[f.last]; o != nil {
			for _, at := range o.epochs {
				if e, err := l.read(at); err == nil {
					epochs = addEpoch(epochs, e.Epoch.Epoch)
				}
			}
		}
		for _, e := range epochs {
			r.Epoch = max(r.Epoch, e.Epoch)
			if e.Evaluated {
				r.ValError = &e.ValError
			}
		}
		share := float64(r.Epoch) / float64(max(1, r.Epochs))
		left -= share
		leftFlops -= share * flops[f.last]
		v.Running = append(v.Running, r)
		v.ImagesPerSecond += speed[f.host]
	}
	slices.SortStableFunc(v.Running, func(a, b AtWork) int { return cmp.Compare(a.Host, b.Host) })
	if n := len(v.Running); n > 0 && known.n > 0 {
		seconds := known.sum(max(0, left), max(0, leftFlops)) / float64(n)
		v.SecondsLeft = &seconds
	}
	return v
}

// atWork tells whether the worker that writes a journal lives, as far as that is known: here by its lock, elsewhere if a run there has a claim on
// its trial that holds.
func (h *history) atWork(f *follower) bool {
	if f.host == h.host {
		return f.held != lockFree
	}
	return h.claimant(f.last, "") != nil
}

// unpack gives the time that split packed into a number.
func unpack(at int64) time.Time {
	part := func(below, n int64) int { return int(at / below % n) }
	return time.Date(part(1e13, 1e4), time.Month(part(1e11, 100)), part(1e9, 100), part(1e7, 100), part(1e5, 100), part(1e3, 100), part(1, 1000)*1e6, time.UTC)
}

// Refresh reads what was added to the folder since it was opened, the study file too. Nothing else may be asked of the study meanwhile.
func (s *Study) Refresh(ctx context.Context) error {
	if err := s.history.refresh(ctx); err != nil {
		return err
	}
	s.history.takeEnded()
	if config, err := LoadConfig(s.path()); err == nil { // it may be written just now
		s.Config = config
	}
	if h := s.history; h.study != nil {
		s.Input, s.TrainImages, s.ValImages = h.study.Input, h.study.TrainImages, h.study.ValImages
	}
	return nil
}
