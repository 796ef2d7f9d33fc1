package dataset

import (
	"fmt"
	"testing"
)

// The images beyond the validation images of one number are those that a larger number has besides, wherever they are held out: none validates with the smaller
// number, and none trains.
func TestValBeyond(t *testing.T) {
	own := t.TempDir() // has validation images of its own
	for i := range 28 {
		write(t, own, fmt.Sprintf("%s/%c/%d.png", []string{"train", "valid"}[i/14], 'a'+i%2, i), rgb(t, 6, 6, uint64(i)))
	}
	for name, c := range map[string]struct {
		dir               string
		train, resolution int
		separate          bool // the last images are read without those between
	}{
		"at the end of the training images": {idxFolder(t), 20, 0, false},
		"validation images of its own":      {own, 14, 0, false},
		"photographs, the last ones alone":  {photoFolder(t), 6, 12, true},
	} {
		const few, more = 5, 12
		digests := func(o Options) (train, val map[string]int, d *Data) {
			o.Train, o.Resolution = c.train, c.resolution
			d = open(t, c.dir, o)
			size := d.Info.Channels * d.Info.Height * d.Info.Width
			of := func(s Split) map[string]int {
				all := map[string]int{}
				for i := range s.Len() {
					all[string(pixels(t, s, i, size))] += 1 + s.Label(i)
				}
				return all
			}
			return of(d.Train), of(d.Val), d
		}
		_, seen, _ := digests(Options{Val: few})
		_, all, _ := digests(Options{Val: more})
		train, beyond, d := digests(Options{Val: more, ValBeyond: few})
		if d.Val.Len() != more-few || len(beyond) == 0 || (d.parts.last != nil) != c.separate {
			t.Errorf("%s: %d validation images beyond, separate: %v", name, d.Val.Len(), d.parts.last != nil)
		}
		for image, label := range all {
			if seen[image]+beyond[image] != label || train[image] > 0 {
				t.Errorf("%s: an image of label %d is seen as %d, beyond as %d, and trains as %d", name, label-1, seen[image]-1, beyond[image]-1, train[image]-1)
			}
		}
	}
	for _, o := range []Options{{Val: 5, ValBeyond: 5}, {ValBeyond: 1}, {Val: 5, ValBeyond: -1}} {
		if _, err := Open(own, o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}
