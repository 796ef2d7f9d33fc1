package train

import "netspace/dataset"

// mix writes the targets of a batch for step number, and blends its images
// where the recipe says so (docs/method.md §5): smoothed one-hot targets, mixup, cutmix.
func (r *run) mix(b *dataset.Batch, number int) {
	rec, info := &r.Recipe, &r.Data.Info
	if rec.Mixup == 0 && rec.CutMix == 0 {
		dataset.Targets(r.targets, b.Labels, info.Classes, rec.LabelSmoothing)
		return
	}
	rng := r.draw.at("mix", number)
	if rec.Mixup == 0 || rec.CutMix > 0 && rng.Uint64()>>63 == 1 {
		dataset.CutMix(r.targets, b.Images, b.Labels, info.Height, info.Width, rng, rec.CutMix, info.Classes, rec.LabelSmoothing)
	} else {
		dataset.Mixup(r.targets, b.Images, b.Labels, rng, rec.Mixup, info.Classes, rec.LabelSmoothing)
	}
}
