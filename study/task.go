package study

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"netspace/arch"
	"netspace/train"
)

// Task is one attempt at one trial, with all that a worker needs to know.
type Task struct {
	Dir     string       `json:"dir"` // study folder, absolute
	Trial   string       `json:"trial"`
	Attempt int          `json:"attempt"` // from 1
	Space   string       `json:"space"`   // a population it belongs to, and its place there
	Index   int          `json:"index"`
	Seed    uint64       `json:"seed"`
	Spec    arch.Spec    `json:"spec"`
	Input   Input        `json:"input"`
	Data    DataConfig   `json:"data"`
	DataKey string       `json:"data_key"`
	Recipe  train.Recipe `json:"recipe"`
	Engine  string       `json:"engine"`

	losses int // attempts before this one whose worker died
}

// Input is what the networks of a study are built for.
type Input struct {
	Channels int `json:"channels"`
	Height   int `json:"height"`
	Width    int `json:"width"`
	Classes  int `json:"classes"`
}

// identityVersion is the version of the encoding that identify hashes. It
// changes only if results of before and after must not be taken for the same;
// what is new and has a default is left out of the encoding where it is at it
// (see train.Recipe.Identity).
const identityVersion = 1

// identify gives the identity of a trial and its seed. Both derive from what
// decides the result and from nothing else: the adjusted network, what it is built for,
// recipe, images, the study's seed and the engine (the key of a network that
// has a resolution of its own contains that). The seed has 53 bits, so that
// every reader of JSON keeps them.
func identify(spec arch.Spec, recipe train.Recipe, study studyRecord, s Settings) (id string, seed uint64, err error) {
	data, err := json.Marshal(struct {
		Version int
		Network string
		Input   Input
		Recipe  json.RawMessage
		Data    string
		Seed    uint64
		Engine  string
	}{identityVersion, spec.Key(), study.Input, recipe.Identity(), study.Data, s.Seed, s.Engine})
	if err != nil {
		return "", 0, fmt.Errorf("identify a trial: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8]), binary.BigEndian.Uint64(sum[8:]) >> 11, nil
}

// String gives "1×28×28 images of 10 classes".
func (i Input) String() string {
	return fmt.Sprintf("%d×%d×%d images of %d classes", i.Channels, i.Height, i.Width, i.Classes)
}
