package study

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"netspace/internal/atomicfile"
	"netspace/internal/infile"
	"netspace/strict"
)

// Copy copies a study into a new folder: its file and its journals, each up to the last whole line, and no checkpoints. It
// may be copied while it runs; what is finished afterwards is not in the copy.
func Copy(ctx context.Context, from, to string) error {
	if _, err := Open(ctx, from); err != nil {
		return &RequestError{err}
	}
	if entries, err := os.ReadDir(to); err == nil && len(entries) > 0 {
		return &RequestError{fmt.Errorf("%s: there is something in it", to)}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, d := range []string{filepath.Join(to, journalDir), filepath.Join(to, checkpointDir)} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	files, err := journalFiles(from)
	if err != nil {
		return err
	}
	for _, file := range files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		text, err := wholeText(file)
		if err != nil {
			return err
		}
		if err := atomicfile.WriteFile(filepath.Join(to, journalDir, filepath.Base(file)), text, 0o644); err != nil {
			return err
		}
	}
	text, err := strict.ReadFile(filepath.Join(from, fileName))
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(to, fileName), text, 0o644) // last: without it the folder holds no study
}

// wholeText is a journal up to its last whole line.
func wholeText(file string) ([]byte, error) {
	f, err := infile.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size, err := wholeLines(f, info.Size())
	if err != nil {
		return nil, err
	}
	text := make([]byte, size)
	_, err = f.ReadAt(text, 0)
	return text, err
}

// Merged is what came of a Merge.
type Merged struct {
	Networks int `json:"networks"` // places in populations that the study had not
	Results  int `json:"results"`  // trials with a result that had none in the study
}

// Merge adds the networks and results of other folders of one study, trained on another cluster, say, to that in dir. Settings, images and the networks
// at the same places must be the same ones: else the error is a *RequestError with the difference, and nothing is changed. The study then asks for
// the spaces of all, and as many samples and repeats as the one that has most. Merging the same folder again adds nothing.
func Merge(ctx context.Context, dir string, from ...string) (m Merged, err error) {
	into, err := Open(ctx, dir)
	if err != nil {
		return m, &RequestError{err}
	}
	if err := into.history.foreign(); err != nil {
		return m, err
	}
	if into.history.study == nil {
		return m, &RequestError{fmt.Errorf("%s: its settings cannot be read; study run writes them again", dir)}
	}
	var texts []addition
	spaces, samples, repeats := slices.Clone(into.Config.Spaces), into.Config.Samples, into.Config.Repeats
	for _, other := range from {
		s, err := Open(ctx, other)
		if err != nil {
			return m, &RequestError{err}
		}
		if err := s.mergeable(into, other); err != nil {
			return m, err
		}
		for _, name := range s.Config.Spaces {
			if !slices.Contains(spaces, name) {
				spaces = append(spaces, name)
			}
		}
		samples, repeats = max(samples, s.Config.Samples), repeats.union(s.Config.Repeats)
		more, err := into.lacks(s)
		if err != nil {
			return m, err
		}
		texts = append(texts, more...)
	}
	for _, t := range texts {
		for number := 1; ; number++ {
			path := filepath.Join(dir, journalDir, fmt.Sprintf("merged.%d%s", number, journalSuffix))
			err := atomicfile.Create(path, t.text, 0o644)
			if errors.Is(err, fs.ErrExist) {
				continue
			}
			if err != nil {
				return m, err
			}
			break
		}
		m.Networks += t.networks
		m.Results += t.results
	}
	if len(spaces) == len(into.Config.Spaces) && samples == into.Config.Samples && repeats == into.Config.Repeats {
		return m, nil
	}
	file := filepath.Join(dir, fileName)
	text, err := strict.ReadFile(file)
	if err != nil {
		return m, err
	}
	if text, err = restate(text, spaces, samples, repeats); err != nil {
		return m, fmt.Errorf("%s: %w", file, err)
	}
	return m, atomicfile.WriteFile(file, text, 0o644)
}

// mergeable tells why the results of s may not stand beside those of into.
func (s *Study) mergeable(into *Study, dir string) error {
	if s.history.study == nil {
		return &RequestError{fmt.Errorf("%s: there is nothing to merge: it has no settings in its journals", dir)}
	}
	changes, err := s.history.study.changes(*into.history.study)
	if err != nil {
		return err
	}
	for _, name := range s.Config.Spaces {
		mine, theirs := into.history.samples[name], s.history.samples[name]
		for i := range min(len(mine), len(theirs)) {
			if mine[i].ref.length > 0 && theirs[i].ref.length > 0 && mine[i].id != theirs[i].id {
				changes = append(changes, fmt.Sprintf("space %s has other networks, the first at place %d", name, i))
				break
			}
		}
	}
	if len(changes) > 0 {
		return &RequestError{fmt.Errorf("%s holds results of another study than %s:\n  %s", dir, into.Dir, strings.Join(changes, "\n  "))}
	}
	return nil
}

