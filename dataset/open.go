package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"netspace/internal/atomicfile"
)

// Options say which images of a data set to use, and how they are prepared. The zero
// value uses all of them as they are.
type Options struct {
	// Train is the number of training images: the first ones of the training set. 0
	// means all that validation leaves.
	Train int
	// Val is the number of validation images. Where the data set has no validation set
	// of its own they are the last images of the training set, and 0 means a tenth of
	// it; where it has one they are its first images, and 0 means all. -1 means no
	// validation images.
	Val int
	// ValBeyond leaves out the validation images that a Val of so many has: what remains of Val are images that were not looked at with that many.
	// Below Val, and 0 with a Val of 0.
	ValBeyond int
	// Resolution is the height and width in pixels that images are resized to; 0 means
	// the size they have (see Info). At most 4096.
	Resolution int
	// MaxCorrupt is the share of unreadable images of a folder, in (0,1], above which
	// Open fails. 0 means 0.01; a negative number means that none is accepted.
	MaxCorrupt float64
	// Labels says where shards state the classes of their images: the column of Parquet files, or the member of the .json of
	// tar archives, with dots for one within another. "" means label, and the .cls of archives.
	Labels string
	// NoTest leaves Data.Test nil, and the test images of a folder undecoded.
	NoTest bool
	// Cache is the folder for decoded images; "" means DefaultCache(). Where it cannot
	// be written the images are kept in memory.
	Cache string
	// NoCache keeps decoded images in the memory of this process.
	NoCache bool
	// CacheLimit is the size in bytes of the decoded images of a folder of photographs
	// above which they are decoded each time they are used. 0 means 8 GiB.
	CacheLimit int64
	// Progress, if not nil, is called now and then while the images of a folder are
	// read for the first time.
	Progress func(done, total int)
}

const (
	maxResolution     = 4096
	defaultMaxCorrupt = 0.01
	defaultCacheLimit = 8 << 30
	valShare          = 10 // by default one training image in so many is held out
)

// OptionError says which of the Options cannot be met, and why.
type OptionError struct {
	Data   string // name of the data set
	Option string // name of the option: train, val, resolution, …
	Value  any
	Reason string
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("data set %s: %s %v: %s", e.Data, e.Option, e.Value, e.Reason)
}

// known is a data set that is found by its name.
type known struct {
	name   string
	path   string
	hint   string
	labels []string
}

// knownSets lists the named data sets.
func knownSets() []known {
	return []known{{
		name: "fashion-mnist",
		path: "/usr/share/datasets/fashion-mnist",
		hint: "install it with: apt-get install dataset-fashion-mnist",
		labels: []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
			"Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"},
	}}
}

// Names lists the data sets that Open knows by name.
func Names() []string {
	var names []string
	for _, k := range knownSets() {
		names = append(names, k.name)
	}
	return names
}

// Path is where the data set of that name, or in that folder, is read, as an absolute path.
func Path(nameOrPath string) string {
	path := nameOrPath
	for _, k := range knownSets() {
		if sameName(nameOrPath, k.name) {
			path = k.path
		}
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// Open reads the data set of that name, or in that folder: IDX files (plain or gzip),
// CIFAR-10 or CIFAR-100 binary files, folders of JPEG, PNG and WebP images, one per class, or
// tar archives or Parquet files of such (shards), of which a pattern, name-{000..146}.tar, may be given.
// For a folder that holds several IDX data sets (EMNIST), give the path of the file of
// training images.
//
// The error is a *MissingError, a *FormatError or an *OptionError where the data set is
// not there, is damaged or cannot give what o asks for.
func Open(nameOrPath string, o Options) (*Data, error) {
	return OpenContext(context.Background(), nameOrPath, o)
}

// OpenContext is Open that stops when ctx is cancelled: reading a large folder of
// photographs for the first time takes a while.
func OpenContext(ctx context.Context, nameOrPath string, o Options) (*Data, error) {
	name, path := nameOrPath, nameOrPath
	hint := missingHint()
	var labels []string
	named := false
	for _, k := range knownSets() {
		if sameName(nameOrPath, k.name) {
			name, path, hint, labels, named = k.name, k.path, k.hint, k.labels, true
		}
	}
	if err := o.check(name); err != nil {
		return nil, err
	}
	missing := &MissingError{Name: name, Path: path, Hint: hint}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data set %s: %w", name, err)
	}
	var shards []string
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if shards, err = expand(path); err != nil {
			return nil, err
		}
		if shards == nil {
			return nil, missing
		}
	case err != nil:
		return nil, fmt.Errorf("data set %s: %w", name, err)
	}
	if !named {
		name = filepath.Base(path)
		if shards != nil || !st.IsDir() {
			name = filepath.Base(filepath.Dir(path))
		}
	}
	if dir := o.cacheFolder(); dir != "" {
		atomicfile.Sweep(dir)
	}
	p, err := detect(ctx, name, path, st, shards, o)
	if err != nil {
		return nil, err
	}
	if o.Labels != "" && !p.shards {
		err := &OptionError{name, "labels", strconv.Quote(o.Labels), "it has no choice of them, as Parquet files and tar archives with .json have"}
		return nil, errors.Join(err, p.close())
	}
	if len(labels) == p.classes {
		p.labels = labels
	}
	d, err := p.split(name, o)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return d, nil
}

