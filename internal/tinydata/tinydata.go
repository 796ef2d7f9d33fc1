// Package tinydata writes a data set for tests that networks of a few thousand
// multiply-adds learn in a fraction of a second.
package tinydata

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Classes is the number of classes.
const Classes = 4

// TB is what Write needs of a testing.TB.
type TB interface {
	Helper()
	Fatal(args ...any)
}

// Write makes an IDX data set of n training images, 8×8 and grey: four classes, told
// apart by which quarter is bright, and noise. The same n gives the same bytes.
func Write(t TB, dir string, n int) {
	t.Helper()
	if err := WriteFiles(dir, n); err != nil {
		t.Fatal(err)
	}
}

// WriteFiles is Write outside of tests.
func WriteFiles(dir string, n int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	const side = 8
	rng := rand.New(rand.NewPCG(1, 2))
	for _, set := range []struct {
		name string
		n    int
	}{{"train", n}, {"t10k", 8}} {
		images := binary.BigEndian.AppendUint32(nil, 0x803)
		labels := binary.BigEndian.AppendUint32(nil, 0x801)
		for _, v := range []int{set.n, side, side} {
			images = binary.BigEndian.AppendUint32(images, uint32(v))
		}
		labels = binary.BigEndian.AppendUint32(labels, uint32(set.n))
		for range set.n {
			class := rng.IntN(Classes)
			labels = append(labels, byte(class))
			for y := range side {
				for x := range side {
					v := rng.IntN(120)
					if class == y/(side/2)*2+x/(side/2) {
						v += 80
					}
					images = append(images, byte(v))
				}
			}
		}
		for name, data := range map[string][]byte{"-images-idx3-ubyte": images, "-labels-idx1-ubyte": labels} {
			if err := os.WriteFile(filepath.Join(dir, set.name+name), data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
