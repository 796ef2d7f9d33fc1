package train

import (
	"netspace/dataset"
)

// mix writes the targets of a batch for step number.
func (r *run) mix(b *dataset.Batch, number int) {
	classes := r.Data.Info.Classes
	smooth := r.Recipe.LabelSmoothing
	off := float32(smooth / float64(classes))
	on := float32(1 - smooth + smooth/float64(classes))
	fill(r.targets, off)
	for i, label := range b.Labels {
		r.targets[i*classes+int(label)] = on
	}
}
