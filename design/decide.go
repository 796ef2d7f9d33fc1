// Package design decides between spaces with as few trainings as the decision needs.
//
// Decide trains networks of two spaces of a study in batches and stops as soon as it is certain whether one may
// take the place of the other. All that it knows is in the study folder: it can be killed at any instant, and
// then goes on to the same decision.
//
//	d, err := design.Decide(ctx, study.Request{File: "study.yaml"}, design.Options{
//		Train: func(ctx context.Context, run *study.Run) error { return run.Execute(ctx, executor.Local{}, nil) },
//	})
package design

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"netspace/stats"
	"netspace/study"
)

// Options say what is decided, and how the networks are trained that it takes.
type Options struct {
	// Decide is the question; nil: that of the study file. Its Between are spaces of the study.
	Decide *study.Decide
	// Train trains what a run has started: one batch.
	Train func(ctx context.Context, run *study.Run) error
	// Look is told of every look, from the first, also of those at what was there before; nil: nobody.
	Look func(Look)
}

// Decide compares two spaces of a study: may B be kept in the place of A? It trains networks of both until that is
// decided, or as many as the question allows are trained. What is in the folder already counts; if that suffices nothing is trained.
//
// The decision depends on the networks and the question alone: not on how often Decide was interrupted, on how many workers trained, nor on how many
// networks more than it needs are in the folder. A question that cannot be asked is a *study.RequestError.
func Decide(ctx context.Context, req study.Request, o Options) (Decision, error) {
	config, dir, err := req.Read()
	if err != nil {
		return Decision{}, err
	}
	q := config.Decide
	if o.Decide != nil {
		q = o.Decide
	}
	if q == nil {
		return Decision{}, &study.RequestError{Err: errors.New("which spaces are compared? The study file has no block decide")}
	}
	for _, name := range q.Between {
		if !slices.Contains(config.Spaces, name) {
			return Decision{}, &study.RequestError{Err: fmt.Errorf("decide: %q is none of the spaces of the study", name)}
		}
	}
	options := stats.CourseOptions{
		Sequential: stats.Sequential{Delta: q.Delta, Alpha: q.Alpha, Power: q.Power, Futility: q.Futility},
		EMax:       q.EMax, Most: q.MaxSamples, Batch: q.Batch, Epochs: config.Recipe.Epochs, ShortEpochs: q.ShortEpochs,
	}
	if q.ShortEpochs == study.AllEpochs {
		options.ShortEpochs = config.Recipe.Epochs
	}
	begin, err := stats.NewCourse(options)
	if err != nil {
		return Decision{}, &study.RequestError{Err: fmt.Errorf("decide: %w", err)}
	}
	told, before := 0, stats.Goal{}
	var known [2][][]float64
	for {
		course := *begin
		s, err := study.Open(ctx, dir)
		if err == nil {
			err = replay(ctx, s, q, &course, &known)
		}
		if err != nil && !errors.Is(err, study.ErrNoStudy) { // there will be one soon
			return Decision{}, err
		}
		d := decisionOf(*q, &course)
		for ; told < len(d.Looks); told++ {
			if o.Look != nil {
				o.Look(d.Looks[told])
			}
		}
		if course.Over() {
			return d, nil
		}
		goal := course.Goal()
		if goal == before {
			return d, fmt.Errorf("decide: the networks for look %d were to be trained, and are not", len(d.Looks)+1)
		}
		before = goal
		asked := study.Goal{Drawn: q.MaxSamples, Full: goal.Full}
		if goal.Epochs > 0 {
			asked.Short, asked.Epochs = goal.Short, goal.Epochs
		}
		req.Goals = map[string]study.Goal{q.Between[0]: asked, q.Between[1]: asked}
		run, err := study.Start(ctx, req)
		if err != nil {
			return d, err
		}
		err = o.Train(ctx, run)
		if err = errors.Join(err, run.Close()); err != nil {
			return d, err
		}
		req.Retry = false // once is enough
	}
}

// replay goes through a course as far as a folder has what its looks ask for.
func replay(ctx context.Context, s *study.Study, q *study.Decide, course *stats.Course, known *[2][][]float64) (err error) {
	var spaces [2]population
	for i, name := range q.Between {
		if spaces[i].trials, err = s.Drawn(ctx, name, q.MaxSamples); err != nil || len(spaces[i].trials) < q.MaxSamples {
			return err
		}
	}
	if known[0] == nil {
		if *known, err = features(ctx, s, q); err != nil {
			return err
		}
	}
	for i := range spaces {
		spaces[i].known = known[i]
	}
	for !course.Over() {
		a, okA := spaces[0].trained(course.Goal(), course.Epochs)
		b, okB := spaces[1].trained(course.Goal(), course.Epochs)
		if !okA || !okB {
			return nil
		}
		if _, err := course.Look(a, b); err != nil {
			return err
		}
	}
	return nil
}
