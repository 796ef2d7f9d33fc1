package dataset

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sync/semaphore"
)

// ImageReader brings JPEG, PNG and WebP files into the form in which a network takes images, as an
// evaluation on a folder of them does. It is not safe for concurrent use.
type ImageReader struct {
	info   Info
	plan   photoPlan
	table  [3][256]float32
	memory *semaphore.Weighted
	photo  photoBuffer
}

// NewImageReader makes a reader of images as info describes them: Channels, Height, Width, Side, Mean and
// Std count.
func NewImageReader(info Info) (*ImageReader, error) {
	if err := (LoaderOptions{Batch: 1}).Check(info); err != nil {
		return nil, err
	}
	if info.Side != 0 && info.Side < max(info.Height, info.Width) {
		return nil, fmt.Errorf("images of %d×%d pixels are not cut out of ones with a shorter side of %d", info.Height, info.Width, info.Side)
	}
	return &ImageReader{
		info: info, plan: photoPlan{Channels: info.Channels, Height: info.Height, Width: info.Width, Side: info.Side},
		table: normalisation(info), memory: newPhotoMemory(),
	}, nil
}

// Read decodes a file into dst, normalised [C,H,W]. A damaged image is a *FormatError.
func (r *ImageReader) Read(ctx context.Context, file string, dst []float32) error {
	in, err := openImage(file)
	if err != nil {
		return err
	}
	defer in.Close()
	p, err := decodePhoto(ctx, in, r.plan, r.memory, &r.photo)
	if err != nil {
		return err
	}
	var none Augment
	top, left, _ := none.draw(p, &r.info, nil)
	normaliseCrop(dst, p, &r.table, &r.info, top, left, false)
	return nil
}

// WalkImages calls do with the JPEG, PNG and WebP files (by their names) in dir and the folders below, one after the
// other in the order of names; hidden ones are left out, and links to folders. It ends at do's first error.
func WalkImages(ctx context.Context, dir string, do func(file string) error) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case path != dir && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir() || !hasImageName(path):
			return nil
		}
		return do(path)
	})
}

// hasImageName says whether a file is taken for an image.
func hasImageName(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg", ".png", ".webp":
		return true
	}
	return false
}