// addition is the text of a journal to add.
type addition struct {
	text              []byte
	networks, results int
}

// lacks gives what s knows and into does not, a journal for each of s: its lines as they stand, with their checksums and times.
func (into *Study) lacks(s *Study) ([]addition, error) {
	var all []addition
	networks, ended := map[sample]bool{}, map[trialID]bool{}
	for _, f := range s.history.order {
		if f.foreign != "" {
			continue
		}
		text, err := wholeText(f.file)
		if err != nil {
			return nil, err
		}
		a := addition{}
		header, err := encodeRecords(headerOf(f.host))
		if err != nil {
			return nil, err
		}
		var maker []byte // the last one, if a result of it was not added yet
		for line := range bytes.Lines(text) {
			bare := bytes.TrimRight(line, "\r\n")
			if checkLine(bare) != "" {
				continue
			}
			kind, _, _ := split(bare)
			var r record
			switch kind {
			case "space", "trial", "goal", "paused", "done", "failed", "maker":
				if r, err = decodeRecord(bare); err != nil {
					continue
				}
			default:
				continue
			}
			switch {
			case r.Maker != nil:
				maker = line
				continue
			case r.Space != nil:
				if _, known := into.history.spaces[r.Space.Name]; known {
					continue
				}
			case r.Goal != nil:
				if into.history.known(r.Goal.Space, r.Goal.Goal) {
					continue
				}
			case r.Paused != nil: // what is gone on with begins anew: checkpoints stay where they are
				if into.history.outcomes[r.Paused.Trial].reached(lastOf(r.Paused.Epochs)) {
					continue
				}
			case r.Trial != nil:
				t := r.Trial
				have := into.history.samples[t.Space]
				place := sample{id: t.ID, at: int64(t.Index)}
				if t.Index < len(have) && have[t.Index].ref.length > 0 || networks[place] {
					continue
				}
				networks[place] = true
				a.networks++
			case r.Done != nil:
				if o := into.history.outcomes[r.Done.Trial]; o != nil && o.done != nil || ended[r.Done.Trial] {
					continue
				}
				ended[r.Done.Trial] = true
				a.results++
			case r.Failed != nil:
				if into.history.outcomes[r.Failed.Trial].hasEnded() || ended[r.Failed.Trial] || s.history.outcomes[r.Failed.Trial].state() != Failed {
					continue
				}
				ended[r.Failed.Trial] = true
				a.results++
			}
			a.text = append(append(a.text, maker...), line...)
			maker = nil
		}
		if len(a.text) > 0 {
			a.text = append(header, a.text...)
			all = append(all, a)
		}
	}
	return all, nil
}

// lastOf is the number of the last of some epochs.
func lastOf(epochs []Epoch) (last int) {
	for _, e := range epochs {
		last = max(last, e.Epoch)
	}
	return last
}

// restate gives the text of a study file other spaces, samples and repeats, and leaves all else as it is written.
func restate(text []byte, spaces []string, samples int, repeats Repeats) ([]byte, error) {
	return edit(text, func(root *yaml.Node) error {
		if repeats.Times > 0 {
			if err := setKey(root, "repeats", repeats, yaml.FlowStyle); err != nil {
				return err
			}
		}
		fields := root.Content
		for i := 0; i+1 < len(fields); i += 2 {
			switch fields[i].Value {
			case "samples":
				fields[i+1].SetString(fmt.Sprint(samples))
				fields[i+1].Tag = "!!int"
			case "spaces":
				list := fields[i+1]
				for _, name := range spaces[len(list.Content):] {
					item := &yaml.Node{}
					item.SetString(name)
					list.Content = append(list.Content, item)
				}
			}
		}
		return nil
	})
}

// edit changes the mapping of a study file, and leaves what is not changed as it is written.
func edit(text []byte, change func(root *yaml.Node) error) ([]byte, error) {
	var doc yaml.Node
	err := yaml.Unmarshal(text, &doc)
	if err == nil && (len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode) {
		err = errors.New("it is no mapping")
	}
	if err == nil {
		err = change(doc.Content[0])
	}
	if err != nil {
		return nil, fmt.Errorf("the study file cannot be edited: %w", err)
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	err = errors.Join(enc.Encode(&doc), enc.Close())
	return out.Bytes(), err
}

// setKey sets a key of a mapping, and adds it at the end if it is not there.
func setKey(root *yaml.Node, key string, to any, style yaml.Style) error {
	var value yaml.Node
	if err := value.Encode(to); err != nil {
		return err
	}
	value.Style = style
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == key {
			root.Content[i+1] = &value
			return nil
		}
	}
	root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, &value)
	return nil
}
