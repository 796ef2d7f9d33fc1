package train

import "netspace/dataset"

// augmentation is what the recipe does to training images such as info describes.
func (r *Recipe) augmentation(info dataset.Info) (dataset.Augment, error) {
	var a dataset.Augment
	if !r.Augment {
		return a, nil
	}
	if r.Crop == PadCrop || r.Crop == AutoCrop {
		a.PadCrop = r.Pad
	}
	a.Flip = r.Flip
	return a, nil
}
