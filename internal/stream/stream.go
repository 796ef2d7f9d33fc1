// Package stream derives independent streams of random numbers from one seed.
package stream

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// Seed puts p at the start of the stream for one purpose at one position: equal
// arguments give equal numbers, whatever was drawn before or elsewhere. It does not
// allocate for purposes of up to a hundred bytes.
func Seed(p *rand.PCG, seed uint64, purpose string, position ...uint64) {
	var buf [128]byte
	b := binary.LittleEndian.AppendUint64(buf[:0], seed)
	for _, x := range position {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	b = append(b, purpose...)
	sum := sha256.Sum256(b)
	p.Seed(binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:]))
}
