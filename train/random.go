package train

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// stream is a generator for one purpose at one position: equal arguments give
// equal numbers, whatever was drawn before or elsewhere. reseed moves an
// existing generator without allocating.
func stream(seed uint64, purpose string, position ...uint64) *rand.Rand {
	var p rand.PCG
	reseed(&p, seed, purpose, position...)
	return rand.New(&p)
}

func reseed(p *rand.PCG, seed uint64, purpose string, position ...uint64) {
	var buf [128]byte
	b := binary.LittleEndian.AppendUint64(buf[:0], seed)
	for _, x := range position {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	b = append(b, purpose...)
	sum := sha256.Sum256(b)
	p.Seed(binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:]))
}
