package dataset

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// imageList is the encoded images of one part of a data set, in the order of the data set. It is safe for
// concurrent use.
type imageList interface {
	len() int
	label(i int) int
	// head is what the header of image i says. The error is of reading.
	head(i int) (photoHead, error)
	// open gives the bytes of image i. The error is a *FormatError if the image is damaged.
	open(i int) (encoded, error)
	// sources are the files in which the images are.
	sources() []fileID
	close() error
}

// encoded is an open image.
type encoded struct {
	io.ReadSeeker
	io.Closer
	file   string
	offset int64  // where it begins in file; -1 if that means nothing
	name   string // that it has in file; "": it is the whole of it
}

// fault says what is wrong with the image.
func (e encoded) fault(reason string) *FormatError {
	if e.name != "" {
		reason = e.name + ": " + reason
	}
	return &FormatError{e.file, e.offset, reason}
}

// openImage opens an image that is a file.
func openImage(file string) (encoded, error) {
	f, err := openFile(file)
	return encoded{ReadSeeker: f, Closer: f, file: file, offset: -1}, err
}

// folderList is the images in the folders of the classes.
type folderList struct {
	root  string
	files []photoFile
}

// photoFile is one image of a folder.
type photoFile struct {
	id  fileID // its name is the path below the root of the part, with slashes, beginning with the class
	key uint64 // its place in the order
	of  int    // class
}

func (l *folderList) len() int        { return len(l.files) }
func (l *folderList) label(i int) int { return l.files[i].of }
func (l *folderList) close() error    { return nil }

func (l *folderList) path(i int) string {
	return filepath.Join(l.root, filepath.FromSlash(l.files[i].id.name))
}

func (l *folderList) head(i int) (photoHead, error) { return readHead(l.path(i)) }

func (l *folderList) open(i int) (encoded, error) { return openImage(l.path(i)) }

func (l *folderList) sources() []fileID {
	ids := make([]fileID, len(l.files))
	for i, f := range l.files {
		ids[i] = f.id
	}
	return ids
}

// orderKey is the place of an image in the order of its part, by its path below the folder of the part. The order does
// not depend on class or name, and is the same on every machine: each first or last n images hold all classes in nearly
// their shares.
func orderKey(below string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, below)
	return mix(h.Sum64())
}

// subfolders lists the folders in dir, also linked ones, in order; hidden ones are left
// out.
func subfolders(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		isDir := e.IsDir()
		if e.Type()&os.ModeSymlink != 0 {
			st, err := os.Stat(filepath.Join(dir, e.Name()))
			isDir = err == nil && st.IsDir()
		}
		if isDir {
			names = append(names, e.Name())
		}
	}
	return names
}

// listFolders lists the images of a part. classes are the folders of the training images;
// nil: take those of root, leaving out folders without images.
func listFolders(ctx context.Context, root string, classes []string) (*folderList, []string, error) {
	folders := subfolders(root)
	fixed := classes != nil
	var files []photoFile
	for _, folder := range folders {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		n := len(files)
		var err error
		if files, err = appendPhotos(files, root, folder, 0); err != nil {
			return nil, nil, err
		}
		if len(files) == n {
			continue
		}
		label := slices.Index(classes, folder)
		switch {
		case label < 0 && fixed:
			return nil, nil, &FormatError{filepath.Join(root, folder), -1, "the training images have no class of this name"}
		case label < 0:
			label = len(classes)
			classes = append(classes, folder)
		}
		for i := n; i < len(files); i++ {
			files[i].of = label
		}
	}
	if len(classes) > maxClasses {
		return nil, nil, tooManyClasses(root, len(classes))
	}
	slices.SortFunc(files, func(a, b photoFile) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.id.name, b.id.name))
	})
	return &folderList{root, files}, classes, nil
}

// appendPhotos adds the images in root/rel and the folders below.
func appendPhotos(files []photoFile, root, rel string, depth int) ([]photoFile, error) {
	entries, err := os.ReadDir(filepath.Join(root, rel))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		image := hasImageName(name)
		if !image && e.Type().IsRegular() {
			continue
		}
		below := path.Join(rel, name)
		st, err := os.Stat(filepath.Join(root, below))
		switch {
		case errors.Is(err, os.ErrNotExist): // a link to nothing
			continue
		case err != nil:
			return nil, err
		case st.IsDir() && depth < maxDepth:
			if files, err = appendPhotos(files, root, below, depth+1); err != nil {
				return nil, err
			}
		case image && st.Mode().IsRegular():
			files = append(files, photoFile{id: identify(below, st), key: orderKey(below)})
		}
	}
	return files, nil
}

// hasImages says whether a class folder of root, or a folder below, has an image.
func hasImages(root string, depth int) bool {
	for _, folder := range subfolders(root) {
		sub := filepath.Join(root, folder)
		names, err := fileNames(sub)
		if err == nil && slices.ContainsFunc(names, func(name string) bool { return !strings.HasPrefix(name, ".") && hasImageName(name) }) {
			return true
		}
		if depth < maxDepth && hasImages(sub, depth+1) {
			return true
		}
	}
	return false
}
