package design

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"netspace/study"
)

// A budget of hours is spent by a pace that is measured: multiply-adds of a network times epochs of its training, in a second.

// pilot is how many networks measure the pace first; later batches, which do so better, are up to batchGrowth times as many.
const (
	pilot       = 8
	batchGrowth = 2
)

// byTheClock begins with a few networks, and with more for as long as the budget lets them be gone on with.
func (s *search) byTheClock(ctx context.Context) ([]study.Trial, error) {
	if len(s.log.Sizes) > 0 {
		networks, err := s.candidates(ctx, s.log.Sizes[0])
		if err != nil {
			return nil, err
		}
		return s.trained(ctx, networks, s.epochs[0], 0)
	}
	n := max(s.log.Begun, pilot, s.finalists)
	for {
		networks, err := s.candidates(ctx, n)
		if err != nil {
			return nil, err
		}
		s.log.Begun = n
		began, todo := s.Now(), work(slices.DeleteFunc(slices.Clone(networks), func(t study.Trial) bool { return reached(t, s.epochs[0]) }), s.epochs[0])
		if networks, err = s.trained(ctx, networks, s.epochs[0], 0); err != nil {
			return nil, err
		}
		if took := s.Now().Sub(began).Seconds(); took > 1 && todo > 0 {
			s.pace = todo / took
		}
		more, err := s.affordable(networks)
		if err != nil {
			return nil, err
		}
		if more <= n {
			s.log.Sizes = []int{n}
			return networks, s.save()
		}
		n = min(more, batchGrowth*n)
	}
}

// work of training networks for so many epochs.
func work(networks []study.Trial, epochs int) (sum float64) {
	for _, t := range networks {
		sum += float64(t.Complexity.Flops) * float64(epochs)
	}
	return sum
}

// alone is the pace of one training, by what was trained.
func alone(networks []study.Trial) float64 {
	sum, seconds := 0.0, 0.0
	for _, t := range networks {
		if t.State != study.Failed && t.Seconds > 0 {
			sum, seconds = sum+float64(t.Complexity.Flops)*float64(lastEpoch(t)), seconds+t.Seconds
		}
	}
	if seconds == 0 {
		return math.Inf(1) // they took no time
	}
	return sum / seconds
}

// affordable is how many networks may begin in the first round, of which some have, for all that follows to be within the budget.
func (s *search) affordable(networks []study.Trial) (int, error) {
	left, err := s.left(networks)
	if err != nil {
		return 0, err
	}
	mean := work(networks, 1) / float64(len(networks))
	larger := slices.SortedFunc(slices.Values(networks), func(a, b study.Trial) int { return cmp.Compare(b.Complexity.Flops, a.Complexity.Flops) })[:(len(networks)+1)/2]
	better := work(larger, 1) / float64(len(larger)) // which go on
	n := len(networks)
	for n < maxBegin && float64((n+1-len(networks))*s.epochs[0])*mean+float64(s.cost(s.next(n+1), 1))*better <= left {
		n++
	}
	return n, nil
}

// maxBegin bounds what a search begins with, whatever its budget.
const maxBegin = 100_000

// left is how much work the rounds may still do for what comes after them to be within the budget.
func (s *search) left(networks []study.Trial) (float64, error) {
	solo := alone(networks)
	pace := s.pace
	if pace == 0 { // nothing was trained since the command began
		pace = solo
	}
	largest := 0.0
	for _, t := range networks {
		largest = max(largest, float64(t.Complexity.Flops))
	}
	whole := largest * float64(s.whole())
	after := float64(s.finalists*s.reruns) * whole / pace
	if s.question.Estimate > 0 {
		after += whole / solo
	}
	final := largest * float64(s.question.Final.Epochs) * float64(s.all) / float64(s.images) / solo / math.Sqrt(float64(s.question.Threads))
	budget := s.question.Hours.Seconds()
	if final > budget/2 && len(s.log.Rungs) == 0 {
		return 0, &study.RequestError{Err: fmt.Errorf("search.final.recipe: the last training, of %d epochs of %d images, takes about %s of the %s that the search may take; fewer epochs, more threads or more hours let it go on",
			s.question.Final.Epochs, s.all, seconds(final), seconds(budget))}
	}
	return (budget - s.spent().Seconds() - after - final) * pace, nil
}

func seconds(v float64) time.Duration {
	return time.Duration(v * float64(time.Second)).Round(time.Second)
}

// size is how many networks, of those of a round in their order, go on to the next: by the clock as many as what is left of the budget lets, each of the rounds to
// come taking the same share.
func (s *search) size(round int, networks []study.Trial) (int, error) {
	n := s.next(len(networks))
	if s.question.Hours == 0 {
		return n, nil
	}
	if round < len(s.log.Sizes) {
		return min(n, s.log.Sizes[round]), nil
	}
	left, err := s.left(networks)
	if err != nil {
		return 0, err
	}
	left /= float64(len(s.epochs) - round)
	for n > s.finalists && work(networks[:n], s.gain(round)) > left {
		n--
	}
	s.log.Sizes = append(s.log.Sizes, n)
	return n, s.save()
}
