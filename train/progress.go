package train

import "time"

// report calls Progress with the state of a phase of the current epoch.
func (r *run) report(phase Phase, step, steps int, finished *EpochStats) {
	if r.Progress == nil {
		return
	}
	p := Progress{
		Phase: phase, Epoch: min(r.at.Epoch+1, r.Recipe.Epochs), Epochs: r.Recipe.Epochs, Step: step, Steps: steps,
		LR: r.lastLR, ImagesPerSecond: r.clock.rate(), Finished: finished,
	}
	if finished != nil { // the position is already that of the next epoch
		p.Epoch, p.Step = finished.Epoch, steps
		p.Loss, p.Error = finished.TrainLoss, finished.TrainError
	} else if r.sums.Images > 0 {
		p.Loss, p.Error = r.sums.Loss/float64(r.at.Step), percent(r.sums.Wrong, r.sums.Images)
	}
	total := r.Recipe.Epochs * r.steps
	if r.MaxSteps > 0 {
		total = r.MaxSteps
	}
	p.Done = min(1, float64(r.done())/float64(total))
	if p.ImagesPerSecond > 0 {
		left := float64((total-r.done())*r.Recipe.Batch) / p.ImagesPerSecond
		evaluations := (total - r.done() + r.steps - 1) / r.steps / r.Recipe.EvalEvery
		p.ETA = time.Duration(left*float64(time.Second)) + time.Duration(evaluations)*r.evalTime
	}
	r.Progress(p)
}
