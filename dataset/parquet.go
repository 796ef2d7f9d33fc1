package dataset

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"netspace/internal/parquet"
)

// scanParquet finds the images of a Parquet file as Hugging Face's data sets have them: a column of images, each with its bytes,
// and one of labels, whose names the metadata may state.
func scanParquet(ctx context.Context, s shardScan, f *os.File, u *parquet.Unpacker, to *spool) (shardScan, error) {
	err := s.readParquet(ctx, f, u, to)
	var bad *parquet.Error
	if errors.As(err, &bad) {
		err = s.fault(bad.Offset, bad.Reason)
	}
	return s, err
}

func (s *shardScan) readParquet(ctx context.Context, f *os.File, u *parquet.Unpacker, to *spool) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	file, err := parquet.Open(f, st.Size())
	if err != nil {
		return err
	}
	image, class, err := s.columns(file)
	if err != nil {
		return err
	}
	s.known = featureNames(file.Metadata, file.Columns[class].Path)
	var labels []label // of a row group
	for g := range file.Groups {
		first := len(s.images)
		row := func(k int) string { return "row " + strconv.Itoa(first+k) }
		labels = labels[:0]
		add := func(l label, err error) error {
			labels = append(labels, l)
			return err
		}
		if file.Columns[class].Type == parquet.ByteArray {
			err = file.ByteStrings(ctx, g, class, u, func(at parquet.Place, value []byte) error {
				if value == nil {
					return add(label{kind: hidden}, nil)
				}
				return add(s.named(string(value), row(len(labels)), at.Offset))
			})
		} else {
			err = file.Integers(ctx, g, class, u, func(value int64, ok bool) error {
				if !ok || value == -1 { // as the labels of test images that are not told
					return add(label{kind: hidden}, nil)
				}
				return add(s.numbered(value, row(len(labels)), -1))
			})
		}
		if err != nil {
			return err
		}
		err = file.ByteStrings(ctx, g, image, u, func(at parquet.Place, value []byte) error {
			name := row(len(s.images) - first)
			if value == nil {
				return s.fault(-1, name+": no bytes of an image; images outside the file are not read")
			}
			head, err := headOf(bytes.NewReader(value), encoded{file: s.file, offset: at.Offset, name: name})
			if err != nil {
				return err
			}
			m := shardImage{place: at, head: head, label: labels[len(s.images)-first]}
			s.setName(&m, name)
			err = to.copy(&m, value)
			s.images = append(s.images, m)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// columns finds the columns of images and of labels: by their names, or the only ones that can be meant.
func (s *shardScan) columns(f *parquet.File) (image, class int, err error) {
	var images, names []string
	image, class = -1, -1
	for i, c := range f.Columns {
		names = append(names, c.Path)
		group, leaf, _ := strings.Cut(c.Path, ".")
		if c.Type == parquet.ByteArray && (leaf == "bytes" || c.Path == "image") {
			images = append(images, group)
			if image < 0 || group == "image" {
				image = i
			}
		}
		if c.Path == cmp.Or(s.labels, defaultLabels) {
			class = i
		}
	}
	switch {
	case image < 0 || len(images) > 1 && !strings.HasPrefix(f.Columns[image].Path, "image"):
		err = s.fault(-1, fmt.Sprintf("no column of images: there must be image.bytes, or one other column with bytes; there are %s", strings.Join(names, ", ")))
	case class < 0:
		need := "there must be label, or another one must be named (labels)"
		if s.labels != "" {
			need = fmt.Sprintf("labels are to be %q", s.labels)
		}
		err = s.fault(-1, fmt.Sprintf("no column of classes: %s; there are %s", need, strings.Join(names, ", ")))
	case class == image:
		err = s.fault(-1, fmt.Sprintf("labels are to be %q, which has the images", s.labels))
	}
	return image, class, err
}

// featureNames are those that the library datasets wrote into the metadata; nil if there are none.
func featureNames(metadata map[string]string, column string) []string {
	var about struct {
		Info struct {
			Features map[string]struct {
				Names []string `json:"names"`
			} `json:"features"`
		} `json:"info"`
	}
	if json.Unmarshal([]byte(metadata["huggingface"]), &about) != nil {
		return nil // of other programs
	}
	return about.Info.Features[column].Names
}
