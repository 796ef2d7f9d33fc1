package safetensors_test

import (
	"bytes"
	"fmt"
	"log"

	"netspace/weights/safetensors"
)

func Example() {
	var b bytes.Buffer
	err := safetensors.Write(&b, &safetensors.File{
		Metadata: map[string]string{"format": "pt"},
		Tensors:  []safetensors.Tensor{safetensors.Float32("head.fc.bias", []int{2}, []float32{0.5, -1})},
	})
	if err != nil {
		log.Fatal(err)
	}
	f, err := safetensors.Parse(b.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range f.Tensors {
		v := make([]float32, t.Len())
		if err := t.CopyFloat32(v); err != nil {
			log.Fatal(err)
		}
		fmt.Println(t.Name, t.DType, t.Shape, v)
	}
	// Output: head.fc.bias F32 [2] [0.5 -1]
}
