package train

import "netspace/dataset"

// Resolve replaces what the recipe leaves to the data by what that comes to
// for images such as info describes: the crop and its padding, the lighting, and the weight
// decays that follow WeightDecay. The resolved recipe trains the same bits.
func (r Recipe) Resolve(info dataset.Info) Recipe {
	if r.Crop == AutoCrop {
		r.Crop = PadCrop
		if info.Photos {
			r.Crop = ResizedCrop
		}
	}
	if r.Pad == nil && r.Crop == PadCrop {
		pad := min(mostPad, min(info.Height, info.Width)/padShare)
		r.Pad = &pad
	}
	if r.Lighting == nil {
		light := 0.0
		if r.Crop == ResizedCrop && info.Channels == 3 {
			light = defaultLighting
		}
		r.Lighting = &light
	}
	bn, bias := r.bnDecay(), r.biasDecay()
	r.BNWeightDecay, r.BiasWeightDecay = &bn, &bias
	return r
}

// augmentation is what the recipe does to training images such as info describes.
func (r Recipe) augmentation(info dataset.Info) dataset.Augment {
	if !r.Augment {
		return dataset.Augment{}
	}
	r = r.Resolve(info)
	a := dataset.Augment{
		ResizedCrop: r.Crop == ResizedCrop,
		Flip:        r.Flip,
		ColorJitter: r.ColorJitter,
		Lighting:    *r.Lighting,
		RandAugment: r.RandAugment,
		Magnitude:   r.RandAugmentMagnitude,
	}
	if r.Crop == PadCrop {
		a.PadCrop = *r.Pad
	}
	return a
}
