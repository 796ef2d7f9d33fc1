package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
)

// LoaderOptions say how images become batches.
type LoaderOptions struct {
	Batch    int     // images per batch, at least 1
	Seed     uint64  // of order and augmentation
	Shuffle  bool    // a new order every epoch; else the order of the split
	Augment  Augment // zero: none
	Workers  int     // goroutines that prepare a batch each, ahead of use; 0 means 1, which prepares one while another is in use
	DropLast bool    // leave out a last batch that is not full
}

// Batch is one batch of images.
type Batch struct {
	// Images are [N,C,H,W], normalised: (value/255 - mean) / std. The slice has room
	// for the images of a full batch; what follows N images is zero.
	Images []float32
	Labels []int32 // [N], classes
	Index  []int32 // [N], places of the images in the split
	N      int     // images, LoaderOptions.Batch or fewer in the last batch
	Number int     // of the batch in its epoch, from 0
}

// Loader makes batches of the images of a split, in the background. What a batch holds
// depends on the split, the seed, the epoch and the number of the batch, not on Workers
// or timing.
type Loader struct {
	split  Split
	info   Info
	o      LoaderOptions
	err    error           // why the options are impossible
	table  [3][256]float32 // the normalised number of every byte, per channel
	direct bool            // pictures are cropped and flipped, and nothing else

	mu    sync.Mutex
	idle  []*worker // not in use by an iterator, with their memory
	order [][]int32 // likewise
}

// NewLoader makes a loader for a split of a data set described by info. The errors of
// impossible options are those of Check, returned by the first Next.
func NewLoader(split Split, info Info, o LoaderOptions) *Loader {
	if o.Workers == 0 {
		o.Workers = 1
	}
	l := &Loader{split: split, info: info, o: o}
	if l.err = o.Check(info); l.err != nil {
		return l
	}
	l.table = normalisation(info)
	l.direct = !o.Augment.pixelwise()
	return l
}

// normalisation is the normalised number of every byte, per channel.
func normalisation(info Info) (table [3][256]float32) {
	for c := range info.Channels {
		for v := range table[c] {
			table[c][v] = (float32(float32(v)/255) - info.Mean[c]) / info.Std[c]
		}
	}
	return table
}

// Check reports options that are impossible, or make no sense for images such as info
// describes.
func (o LoaderOptions) Check(info Info) error {
	switch {
	case o.Batch < 1:
		return fmt.Errorf("loader: batch of %d images; it takes at least 1", o.Batch)
	case o.Workers < 0:
		return fmt.Errorf("loader: %d workers; it takes at least 1, or 0 for the default", o.Workers)
	case info.Channels != 1 && info.Channels != 3:
		return fmt.Errorf("loader: images of %d channels; 1 and 3 are known", info.Channels)
	case info.Height < 1 || info.Width < 1:
		return fmt.Errorf("loader: images of %d×%d pixels", info.Height, info.Width)
	case len(info.Mean) != info.Channels || len(info.Std) != info.Channels:
		return fmt.Errorf("loader: %d means and %d standard deviations for %d channels", len(info.Mean), len(info.Std), info.Channels)
	}
	for _, s := range info.Std {
		if !(s > 0) {
			return fmt.Errorf("loader: standard deviation %v; it must be positive", s)
		}
	}
	return o.Augment.Check(info)
}

// Len is the number of images of an epoch.
func (l *Loader) Len() int {
	if l.o.DropLast {
		return l.Batches() * l.o.Batch
	}
	return l.split.Len()
}

// Batches is the number of batches of an epoch.
func (l *Loader) Batches() int {
	if l.o.Batch < 1 {
		return 0
	}
	if l.o.DropLast {
		return l.split.Len() / l.o.Batch
	}
	return (l.split.Len() + l.o.Batch - 1) / l.o.Batch
}

