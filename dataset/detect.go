package dataset

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// detect finds out what kind of data set is at path, and decodes it. shards are the files of a pattern.
func detect(ctx context.Context, name, path string, st os.FileInfo, shards []string, o Options) (*parts, error) {
	if shards == nil && !st.IsDir() && isShard(path) {
		shards = []string{path}
	}
	if shards != nil {
		return openImages(ctx, name, imageSources{train: shardSource(filepath.Dir(path), shards, o)}, o)
	}
	if !st.IsDir() {
		if isPacked(path) {
			return nil, packedFault(path)
		}
		m := idxName.FindStringSubmatch(filepath.Base(path))
		if m == nil || m[2] != "train" || m[3] != "images" {
			return nil, &FormatError{path, -1, "not a folder, nor a .tar or .parquet file of images, nor a file of IDX training images (…train-images-idx3-ubyte, plain or .gz)"}
		}
		dir := filepath.Dir(path)
		names, err := fileNames(dir)
		if err != nil {
			return nil, err
		}
		set := findIDX(dir, names)[m[1]]
		set.images["train"] = path
		return openIDXSet(dir, m[1], set, o)
	}
	names, err := fileNames(path)
	if err != nil {
		return nil, err
	}
	sets := findIDX(path, names)
	switch {
	case len(sets) == 1:
		for prefix, set := range sets {
			return openIDXSet(path, prefix, set, o)
		}
	case len(sets) > 1:
		return nil, &FormatError{path, -1, fmt.Sprintf("several IDX data sets, with names that begin with %s: give the path of the training images of one", setNames(sets))}
	}
	if kind, dir, ok := findCIFAR(path, names); ok {
		return openCIFAR(kind, dir, o)
	}
	from := findFolders(path, names)
	if from.train == nil || !hasImages(from.train.root, 0) {
		shards, err := findShards(path, names, o)
		if err != nil {
			return nil, err
		}
		if shards.train != nil {
			from = shards
		}
	}
	if from.train != nil {
		return openImages(ctx, name, from, o)
	}
	return nil, &FormatError{path, -1, "not a data set: there are no IDX files, no CIFAR binary files, no folders with images, no .tar or .parquet files of images"}
}

// fileNames lists a folder.
func fileNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}
