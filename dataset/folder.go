package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

const (
	maxDepth       = 3    // folders within the folder of a class
	smallSide      = 64   // square images of one size up to this are not photographs
	defaultSide    = 224  // of photographs of varied size
	momentImages   = 2048 // of images that are not kept, those that mean and deviation are computed over
	memoryShare    = 8    // a process keeps that much less in memory than in the cache
	namedFaults    = 5    // damaged images that an error names
	headersAtOnce  = 256
	decodedPerCore = 4
	groupBytes     = 32 << 20 // of decoded images that are held until they are written, or one image
)

// imageSource is where the images of one part are.
type imageSource struct {
	root string // the folder
	// list lists them. classes are those of the training images; nil: these are they.
	list func(ctx context.Context, classes *classes) (imageList, *classes, error)
}

// imageSources are the parts of a data set; val and test may be nil.
type imageSources struct{ train, val, test *imageSource }

// classes of a data set.
type classes struct {
	n     int
	names []string // nil if they have none
}

func tooManyClasses(at string, n int) *FormatError {
	return &FormatError{at, -1, fmt.Sprintf("%d classes; at most %d are read", n, maxClasses)}
}

// findFolders looks for folders of images, one per class: in train, val and test of dir,
// or in dir itself.
func findFolders(dir string, names []string) imageSources {
	has := func(oneOf ...string) *imageSource {
		for _, name := range oneOf {
			if sub := filepath.Join(dir, name); slices.Contains(names, name) && len(subfolders(sub)) > 0 {
				return folderSource(sub)
			}
		}
		return nil
	}
	if train := has("train"); train != nil {
		return imageSources{train, has("val", "valid", "validation"), has("test")}
	}
	if len(subfolders(dir)) > 0 {
		return imageSources{train: folderSource(dir)}
	}
	return imageSources{}
}

func folderSource(root string) *imageSource {
	return &imageSource{root, func(ctx context.Context, given *classes) (imageList, *classes, error) {
		var names []string
		if given != nil {
			names = given.names
		}
		images, names, err := listFolders(ctx, root, names)
		switch {
		case err != nil:
			return nil, nil, err
		case given == nil && len(names) < 2:
			return nil, nil, &FormatError{root, -1, fmt.Sprintf("not a data set: there are no IDX files, no CIFAR binary files, and %d folders with JPEG, PNG or WebP images, of which there must be one per class", len(names))}
		case images.len() == 0:
			return nil, nil, &FormatError{root, -1, "there are no JPEG, PNG or WebP images in its folders"}
		}
		return images, &classes{len(names), names}, nil
	}}
}