// Epoch starts to make the batches of an epoch from number fromBatch on. Batches are the
// same as when the epoch is read from its beginning. Close must be called, unless Next
// has returned io.EOF. Several iterators may be used at once.
func (l *Loader) Epoch(epoch int, fromBatch int) *Iterator {
	it := &Iterator{l: l, next: max(fromBatch, 0), end: l.Batches(), stop: make(chan struct{})}
	if it.err = l.err; it.err != nil {
		return it
	}
	key := mix(l.o.Seed ^ mix(uint64(epoch)))
	if l.o.Shuffle && it.next < it.end {
		it.order = l.takeOrder()
		shuffle(it.order, mix(key))
	}
	n := max(min(l.o.Workers, it.end-it.next), 0)
	it.workers = l.take(n)
	for k, w := range it.workers {
		w.it, w.first, w.key, w.stride = it, it.next+k, key, n
		w.full = make(chan *slot, len(w.slots))
		w.free = make(chan *slot, len(w.slots))
		for i := range w.slots {
			w.free <- &w.slots[i]
		}
		it.running.Add(1)
		go w.run()
	}
	return it
}

// take returns n workers, from those of earlier epochs where possible.
func (l *Loader) take(n int) []*worker {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ws []*worker
	for len(ws) < n && len(l.idle) > 0 {
		ws = append(ws, l.idle[len(l.idle)-1])
		l.idle = l.idle[:len(l.idle)-1]
	}
	for len(ws) < n {
		ws = append(ws, newWorker(l))
	}
	return ws
}

func (l *Loader) takeOrder() []int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.order); n > 0 {
		o := l.order[n-1]
		l.order = l.order[:n-1]
		return o
	}
	return make([]int32, l.split.Len())
}

// giveBack keeps the memory of an iterator for the next one.
func (l *Loader) giveBack(it *Iterator) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = append(l.idle, it.workers...)
	if it.order != nil {
		l.order = append(l.order, it.order)
	}
	it.workers, it.order = nil, nil
}

// shuffle fills order with a permutation (Fisher and Yates).
func shuffle(order []int32, seed uint64) {
	for i := range order {
		order[i] = int32(i)
	}
	rng := rand.New(rand.NewPCG(seed, seed))
	for i := len(order) - 1; i > 0; i-- {
		j := rng.IntN(i + 1)
		order[i], order[j] = order[j], order[i]
	}
}

// mix is the finaliser of SplitMix64: neighbouring arguments have unrelated results.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Iterator hands out the batches of one epoch in order. It is for one goroutine.
type Iterator struct {
	l       *Loader
	order   []int32 // nil: the order of the split
	workers []*worker
	next    int   // number of the batch that Next returns
	end     int   // number of batches of the epoch
	held    *slot // the batch that the caller has
	holder  *worker
	served  int
	err     error
	stop    chan struct{}
	running sync.WaitGroup
}

var errClosed = errors.New("dataset: the iterator is closed")

