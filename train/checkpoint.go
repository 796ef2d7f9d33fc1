package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"time"

	"netspace/engine"
	"netspace/weights"
	"netspace/weights/safetensors"
)

// CheckpointName is the file in Job.Dir that a training continues from. It is
// a safetensors file: weights and BN statistics under their own names, further
// sets behind a prefix and a slash, and the rest as metadata (see
// docs/training.md).
const CheckpointName = "checkpoint.safetensors"

const (
	checkpointFormat  = "netspace-checkpoint"
	checkpointVersion = "1"
)

// The keys of a checkpoint's metadata.
const (
	keyFormat   = "format"
	keyVersion  = "version"
	keyChecksum = "sha256" // of everything else in the file
	keyState    = "state"  // checkpointState as JSON
	keyNetwork  = "network"
	keyRecipe   = "recipe"
	keyData     = "data"
	keySeed     = "seed"
	keyInit     = "init"
	keyEngine   = "engine"
)

// checkpointState is what a checkpoint holds beside the tensors.
type checkpointState struct {
	position
	Sums    sums         `json:"sums"`
	Curve   []EpochStats `json:"curve"`
	Seconds float64      `json:"seconds"` // trained so far
}

// checkpointSets lists the sets of tensors that a training in its current
// state consists of, by prefix.
func (r *run) checkpointSets() []prefixedSet {
	sets := []prefixedSet{{"", engine.Params}, {"", engine.Buffers}}
	rec := &r.Recipe
	if r.done() > 0 && (rec.Optimizer != SGD || rec.Momentum > 0) {
		sets = append(sets, prefixedSet{"moment1/", engine.Moment1})
	}
	if r.done() > 0 && rec.Optimizer != SGD {
		sets = append(sets, prefixedSet{"moment2/", engine.Moment2})
	}
	if rec.EMA > 0 {
		sets = append(sets, prefixedSet{"ema/", engine.EMAParams}, prefixedSet{"ema/", engine.EMABuffers})
	}
	return sets
}

type prefixedSet struct {
	prefix string
	set    engine.Set
}

// identity is the part of the metadata that must agree for a checkpoint to be of this job.
func (r *run) identity() (map[string]string, error) {
	if r.ident != nil {
		return r.ident, nil
	}
	data, err := DataKey(r.Data)
	if err != nil {
		return nil, err
	}
	init := "random"
	if r.Init != nil {
		init = checksum(r.Init)
	}
	r.ident = map[string]string{
		keyNetwork: NetworkKey(r.Graph, r.Recipe.BNEpsilon),
		keyRecipe:  r.Recipe.Hash(),
		keyData:    data,
		keySeed:    strconv.FormatUint(r.Seed, 10),
		keyInit:    init,
		keyEngine:  r.Engine.Describe().Name,
	}
	return r.ident, nil
}

// save writes the checkpoint.
func (r *run) save() error {
	state, err := json.Marshal(checkpointState{position: r.at, Sums: r.sums, Curve: r.curve, Seconds: r.seconds()})
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	ident, err := r.identity()
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	f := &safetensors.File{Metadata: map[string]string{keyFormat: checkpointFormat, keyVersion: checkpointVersion, keyState: string(state)}}
	maps.Copy(f.Metadata, ident)
	for _, s := range r.checkpointSets() {
		if err := weights.Append(f, r.prog, r.Graph, s.set, weights.Prefix(s.prefix)); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	f.Metadata[keyChecksum] = checksum(f)
	if err := safetensors.WriteFile(r.checkpointPath(), f); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	r.saved, r.savedAt = time.Now(), r.at
	return nil
}

// load continues from the checkpoint; found is false if there is none.
func (r *run) load() (found bool, err error) {
	path := r.checkpointPath()
	f, err := safetensors.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	refuse := func(format string, args ...any) (bool, error) {
		return true, &CheckpointError{Path: path, Reason: fmt.Sprintf(format, args...)}
	}
	var bad *safetensors.FormatError
	if errors.As(err, &bad) {
		return refuse("it is damaged: %s", bad.Reason)
	}
	if err != nil {
		return true, fmt.Errorf("checkpoint: %w", err)
	}
	if f.Metadata[keyFormat] != checkpointFormat {
		return refuse("it is a safetensors file, but not a checkpoint of netspace")
	}
	if v := f.Metadata[keyVersion]; v != checkpointVersion {
		return refuse("it has version %q of the format; this program reads %s", v, checkpointVersion)
	}
	if f.Metadata[keyChecksum] != checksum(f) {
		return refuse("it is damaged: its checksum does not agree with its content")
	}
	want, err := r.identity()
	if err != nil {
		return true, fmt.Errorf("checkpoint: %w", err)
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got := f.Metadata[key]; got != want[key] {
			return refuse("it is of another training: its %s is %s, this one's is %s", key, got, want[key])
		}
	}
	var state checkpointState
	if err := json.Unmarshal([]byte(f.Metadata[keyState]), &state); err != nil {
		return refuse("its state is not readable: %v", err)
	}
	if state.Epoch < 0 || state.Step < 0 || state.Step > r.steps || state.Epoch > r.Recipe.Epochs || len(state.Curve) != state.Epoch {
		return refuse("its position, epoch %d and step %d with %d epochs of curve, is impossible", state.Epoch, state.Step, len(state.Curve))
	}
	r.at, r.sums, r.curve, r.spent = state.position, state.Sums, state.Curve, state.Seconds
	r.savedAt = r.at
	for _, s := range r.checkpointSets() {
		err := weights.Restore(r.prog, r.Graph, s.set, f, weights.Prefix(s.prefix))
		var wrong *weights.MismatchError
		if errors.As(err, &wrong) {
			return refuse("%v", err)
		}
		if err != nil {
			return true, fmt.Errorf("checkpoint: %w", err)
		}
	}
	return true, nil
}

// checksum is the SHA-256 of a file's content but for the checksum itself.
func checksum(f *safetensors.File) string {
	h := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(f.Metadata)) {
		if k != keyChecksum {
			fmt.Fprintf(h, "%q=%q\n", k, f.Metadata[k])
		}
	}
	tensors := slices.Clone(f.Tensors)
	slices.SortFunc(tensors, func(a, b safetensors.Tensor) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	for _, t := range tensors {
		fmt.Fprintf(h, "%q %s %v %d\n", t.Name, t.DType, t.Shape, len(t.Data))
		h.Write(t.Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}
