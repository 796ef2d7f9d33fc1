package design

import (
	"cmp"
	"math"
	"slices"

	"netspace/stats"
	"netspace/study"
)

// schedule is how a search spends its trainings: rounds of so many epochs each, counted from the first.
type schedule struct {
	epochs    []int // ascending; the last are all
	eta       int
	finalists int
	reruns    int
}

func newSchedule(q study.Search, epochs int) schedule {
	s := schedule{epochs: []int{epochs}, eta: q.Eta, finalists: q.Finalists, reruns: q.Reruns}
	if q.Schedule == study.Random {
		return s
	}
	// Three rounds: what shorter ones tell of the end pays for them, what still shorter ones tell does not.
	for range 2 {
		e := int(math.Round(float64(s.epochs[0]) / float64(q.Eta)))
		if e < 1 || e == s.epochs[0] {
			break
		}
		s.epochs = slices.Insert(s.epochs, 0, e)
	}
	return s
}

// whole is the length of a whole training.
func (s schedule) whole() int { return s.epochs[len(s.epochs)-1] }

// next is how many of n networks go on.
func (s schedule) next(n int) int { return min(n, max(s.finalists, (n+s.eta-1)/s.eta)) }

// gain is how many epochs a round adds to each of its networks.
func (s schedule) gain(round int) int {
	if round == 0 {
		return s.epochs[0]
	}
	return s.epochs[round] - s.epochs[round-1]
}

// cost of all rounds from one on that begins with n networks, in epochs.
func (s schedule) cost(n, from int) (epochs int) {
	for round := from; round < len(s.epochs); round++ {
		epochs += n * s.gain(round)
		n = s.next(n)
	}
	return epochs
}

// begins is how many networks a budget of epochs, that of the reruns within it, lets begin: at least the finalists.
func (s schedule) begins(epochs int) int {
	epochs -= s.finalists * s.reruns * s.whole()
	n := s.finalists
	for s.cost(n+1, 0) <= epochs {
		n++
	}
	return n
}

// score ranks a network that was trained for some epochs among others: the error on the training images in the last of them, which every epoch has and which
// varies less than errors on few validation images while the learning rate is high. Lower is better.
func score(t study.Trial, epochs int) (err, loss float64) {
	if t.State == study.Failed {
		return math.Inf(1), math.Inf(1)
	}
	for _, e := range t.Epochs {
		if e.Epoch != epochs {
			continue
		}
		if e.TrainError == 0 && e.TrainLoss == 0 && e.Evaluated { // what a trainer may not tell
			return e.ValError, e.ValLoss
		}
		return e.TrainError, e.TrainLoss
	}
	return math.Inf(1), math.Inf(1)
}

// rank puts networks in order after a round, the best first; of equals the first in the sample is.
func rank(networks []study.Trial, epochs, whole int) {
	slices.SortStableFunc(networks, func(a, b study.Trial) int {
		if epochs == whole {
			return cmp.Or(cmp.Compare(wholeError(a), wholeError(b)), cmp.Compare(a.Index, b.Index))
		}
		ea, la := score(a, epochs)
		eb, lb := score(b, epochs)
		return cmp.Or(cmp.Compare(ea, eb), cmp.Compare(la, lb), cmp.Compare(a.Index, b.Index))
	})
}

// wholeError is that of a whole training.
func wholeError(t study.Trial) float64 {
	if t.State != study.Done {
		return math.Inf(1)
	}
	return t.Error
}

// judgement is what is believed of the networks that were tried: of the error that each has on the validation images, over all seeds.
type judgement struct {
	trials  []study.Trial
	beliefs []stats.Normal // of trials
	chances []float64      // to be the best
	lowest  float64        // expected error of the best
	noise   float64        // standard deviation from seed to seed
}

