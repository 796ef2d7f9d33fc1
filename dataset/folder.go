package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
)

// photoFile is one image of a folder.
type photoFile struct {
	rel   string // path below the root of the part, with slashes, beginning with the class
	label int
	id    fileID
	key   uint64 // its place in the order
}

// photoRoots are the folders of the parts of a data set; val and test may be "".
type photoRoots struct{ train, val, test string }

// findPhotos looks for folders of images, one per class: in train, val and test of dir,
// or in dir itself.
func findPhotos(dir string, names []string) photoRoots {
	var r photoRoots
	has := func(name string) string {
		if slices.Contains(names, name) && len(subfolders(filepath.Join(dir, name))) > 0 {
			return filepath.Join(dir, name)
		}
		return ""
	}
	if r.train = has("train"); r.train != "" {
		r.val = cmp.Or(has("val"), has("valid"), has("validation"))
		r.test = has("test")
		return r
	}
	if len(subfolders(dir)) > 0 {
		r.train = dir
	}
	return r
}

// subfolders lists the folders in dir, also linked ones, in order; hidden ones are left
// out.
func subfolders(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		isDir := e.IsDir()
		if e.Type()&os.ModeSymlink != 0 {
			st, err := os.Stat(filepath.Join(dir, e.Name()))
			isDir = err == nil && st.IsDir()
		}
		if isDir {
			names = append(names, e.Name())
		}
	}
	return names
}

// listPhotos lists the images of a part. classes are the folders of the training images;
// nil: take those of root, leaving out folders without images.
//
// The order is one that does not depend on class or name, and is the same on every
// machine: each first or last n images hold all classes in nearly their shares.
func listPhotos(ctx context.Context, root string, classes []string) ([]photoFile, []string, error) {
	folders := subfolders(root)
	fixed := classes != nil
	var files []photoFile
	for _, folder := range folders {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		n := len(files)
		var err error
		if files, err = appendPhotos(files, root, folder, 0); err != nil {
			return nil, nil, err
		}
		if len(files) == n {
			continue
		}
		label := slices.Index(classes, folder)
		switch {
		case label < 0 && fixed:
			return nil, nil, &FormatError{filepath.Join(root, folder), -1, "the training images have no class of this name"}
		case label < 0:
			label = len(classes)
			classes = append(classes, folder)
		}
		for i := n; i < len(files); i++ {
			files[i].label = label
		}
	}
	if len(classes) > maxClasses {
		return nil, nil, &FormatError{root, -1, fmt.Sprintf("%d classes; at most %d are read", len(classes), maxClasses)}
	}
	slices.SortFunc(files, func(a, b photoFile) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.rel, b.rel))
	})
	return files, classes, nil
}

// appendPhotos adds the images in root/rel and the folders below.
func appendPhotos(files []photoFile, root, rel string, depth int) ([]photoFile, error) {
	entries, err := os.ReadDir(filepath.Join(root, rel))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		image := false
		switch strings.ToLower(filepath.Ext(name)) {
		case ".jpg", ".jpeg", ".png":
			image = true
		}
		if !image && e.Type().IsRegular() {
			continue
		}
		below := path.Join(rel, name)
		st, err := os.Stat(filepath.Join(root, below))
		switch {
		case errors.Is(err, os.ErrNotExist): // a link to nothing
			continue
		case err != nil:
			return nil, err
		case st.IsDir() && depth < maxDepth:
			if files, err = appendPhotos(files, root, below, depth+1); err != nil {
				return nil, err
			}
		case image && st.Mode().IsRegular():
			h := fnv.New64a()
			io.WriteString(h, below)
			files = append(files, photoFile{rel: below, id: identify(below, st), key: mix(h.Sum64())})
		}
	}
	return files, nil
}