// Next returns the next batch, or io.EOF after the last one. The batch is valid until
// the next call of Next or Close. An error other than that of ctx is final.
func (it *Iterator) Next(ctx context.Context) (*Batch, error) {
	if it.err != nil {
		return nil, it.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if it.held != nil {
		it.holder.free <- it.held
		it.held = nil
	}
	if it.next >= it.end {
		it.shut(io.EOF)
		return nil, io.EOF
	}
	w := it.workers[it.served%len(it.workers)]
	select {
	case s := <-w.full:
		if s.err != nil {
			it.shut(s.err)
			return nil, s.err
		}
		it.held, it.holder = s, w
		it.next++
		it.served++
		return &s.batch, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close stops the goroutines and waits for them. It may be called more than once.
func (it *Iterator) Close() error {
	it.shut(errClosed)
	return nil
}

func (it *Iterator) shut(reason error) {
	if it.err == nil {
		it.err = reason
	}
	if it.stop == nil {
		return
	}
	close(it.stop)
	it.running.Wait()
	it.stop, it.held = nil, nil
	it.l.giveBack(it)
}

// slot is the memory of one batch.
type slot struct {
	batch Batch
	err   error
}

// worker makes every stride-th batch of an epoch. A single one has two slots: one is with the
// caller or waits for it, the other is being filled.
type worker struct {
	l     *Loader
	slots []slot
	full  chan *slot
	free  chan *slot
	pcg   rand.PCG
	rng   *rand.Rand
	photo photoBuffer
	tools augmenter

	it            *Iterator
	first, stride int
	key           uint64
}

func newWorker(l *Loader) *worker {
	w := &worker{l: l}
	w.rng = rand.New(&w.pcg)
	size := l.info.Channels * l.info.Height * l.info.Width
	w.slots = make([]slot, 1)
	if l.o.Workers == 1 {
		w.slots = make([]slot, 2)
	}
	for i := range w.slots {
		w.slots[i].batch = Batch{
			Images: make([]float32, l.o.Batch*size),
			Labels: make([]int32, l.o.Batch),
			Index:  make([]int32, l.o.Batch),
		}
	}
	return w
}

func (w *worker) run() {
	defer w.it.running.Done()
	stop := w.it.stop
	for b := w.first; b < w.it.end; b += w.stride {
		var s *slot
		select {
		case s = <-w.free:
		case <-stop:
			return
		}
		if !w.fill(s, b, stop) {
			return
		}
		w.full <- s // there is room for all slots
		if s.err != nil {
			return
		}
	}
}

// fill makes batch number b; it reports false if it was stopped before the end.
func (w *worker) fill(s *slot, b int, stop chan struct{}) bool {
	l := w.l
	size := l.info.Channels * l.info.Height * l.info.Width
	first := b * l.o.Batch
	n := min(l.o.Batch, l.split.Len()-first)
	full := s.batch.Images[:l.o.Batch*size]
	s.batch.Images = full[:n*size]
	s.batch.Labels = s.batch.Labels[:n]
	s.batch.Index = s.batch.Index[:n]
	s.batch.N, s.batch.Number, s.err = n, b, nil
	for k := range n {
		select {
		case <-stop:
			return false
		default:
		}
		i := first + k
		if w.it.order != nil {
			i = int(w.it.order[i])
		}
		if i, s.err = w.place(s.batch.Images[k*size:(k+1)*size], i, uint64(first+k)); s.err != nil {
			return true
		}
		label := l.split.Label(i)
		if label < 0 || label >= l.info.Classes {
			s.err = fmt.Errorf("image %d has label %d, but there are %d classes", i, label, l.info.Classes)
			return true
		}
		s.batch.Labels[k], s.batch.Index[k] = int32(label), int32(i)
	}
	clear(full[n*size:])
	return true
}

// place fills one place of the epoch with image i of the split. Instead of one that
// turns out to be damaged it takes the next one, as long as there are not too many; it
// returns which it took.
func (w *worker) place(dst []float32, i int, place uint64) (int, error) {
	for range w.l.split.Len() {
		err := w.image(dst, i, place)
		if err == nil {
			return i, nil
		}
		if err := w.tolerate(err); err != nil {
			return i, err
		}
		i = (i + 1) % w.l.split.Len()
	}
	return i, errors.New("all images are damaged")
}

// tolerate returns err unless it is that of a damaged image which can be passed over.
func (w *worker) tolerate(err error) error {
	var damaged *FormatError
	s, ok := w.l.split.(*subset)
	if !ok || s.s.decoder == nil || !errors.As(err, &damaged) {
		return err
	}
	return s.s.decoder.tolerate(damaged)
}

// image makes the image of one place of the epoch from image i of the split.
func (w *worker) image(dst []float32, i int, place uint64) error {
	l := w.l
	p, err := w.picture(i)
	if err != nil {
		return err
	}
	if l.o.Augment.random() {
		w.pcg.Seed(w.key, mix(w.key^place))
	}
	if l.direct {
		top, left, flip := l.o.Augment.draw(p, &l.info, w.rng)
		normaliseCrop(dst, p, &l.table, &l.info, top, left, flip)
		return nil
	}
	w.tools.apply(dst, p, &l.o.Augment, &l.info, &l.table, w.rng)
	return nil
}

// picture returns image i at its stored size.
func (w *worker) picture(i int) (picture, error) {
	if s, ok := w.l.split.(*subset); ok {
		return s.at(i, &w.photo)
	}
	info := w.l.info
	w.tools.copy = grow(w.tools.copy, info.Channels*info.Height*info.Width)
	p := picture{w.tools.copy, info.Height, info.Width}
	return p, w.l.split.Image(i, p.pix)
}