// sameName reports whether a is how one might write the name b.
func sameName(a, b string) bool {
	return strings.ReplaceAll(strings.ToLower(a), "_", "-") == b
}

func missingHint() string {
	return "give the path of a folder with IDX files, CIFAR binary files, .tar or .parquet files of images, or one folder of JPEG, PNG or WebP images per class, or a name: " +
		strings.Join(Names(), ", ")
}

// check refuses options that make no sense for any data set.
func (o Options) check(name string) error {
	switch {
	case o.Train < 0:
		return &OptionError{name, "train", o.Train, "must be 0 (all) or a number of images"}
	case o.Val < -1:
		return &OptionError{name, "val", o.Val, "must be -1 (none), 0 (default) or a number of images"}
	case o.ValBeyond < 0 || o.ValBeyond > 0 && o.ValBeyond >= o.Val:
		return &OptionError{name, "val beyond", o.ValBeyond, fmt.Sprintf("must be from 0 to %d, below val", max(0, o.Val-1))}
	case o.Resolution < 0 || o.Resolution > maxResolution:
		return &OptionError{name, "resolution", o.Resolution, fmt.Sprintf("must be between 1 and %d pixels, or 0", maxResolution)}
	case o.MaxCorrupt > 1 || o.MaxCorrupt != o.MaxCorrupt:
		return &OptionError{name, "max corrupt", o.MaxCorrupt, "must be a share of at most 1"}
	case o.CacheLimit < 0:
		return &OptionError{name, "cache limit", o.CacheLimit, "must be 0 or a number of bytes"}
	}
	return nil
}

// parts are the image sets of a data set as its files have them.
type parts struct {
	train, val, test *store // val and test may be nil
	last             *store // where train has the first images alone: the last ones, from the last on
	tests            int    // test images that were not read
	classes          int
	labels           []string // names of the classes or nil
	shards           bool
	photos           bool
	side             int // see Info.Side
	height, width    int // of what the splits hand out
}

// stores are those that are there.
func (p *parts) stores() []*store {
	return slices.DeleteFunc([]*store{p.train, p.last, p.val, p.test}, func(s *store) bool { return s == nil })
}

func (p *parts) close() error {
	var errs []error
	for _, s := range p.stores() {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// divide says how many of n training images train, and how many at their end are held out for validation;
// own says that the data set has validation images of its own.
func (o Options) divide(name string, n int, own bool) (train, held int, err error) {
	if o.Val >= 0 && !own {
		held = cmp.Or(o.Val, max(n/valShare, 1))
		if held >= n {
			return 0, 0, &OptionError{name, "val", o.Val, fmt.Sprintf("it has %d training images to hold them out of, and one at least must remain", n)}
		}
	}
	train = cmp.Or(o.Train, n-held)
	if train > n-held {
		return 0, 0, &OptionError{name, "train", o.Train, fmt.Sprintf("it has %d training images, of which %d are held out for validation", n, held)}
	}
	return train, held, nil
}

// tooManyVal says that there are only n validation images.
func (o Options) tooManyVal(name string, n int) error {
	return &OptionError{name, "val", o.Val, fmt.Sprintf("it has %d validation images", n)}
}

// split cuts the parts into what o asks for.
func (p *parts) split(name string, o Options) (*Data, error) {
	d := &Data{parts: p, TestImages: p.tests}
	h, w := p.height, p.width
	train, held := o.Train, 0
	if p.last != nil {
		d.Val = &subset{s: p.last, from: o.ValBeyond, to: o.Val, backwards: true, h: h, w: w}
	} else {
		n := p.train.len()
		var err error
		if train, held, err = o.divide(name, n, p.val != nil); err != nil {
			return nil, err
		}
		if held > 0 {
			d.Val = &subset{s: p.train, from: n - held, to: n - o.ValBeyond, h: h, w: w}
		}
	}
	if p.val != nil && o.Val >= 0 {
		if o.Val > p.val.len() {
			return nil, o.tooManyVal(name, p.val.len())
		}
		d.Val = &subset{s: p.val, from: o.ValBeyond, to: cmp.Or(o.Val, p.val.len()), h: h, w: w}
	}
	d.Train = &subset{s: p.train, to: train, h: h, w: w}
	if p.test != nil {
		d.TestImages = p.test.len()
		if !o.NoTest {
			d.Test = &subset{s: p.test, to: p.test.len(), h: h, w: w}
		}
	}
	mean, std, sample := p.train.moments(train)
	d.Info = Info{
		Name: name, Channels: p.train.Channels, Height: h, Width: w,
		Classes: p.classes, Labels: p.labels, Photos: p.photos, Side: p.side,
		Mean: mean, Std: std, MomentImages: sample,
	}
	return d, nil
}