// openPhotos reads folders of images.
func openPhotos(ctx context.Context, name string, roots photoRoots, o Options) (_ *parts, err error) {
	files, classes, err := listPhotos(ctx, roots.train, nil)
	if err != nil {
		return nil, err
	}
	if len(classes) < 2 {
		return nil, &FormatError{roots.train, -1, fmt.Sprintf("not a data set: there are no IDX files, no CIFAR binary files, and %d folders with JPEG or PNG images, of which there must be one per class", len(classes))}
	}
	p := &parts{classes: len(classes), labels: classes}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.train, err = loadPhotos(ctx, name, roots.train, files, nil, o); err != nil {
		return nil, err
	}
	plan := p.train.Plan
	p.height, p.width, p.photos = plan.Height, plan.Width, plan.Photos
	for _, part := range []struct {
		root string
		s    **store
	}{{roots.val, &p.val}, {roots.test, &p.test}} {
		if part.root == "" {
			continue
		}
		files, _, err := listPhotos(ctx, part.root, classes)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, &FormatError{part.root, -1, "there are no JPEG or PNG images in its folders"}
		}
		if *part.s, err = loadPhotos(ctx, name, part.root, files, plan, o); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// loadPhotos decodes the images of one part, or finds them in the cache. plan is nil for
// the training images.
func loadPhotos(ctx context.Context, name, root string, files []photoFile, plan *photoPlan, o Options) (*store, error) {
	g := origin{path: root, how: fmt.Sprintf("photos %d %d", o.Resolution, o.cacheLimit())}
	if plan != nil {
		g.how += fmt.Sprintf(" %+v", *plan)
	}
	for _, f := range files {
		g.files = append(g.files, f.id)
	}
	s, err := o.load(g, func(w io.Writer, source string, memory bool) error {
		b := photoBuilder{ctx: ctx, root: root, files: files, o: o, limit: o.cacheLimit()}
		if memory {
			b.limit /= memoryShare
		}
		return b.build(w, source, plan)
	})
	if err != nil {
		return nil, err
	}
	allowed := o.allowedFaults(len(files))
	if n := len(s.Corrupt); n > allowed {
		return nil, errors.Join(&faultsError{name, s.Corrupt, len(files), allowed}, s.close())
	}
	if !s.Kept {
		s.decoder = &photoDecoder{root: root, plan: *s.Plan, allowed: allowed - len(s.Corrupt)}
		skip := s.Dropped
		for i, f := range files {
			if len(skip) > 0 && skip[0] == i {
				skip = skip[1:]
				continue
			}
			s.files = append(s.files, f.rel)
		}
		if len(s.files) != s.Images {
			return nil, errors.Join(fmt.Errorf("data set %s: %s changed while it was read", name, root), s.close())
		}
	}
	return s, nil
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
	text := fmt.Sprintf("data set %s: %d of %d images are damaged, more than the %d that are tolerated:", e.data, len(e.faults), e.n, e.allowed)
	for _, f := range e.faults[:min(len(e.faults), namedFaults)] {
		text += "\n  " + f.Error()
	}
	if more := len(e.faults) - namedFaults; more > 0 {
		text += fmt.Sprintf("\n  and %d more", more)
	}
	return text
}

func (e *faultsError) Unwrap() error { return e.faults[0] }

// photoBuilder decodes the images of one part.
type photoBuilder struct {
	ctx   context.Context
	root  string
	files []photoFile
	o     Options
	limit int64
}

// build writes the store.
func (b *photoBuilder) build(w io.Writer, source string, plan *photoPlan) error {
	heads, err := b.heads()
	if err != nil {
		return err
	}
	if plan == nil {
		plan = makePlan(heads, b.o.Resolution)
	}
	if plan == nil { // nothing could be read
		plan = &photoPlan{Channels: 1, Height: 1, Width: 1}
	}
	h, width, bytes := 0, 0, int64(0)
	same, first := true, true
	for _, head := range heads {
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
	sw := newStoreWriter(w, plan.Channels, h, width)
	sw.header.Plan = plan
	sw.header.Kept = bytes <= b.limit
	return b.decode(sw, heads, *plan, source)
}

// heads reads the headers of all images.
func (b *photoBuilder) heads() ([]photoHead, error) {
	heads := make([]photoHead, len(b.files))
	for from := 0; from < len(heads); from += headersAtOnce {
		n := min(headersAtOnce, len(heads)-from)
		err := parallel(b.ctx, n, func(i int) (err error) {
			heads[from+i], err = readHead(filepath.Join(b.root, filepath.FromSlash(b.files[from+i].rel)))
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

// decode reads the images into sw: all that are kept, or as many as the moments need.
func (b *photoBuilder) decode(sw *storeWriter, heads []photoHead, plan photoPlan, source string) error {
	cores := runtime.GOMAXPROCS(0)
	buffers := make([]photoBuffer, cores*decodedPerCore)
	type result struct {
		p   picture
		bad *FormatError
	}
	results := make([]result, len(buffers))
	drop := func(i int, e *FormatError) {
		sw.header.Dropped = append(sw.header.Dropped, i)
		sw.header.Corrupt = append(sw.header.Corrupt, e)
	}
	for from := 0; from < len(heads); from += len(buffers) {
		n := min(len(buffers), len(heads)-from)
		wanted := sw.header.Kept || sw.header.Summed < momentImages
		err := parallel(b.ctx, n, func(i int) error {
			results[i] = result{bad: heads[from+i].bad}
			if results[i].bad != nil || !wanted {
				return nil
			}
			file := filepath.Join(b.root, filepath.FromSlash(b.files[from+i].rel))
			p, err := readPhoto(file, plan.Channels, &buffers[i])
			if errors.As(err, &results[i].bad) {
				return nil
			}
			if err != nil {
				return err
			}
			results[i].p = plan.fit(p, &buffers[i])
			return nil
		})
		if err != nil {
			return err
		}
		for i, r := range results[:n] {
			label := b.files[from+i].label
			switch {
			case r.bad != nil:
				drop(from+i, r.bad)
			case sw.header.Kept:
				if err := sw.add(label, r.p); err != nil {
					return err
				}
			default:
				h, w, _ := plan.kept(heads[from+i].h, heads[from+i].w)
				sw.entry(label, picture{h: h, w: w})
				if wanted {
					sw.sum(r.p)
				}
			}
		}
		if b.o.Progress != nil {
			b.o.Progress(from+n, len(heads))
		}
	}
	return sw.finish(source)
}

// parallel calls f for 0 ≤ i < n on all cores and returns the first error.
func parallel(ctx context.Context, n int, f func(i int) error) error {
	var (
		next  atomic.Int64
		wg    sync.WaitGroup
		once  sync.Once
		fault error
	)
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				err := ctx.Err()
				if err == nil {
					err = f(i)
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
