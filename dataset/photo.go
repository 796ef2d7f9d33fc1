package dataset

// photoBuffer is the memory in which one goroutine decodes images.
type photoBuffer struct{}

// photoDecoder reads images that are not kept decoded.
type photoDecoder struct{}

func (d *photoDecoder) read(string, *photoBuffer) (picture, error) { return picture{}, nil }