// openImages reads a data set of encoded images.
func openImages(ctx context.Context, name string, from imageSources, o Options) (_ *parts, err error) {
	memory := newPhotoMemory()
	list := func(src *imageSource, given *classes) (*photoPart, *classes, error) {
		images, classes, err := src.list(ctx, given)
		return &photoPart{name: name, root: src.root, images: images, memory: memory, o: o}, classes, err
	}
	train, classes, err := list(from.train, nil)
	if err != nil {
		return nil, err
	}
	p := &parts{classes: classes.n, labels: classes.names}
	_, p.shards = train.images.(*shardList)
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	own := from.val != nil
	first, last, err := o.wanted(name, train.images.len(), own)
	if err == nil {
		p.train, p.last, err = train.open(ctx, first, last)
	}
	if err = train.done(p.train, err); err != nil {
		return nil, err
	}
	plan := p.train.Plan
	p.height, p.width, p.photos, p.side = plan.Height, plan.Width, plan.Photos, plan.Side
	if own {
		val, _, err := list(from.val, classes)
		if err != nil {
			return nil, err
		}
		val.given = plan
		if n := val.images.len(); o.Val > n {
			err = o.tooManyVal(name, n)
		} else if o.Val >= 0 {
			p.val, _, err = val.open(ctx, o.Val, 0)
		}
		if err = val.done(p.val, err); err != nil {
			return nil, err
		}
	}
	if from.test != nil {
		test, _, err := list(from.test, classes)
		var unlabeled *unlabeledError
		if errors.As(err, &unlabeled) { // nothing to test with
			return p, nil
		}
		if err != nil {
			return nil, err
		}
		test.given = plan
		p.tests = test.images.len()
		if !o.NoTest {
			p.test, _, err = test.open(ctx, 0, 0)
		}
		if err = test.done(p.test, err); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// wanted says how many of the first and of the last ones of n images are used; 0 and 0: this follows from how many are
// not damaged, which decoding all tells. What more images could not give is refused before any is read.
func (o Options) wanted(name string, n int, own bool) (first, last int, err error) {
	first, last, err = o.divide(name, n, own)
	if o.Train == 0 || o.Val == 0 && !own {
		first, last = 0, 0
	}
	return first, last, err
}

// photoPart is the images of one part of a data set.
type photoPart struct {
	name   string // of the data set
	root   string
	images imageList
	given  *photoPlan // that of the training images; nil: these are they
	heads  []photoHead
	faults []*FormatError // in what is open
	memory *semaphore.Weighted
	o      Options
}

// selection is which images of a part a store holds; damaged ones do not count.
type selection struct {
	images int  // so many; 0: all
	last   bool // counted, and stored, from the last one backwards
}

// errNotKept says that a part is too large to be kept decoded: it has one store, without pixels.
var errNotKept = errors.New("the images are not kept")

// open decodes the first images of the part and so many of the last ones, or finds them in the cache, where
// there may be more. back is nil where front has all images: if first is 0, if the cache has them all, if
// images are not kept, or if too few would be left out to be sure that first and last ones do not meet.
func (p *photoPart) open(ctx context.Context, first, last int) (front, back *store, err error) {
	all := p.origin(selection{})
	front = p.o.cached(all)
	if front != nil {
		return front, nil, p.accept(front)
	}
	if first > 0 && first+last+p.o.allowedFaults(p.images.len()) <= p.images.len() {
		front, err = p.load(ctx, selection{images: first})
		if err == nil && last > 0 {
			if back, err = p.load(ctx, selection{images: last, last: true}); err != nil {
				err = errors.Join(err, front.close())
			}
		}
		if !errors.Is(err, errNotKept) {
			return front, back, err
		}
		p.faults = nil
	}
	front, err = p.load(ctx, selection{})
	return front, nil, err
}

// done closes the list of the images unless s, which may be nil, decodes them from it. err is of opening s.
func (p *photoPart) done(s *store, err error) error {
	if err == nil && s != nil && s.decoder != nil {
		return nil
	}
	return errors.Join(err, p.images.close())
}

// origin is what the store of a selection is made of. The cache has one for all images, and one each for
// the first and for the last ones, which grows when more are asked for.
func (p *photoPart) origin(sel selection) origin {
	g := origin{path: p.root, how: fmt.Sprintf("photos %d %d", p.o.Resolution, p.o.cacheLimit()), images: sel.images}
	if p.given != nil {
		g.how += fmt.Sprintf(" %+v", *p.given)
	}
	switch {
	case sel.last:
		g.how += " last"
	case sel.images > 0:
		g.how += " first"
	}
	g.files = p.images.sources()
	return g
}

// load makes the store of a selection, or finds it in the cache.
func (p *photoPart) load(ctx context.Context, sel selection) (*store, error) {
	s, err := p.o.load(p.origin(sel), func(w io.Writer, source string, memory bool) error {
		return p.build(ctx, w, source, memory, sel)
	})
	if err != nil {
		return nil, err
	}
	return s, p.accept(s)
}

// accept closes a store that has too many damaged images, and lets others decode what they do not keep.
func (p *photoPart) accept(s *store) error {
	p.faults = append(p.faults, s.Corrupt...)
	if err := p.tolerate(nil); err != nil {
		return errors.Join(err, s.close())
	}
	if s.Kept {
		return nil
	}
	s.decoder = &photoDecoder{images: p.images, plan: *s.Plan, memory: p.memory, allowed: p.o.allowedFaults(p.images.len()) - len(s.Corrupt)}
	s.places = make([]int32, 0, s.Images)
	skip := s.Dropped
	for i := range p.images.len() {
		if len(skip) > 0 && skip[0] == i {
			skip = skip[1:]
			continue
		}
		s.places = append(s.places, int32(i))
	}
	if len(s.places) != s.Images {
		return errors.Join(fmt.Errorf("data set %s: %s changed while it was read", p.name, p.root), s.close())
	}
	return nil
}

// damage is an image that cannot be read.
type damage struct {
	place int // in photoPart.images
	fault *FormatError
}

// tolerate refuses a part that has more damaged images than are tolerated: those of what is open and those
// found while a store is built.
func (p *photoPart) tolerate(found []damage) error {
	allowed := p.o.allowedFaults(p.images.len())
	if len(p.faults)+len(found) <= allowed {
		return nil
	}
	faults := slices.Clone(p.faults)
	slices.SortFunc(found, func(a, b damage) int { return cmp.Compare(a.place, b.place) })
	for _, d := range found {
		faults = append(faults, d.fault)
	}
	return &faultsError{p.name, faults, p.images.len(), allowed}
}

func (o Options) cacheLimit() int64 { return cmp.Or(o.CacheLimit, defaultCacheLimit) }

// allowedFaults is the number of damaged images of n that are tolerated.
func (o Options) allowedFaults(n int) int {
	share := cmp.Or(o.MaxCorrupt, defaultMaxCorrupt)
	return int(max(share, 0) * float64(n))
}

// faultsError says that too many images are damaged, and names the first ones.
type faultsError struct {
	data       string
	faults     []*FormatError
	n, allowed int
}

func (e *faultsError) Error() string {
	text := fmt.Sprintf("data set %s: at least %d of %d images are damaged, more than the %d that are tolerated:", e.data, len(e.faults), e.n, e.allowed)
	for _, f := range e.faults[:min(len(e.faults), namedFaults)] {
		text += "\n  " + f.Error()
	}
	if more := len(e.faults) - namedFaults; more > 0 {
		text += fmt.Sprintf("\n  and %d more", more)
	}
	return text
}

func (e *faultsError) Unwrap() error { return e.faults[0] }

// build writes the store of a selection.
func (p *photoPart) build(ctx context.Context, w io.Writer, source string, memory bool, sel selection) error {
	if p.heads == nil {
		heads, err := p.readHeads(ctx)
		if err != nil {
			return err
		}
		p.heads = heads
	}
	plan := cmp.Or(p.given, makePlan(p.heads, p.o.Resolution))
	if plan == nil { // nothing could be read
		plan = &photoPlan{Channels: 1, Height: 1, Width: 1}
	}
	h, width, bytes := 0, 0, int64(0)
	same, first := true, true
	for _, head := range p.heads {
		if head.bad != nil {
			continue
		}
		kh, kw, _ := plan.kept(head.h, head.w)
		bytes += int64(plan.Channels * kh * kw)
		if first {
			h, width, first = kh, kw, false
		}
		same = same && kh == h && kw == width
	}
	if !same {
		h, width = 0, 0
	}
	limit := p.o.cacheLimit()
	if memory {
		limit /= memoryShare
	}
	if sel.images > 0 && bytes > limit {
		return errNotKept
	}
	sw := newStoreWriter(w, plan.Channels, h, width)
	sw.header.Plan = plan
	sw.header.Kept = bytes <= limit
	if err := p.decode(ctx, sw, sel); err != nil {
		return err
	}
	return sw.finish(source)
}

// readHeads reads the headers of all images.
func (p *photoPart) readHeads(ctx context.Context) ([]photoHead, error) {
	heads := make([]photoHead, p.images.len())
	for from := 0; from < len(heads); from += headersAtOnce {
		n := min(headersAtOnce, len(heads)-from)
		err := parallel(ctx, n, func(_, i int) (err error) {
			heads[from+i], err = p.images.head(from + i)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return heads, nil
}

// makePlan finds out channels and size from the images that can be read; nil if there
// are none.
func makePlan(heads []photoHead, resolution int) *photoPlan {
	p := &photoPlan{Channels: 1}
	var sides []int
	same := true
	for _, h := range heads {
		if h.bad != nil {
			continue
		}
		if len(sides) == 0 {
			p.Height, p.Width = h.h, h.w
		}
		same = same && h.h == p.Height && h.w == p.Width
		if !h.gray {
			p.Channels = 3
		}
		sides = append(sides, min(h.h, h.w))
	}
	if len(sides) == 0 {
		return nil
	}
	p.Photos = !same || p.Height != p.Width || p.Height > smallSide
	if same && (resolution == 0 || !p.Photos || resolution == p.Height && resolution == p.Width) {
		if resolution > 0 {
			p.Height, p.Width = resolution, resolution
		}
		return p
	}
	if resolution == 0 {
		slices.Sort(sides)
		resolution = min(sides[len(sides)/2], defaultSide)
	}
	p.Height, p.Width = resolution, resolution
	p.Side = (resolution*sideOver + sideUnder/2) / sideUnder
	return p
}

// decode reads the images of a selection into sw: all that are kept, or as many as the moments need.
func (p *photoPart) decode(ctx context.Context, sw *storeWriter, sel selection) error {
	n := p.images.len()
	want := cmp.Or(sel.images, n)
	var found []damage
	if !sel.last { // the store of the first images tells of all headers
		for i, head := range p.heads {
			if head.bad != nil {
				found = append(found, damage{i, head.bad})
			}
		}
	}
	if err := p.tolerate(found); err != nil {
		return err
	}
	cores := runtime.GOMAXPROCS(0)
	buffers := make([]photoBuffer, cores)
	type result struct {
		p       picture
		moments []uint64
		bad     *FormatError
	}
	results := make([]result, cores*decodedPerCore)
	group := make([]int, 0, len(results)) // the images that are decoded at once
	for next := 0; next < n && sw.header.Images < want; {
		group = group[:0]
		end := min(next+len(results), next+want-sw.header.Images, n)
		for size := 0; next < end && size < groupBytes; next++ {
			i := next
			if sel.last {
				i = n - 1 - next
			}
			head := p.heads[i]
			if head.bad != nil {
				continue
			}
			group = append(group, i)
			if sw.header.Kept {
				h, w, _ := sw.header.Plan.kept(head.h, head.w)
				size += sw.header.Channels * h * w
			}
		}
		wanted := sw.header.Kept || sw.header.Summed < momentImages
		err := parallel(ctx, len(group), func(worker, k int) error {
			b, r := &buffers[worker], &results[k]
			r.bad = nil
			if !wanted {
				return nil
			}
			pic, err := readPhoto(ctx, p.images, group[k], *sw.header.Plan, p.memory, b)
			switch {
			case errors.As(err, &r.bad):
			case err != nil:
				return err
			case sw.header.Kept:
				r.p, b.kept = pic, r.p.pix
			default:
				r.moments = appendMoments(r.moments[:0], pic, sw.header.Channels)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for k, i := range group {
			r, label := &results[k], p.images.label(i)
			switch {
			case r.bad != nil:
				found = append(found, damage{i, r.bad})
				if err := p.tolerate(found); err != nil {
					return err
				}
			case sw.header.Kept:
				if err := sw.add(label, r.p); err != nil {
					return err
				}
			default:
				h, w, _ := sw.header.Plan.kept(p.heads[i].h, p.heads[i].w)
				sw.entry(label, picture{h: h, w: w})
				if wanted {
					sw.sum(r.moments)
				}
			}
		}
		if p.o.Progress != nil {
			done := next
			if sel.images > 0 {
				done = sw.header.Images
			}
			p.o.Progress(done, want)
		}
	}
	slices.SortFunc(found, func(a, b damage) int { return cmp.Compare(a.place, b.place) })
	for _, d := range found {
		sw.header.Dropped = append(sw.header.Dropped, d.place)
		sw.header.Corrupt = append(sw.header.Corrupt, d.fault)
	}
	return nil
}

// parallel calls f for 0 ≤ i < n on all cores and returns the first error. Calls with the same worker, which
// is less than GOMAXPROCS, follow on one another.
func parallel(ctx context.Context, n int, f func(worker, i int) error) error {
	var (
		next  atomic.Int64
		wg    sync.WaitGroup
		once  sync.Once
		fault error
	)
	for worker := range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				err := ctx.Err()
				if err == nil {
					err = f(worker, i)
				}
				if err != nil {
					once.Do(func() { fault = err })
					next.Store(int64(n))
					return
				}
			}
		})
	}
	wg.Wait()
	return fault
}
