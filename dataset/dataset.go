// Package dataset reads labelled images and turns them into batches.
//
// A Split hands out decoded images by index; a Loader draws, augments and normalises
// batches off the training thread; Mixup and CutMix blend the images of a batch. Data
// sets that are costly to decode are decoded once into a cache that all processes of the
// machine map. Everything random derives from a seed, the epoch and the image's place in
// the epoch, never from timing or the number of goroutines.
//
//	d, err := dataset.Open("fashion-mnist", dataset.Options{}) // or a folder
//	defer d.Close()
//	l := dataset.NewLoader(d.Train, d.Info, dataset.LoaderOptions{Batch: 128, Shuffle: true})
//	it := l.Epoch(0, 0)
//	defer it.Close()
//	b, err := it.Next(ctx) // io.EOF after the last
package dataset

import (
	"errors"
	"fmt"
	"strings"
)

// Info describes the images of a data set.
type Info struct {
	Name     string
	Channels int // 1 or 3 (RGB)
	Height   int // pixels of the decoded images
	Width    int // pixels
	Classes  int
	Labels   []string  // names of the classes, nil if unknown
	Mean     []float32 // per channel, over the training images, of values scaled to [0,1]
	Std      []float32 // per channel, likewise; never 0

	// MomentImages is the number of training images, from the first, that Mean and Std
	// were computed over: all, but for photographs that are not cached.
	MomentImages int
	// Photos says that the images are photographs of varied or large size: they are
	// kept with a shorter side of 256/224 of Height, and a loader crops them.
	Photos bool
	// Side is the shorter side in pixels that photographs are kept with, of which evaluation takes
	// the centre; 0: all images have Height×Width.
	Side int
}

// Split is a set of labelled images. It is safe for concurrent use.
type Split interface {
	Len() int
	// Label is the class of image i, in [0, Info.Classes).
	Label(i int) int
	// Image copies image i into dst as [C,H,W] bytes, after decoding (and resizing)
	// where needed.
	Image(i int, dst []byte) error
}

// Data is an opened data set.
type Data struct {
	Info  Info
	Train Split // the training images, less the validation images
	Val   Split // held out of the training images, or as the data set defines it; nil if Options.Val is -1
	Test  Split // nil if there is none, and with Options.NoTest; touched by a final evaluation alone

	// TestImages is the number of test images. Of those of a folder that Options.NoTest left
	// undecoded some may turn out to be damaged.
	TestImages int

	parts *parts // nil if not of Open
}

// Corrupt names the images of folders that are damaged: those that were found when the
// images were first read, which are in no split, and, of images that are decoded each
// time, those found since, for which loaders take the next ones.
func (d *Data) Corrupt() []*FormatError {
	var all []*FormatError
	for _, s := range d.stores() {
		all = append(all, s.Corrupt...)
		if s.decoder != nil {
			all = append(all, s.decoder.damaged()...)
		}
	}
	return all
}

// DescribeCorrupt names, for people, the damaged images that were found after the first
// known ones; "" if there are none.
func (d *Data) DescribeCorrupt(known int) string {
	const named = 5
	found := d.Corrupt()[known:]
	if len(found) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "data set %s: damaged images, left out: %d", d.Info.Name, len(found))
	for _, e := range found[:min(named, len(found))] {
		fmt.Fprintf(&b, "\n  %v", e)
	}
	if more := len(found) - named; more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return b.String()
}

func (d *Data) stores() []*store {
	if d.parts == nil {
		return nil
	}
	return d.parts.stores()
}

// Close gives back the mapped files. The splits must not be used after.
func (d *Data) Close() error {
	var errs []error
	for _, s := range d.stores() {
		errs = append(errs, s.close())
	}
	d.parts = nil
	return errors.Join(errs...)
}

// MissingError says that a data set is not on this machine and how to get it.
type MissingError struct {
	Name string
	Path string // where it was looked for
	Hint string // the command that installs it, or what to do
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("data set %s: not found at %s; %s", e.Name, e.Path, e.Hint)
}

// FormatError says which file is damaged and how.
type FormatError struct {
	File   string
	Offset int64 // byte where the fault was seen, -1 if that means nothing
	Reason string
}

func (e *FormatError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("%s: at byte %d: %s", e.File, e.Offset, e.Reason)
}