// judge says what is believed of all networks that were tried, rounds that each took part in, and reruns of some.
//
// A network that was trained wholly has errors that scatter about its own mean, and the means of such networks scatter about theirs: normally, both. So each mean is
// drawn to that of all by as much as the noise, which the reruns show, explains of the spread. That the finalists were chosen by one of these errors is thereby
// allowed for: the belief follows from all that was seen of a network. Of a network that was dropped its last score is known, and the
// networks that went on tell by straight lines, one for each round, what becomes of a score.
func judge(tried []study.Trial, s schedule) (j judgement) {
	last := len(s.epochs) - 1
	var square, freedom float64
	var firsts []float64
	for _, t := range tried {
		if t.State != study.Done {
			continue
		}
		firsts = append(firsts, t.Error)
		if again := errorsOf(t.Reruns); len(again) > 1 {
			d := stats.StdDev(again)
			square, freedom = square+d*d*float64(len(again)-1), freedom+float64(len(again)-1)
		}
	}
	if len(firsts) == 0 {
		return j
	}
	const least = 1e-4 // percentage points, squared: where no two trainings differ
	noise := math.Max(least, square/math.Max(1, freedom))
	j.noise = math.Sqrt(noise)
	mean, spread := average(firsts), 0.0
	if len(firsts) > 1 {
		spread = math.Pow(stats.StdDev(firsts), 2) - noise
	}
	spread = math.Max(spread, noise/10) // networks are never all alike

	lines := make([]line, last) // from the score of a round to that of the next, or the error
	for round := range lines {
		var x, y, all []float64
		for _, t := range tried {
			from, to := at(t, s, round), at(t, s, round+1)
			if !math.IsInf(from, 1) {
				all = append(all, from)
			}
			if !math.IsInf(from, 1) && !math.IsInf(to, 1) {
				x, y = append(x, from), append(y, to)
			}
		}
		lines[round] = fit(x, y, all)
	}
	if last > 0 {
		lines[last-1].variance = math.Max(lines[last-1].variance-noise, noise/10)
	}
	for _, t := range tried {
		var b stats.Normal
		switch t.State {
		case study.Failed:
			continue
		case study.Done:
			again := append(errorsOf(t.Reruns), t.Error)
			n := float64(len(again))
			precision := 1/spread + n/noise
			b = stats.Normal{Mean: (mean/spread + n*average(again)/noise) / precision, SD: math.Sqrt(1 / precision)}
		default:
			round := -1
			for r := range last {
				if !math.IsInf(at(t, s, r), 1) {
					round = r
				}
			}
			if round < 0 {
				continue
			}
			value, variance := at(t, s, round), 0.0
			for _, l := range lines[round:] {
				value, variance = l.at(value), l.slope*l.slope*variance+l.variance
			}
			b = stats.Normal{Mean: value, SD: math.Sqrt(math.Max(variance, least))}
		}
		j.trials, j.beliefs = append(j.trials, t), append(j.beliefs, b)
	}
	j.chances, j.lowest = stats.Best(j.beliefs)
	return j
}

// of gives the place of a network among those that are judged.
func (j judgement) of(index int) int {
	return slices.IndexFunc(j.trials, func(t study.Trial) bool { return t.Index == index })
}

// at is what is known of a network after a round: its score, or its error after the last.
func at(t study.Trial, s schedule, round int) float64 {
	if round == len(s.epochs)-1 {
		return wholeError(t)
	}
	v, _ := score(t, s.epochs[round])
	return v
}

func errorsOf(trials []study.Trial) (all []float64) {
	for _, t := range trials {
		if t.State == study.Done {
			all = append(all, t.Error)
		}
	}
	return all
}

// line is a straight line through points, with the variance of what remains.
type line struct{ x, y, slope, variance float64 }

func (l line) at(x float64) float64 { return l.y + l.slope*(x-l.x) }

// fit fits a line through points. Their slope is drawn to a half, about what errors after a third of a training have on those after all of it, by as much
// as four points weigh that scatter as all values of x do: those that went on are few, and near each other.
func fit(x, y, all []float64) (l line) {
	if len(x) == 0 {
		return l
	}
	l.x, l.y = average(x), average(y)
	var xx, xy, rest float64
	for i := range x {
		xx, xy = xx+(x[i]-l.x)*(x[i]-l.x), xy+(x[i]-l.x)*(y[i]-l.y)
	}
	const usual, points = 0.5, 4
	prior := 0.0
	if len(all) > 1 {
		prior = points * math.Pow(stats.StdDev(all), 2)
	}
	if xx+prior > 0 {
		l.slope = math.Max(0, (xy+prior*usual)/(xx+prior)) // a better score never promises a worse network
	}
	for i := range x {
		rest += math.Pow(y[i]-l.at(x[i]), 2)
	}
	l.variance = rest / math.Max(1, float64(len(x)-2))
	return l
}

func average(all []float64) float64 {
	sum := 0.0
	for _, v := range all {
		sum += v
	}
	return sum / float64(len(all))
}
