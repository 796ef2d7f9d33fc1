package trial

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// identityVersion is the version of the encoding that Identify hashes. It
// changes only if results of before and after must not be taken for the same;
// what is new and has a default is left out of the encoding where it is at it
// (see train.Recipe.Identity).
const identityVersion = 1

// Identify gives a task its identity and its seed. Both derive from what
// decides the result and from nothing else: the adjusted network, what it is built for,
// recipe, images (t.DataKey), engine, trainer and the seed of the whole study (the key of a
// network that has a resolution of its own contains that). The task's seed has 53 bits, so
// that every reader of JSON keeps them.
func (t *Task) Identify(seed uint64) error {
	data, err := json.Marshal(struct {
		Version int
		Network string
		Input   Input
		Recipe  json.RawMessage
		Data    string
		Seed    uint64
		Engine  string
		Trainer Choice `json:",omitzero"`
	}{identityVersion, t.Spec.Key(), t.Input, t.Recipe.Identity(), t.DataKey, seed, t.Engine, t.Trainer.Deciding()})
	if err != nil {
		return fmt.Errorf("identify a trial: %w", err)
	}
	sum := sha256.Sum256(data)
	t.ID, t.Seed = hex.EncodeToString(sum[:8]), binary.BigEndian.Uint64(sum[8:])>>11
	return nil
}
