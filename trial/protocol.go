package trial

import (
	_ "embed"

	"netspace/arch"
	"netspace/dataset"
	"netspace/graph"
	"netspace/train"
)

// ProtocolVersion is that of the documents that a program of the user's is given (see docs/trainers.md). It grows when one that
// understands the version before would misread them.
const ProtocolVersion = 1

// Schema is the JSON Schema of what a program is given and of what it says.
//
//go:embed protocol.schema.json
var Schema []byte

// document is what a program is given on its standard input: one JSON object.
type document struct {
	Protocol int    `json:"protocol"`
	Trial    string `json:"trial,omitempty"` // identity, in a study
	Seed     uint64 `json:"seed"`            // below 2^53; of weights, order, augmentation: the same one gives the same result

	Spec    arch.Spec `json:"spec"`
	Network network   `json:"network"`

	Recipe        train.Recipe `json:"recipe"`         // resolved for the images
	LearningRates []float64    `json:"learning_rates"` // of each epoch, or with lr_update: step of each step, warm-up and all
	StepsPerEpoch int          `json:"steps_per_epoch"`
	Data          images       `json:"data"`

	Checkpoints string `json:"checkpoints"`       // folder for checkpoints, the trial's own; "": none are wanted
	Resume      bool   `json:"resume"`            // go on from the checkpoint there, if there is one
	Init        string `json:"init,omitempty"`    // safetensors file of initial weights
	Weights     string `json:"weights,omitempty"` // safetensors file to write the final weights to
	Steps       int    `json:"steps,omitempty"`   // end after so many, counted from the first
	Final       bool   `json:"final"`             // evaluate the test images, too
	Threads     int    `json:"threads"`           // that the program should use
}

// network is the expanded network.
type network struct {
	Input      Input            `json:"input"`
	Complexity graph.Complexity `json:"complexity"`
	Layers     []layer          `json:"layers"`  // in an order in which they can be computed; the last one gives the logits
	Tensors    []tensor         `json:"tensors"` // parameters, then running statistics, with the names of netspace's weight files
}

// layer is an op. Convolutions and poolings pad by (kernel - 1) / 2 on each side.
type layer struct {
	Op         string   `json:"op"`
	Name       string   `json:"name,omitempty"`
	In         []int    `json:"in"`  // layers that it reads
	Out        [3]int   `json:"out"` // channels, height, width
	Kernel     int      `json:"kernel,omitempty"`
	Stride     int      `json:"stride,omitempty"`
	Groups     int      `json:"groups,omitempty"`
	Bias       bool     `json:"bias,omitempty"`
	Activation string   `json:"activation,omitempty"`
	Rate       float64  `json:"rate,omitempty"`
	Epsilon    float64  `json:"epsilon,omitempty"`
	Tensors    []string `json:"tensors,omitempty"` // weight, bias; or gamma, beta, running mean, running variance
}

// tensor is a parameter, or a statistic.
type tensor struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
	// Role is conv_weight, linear_weight, bias, gamma, beta or statistic: it decides initialisation and weight decay.
	Role       string `json:"role"`
	EndsBranch bool   `json:"ends_branch,omitempty"` // gamma of the last BN of a residual branch
}

// images says which images are used.
type images struct {
	Data
	Path       string    `json:"path"` // where netspace reads them; "" if it does not
	Channels   int       `json:"channels"`
	Height     int       `json:"height"`
	Width      int       `json:"width"`
	Classes    int       `json:"classes"`
	Mean       []float32 `json:"mean,omitempty"` // per channel, of values scaled to [0, 1]
	Std        []float32 `json:"std,omitempty"`
	Train      int       `json:"train"`
	Validation int       `json:"validation"`
	Test       int       `json:"test,omitempty"`
}

var roleNames = map[graph.Role]string{graph.ConvWeight: "conv_weight", graph.LinearWeight: "linear_weight", graph.Bias: "bias", graph.Gamma: "gamma", graph.Beta: "beta"}

// expand lists the layers of a network.
func expand(g *graph.Graph, in Input) network {
	n := network{Input: in, Complexity: g.Complexity()}
	for i := range g.Nodes {
		v := &g.Nodes[i]
		l := layer{Op: v.Op.String(), Name: v.Name, In: v.In, Out: [3]int{v.C, v.H, v.W}, Kernel: v.Kernel, Stride: v.Stride,
			Groups: v.Groups, Bias: v.Bias, Rate: v.Rate, Epsilon: v.Epsilon}
		if v.In == nil {
			l.In = []int{}
		}
		if v.Op == graph.OpActivation {
			l.Activation = v.Act.String()
		}
		for _, p := range v.Params {
			l.Tensors = append(l.Tensors, g.Params[p].Name)
		}
		for _, b := range v.Buffers {
			l.Tensors = append(l.Tensors, g.Buffers[b].Name)
		}
		n.Layers = append(n.Layers, l)
	}
	for _, p := range g.Params {
		n.Tensors = append(n.Tensors, tensor{p.Name, p.Shape, roleNames[p.Role], p.EndsBranch})
	}
	for _, b := range g.Buffers {
		n.Tensors = append(n.Tensors, tensor{Name: b.Name, Shape: b.Shape, Role: "statistic"})
	}
	return n
}

// describe makes the document of a task for its images.
func (t Task) describe(data *dataset.Data, dir string) (document, error) {
	g, err := t.Graph(data.Info)
	if err != nil {
		return document{}, err
	}
	info := data.Info
	d := document{
		Protocol: ProtocolVersion, Trial: t.ID, Seed: t.Seed, Spec: t.Spec, Network: expand(g, InputOf(info)), Recipe: t.Recipe.Resolve(info),
		StepsPerEpoch: data.Train.Len() / t.Recipe.Batch,
		Data: images{Data: t.Data, Path: dataset.Path(t.Data.Name), Channels: info.Channels, Height: info.Height, Width: info.Width, Classes: info.Classes,
			Mean: info.Mean, Std: info.Std, Train: data.Train.Len(), Test: data.TestImages},
		Checkpoints: dir, Resume: dir != "" && !t.Fresh, Init: t.Init, Weights: t.Weights, Steps: t.Steps, Final: t.Final, Threads: max(1, t.Threads),
	}
	if data.Val != nil {
		d.Data.Validation = data.Val.Len()
	}
	steps := 1
	if t.Recipe.LRUpdate == train.PerStep {
		steps = d.StepsPerEpoch
	}
	for epoch := range t.Recipe.Epochs {
		for step := range steps {
			d.LearningRates = append(d.LearningRates, t.Recipe.StepLR(epoch, step, steps))
		}
	}
	return d, nil
}

// said is a line of what a program says on its standard output: a JSON object with a member "event". Other lines are ignored.
type said struct {
	Event string `json:"event"` // progress, epoch, alive, result, failed

	Done            float64 `json:"done"`              // of progress: share of the whole training, [0, 1]
	ImagesPerSecond float64 `json:"images_per_second"` // of progress and result: of training steps
	Loss            float64 `json:"loss"`              // of progress: training loss so far; of result: validation loss
	LR              float64 `json:"lr"`

	Epoch      int      `json:"epoch"` // of epoch: from 1
	TrainLoss  float64  `json:"train_loss"`
	TrainError float64  `json:"train_error"` // percent
	ValLoss    float64  `json:"val_loss"`
	ValError   *float64 `json:"val_error"` // percent; absent if the epoch was not evaluated
	ValError5  float64  `json:"val_error5"`

	Error  *float64       `json:"error"` // of result: on the validation images at the end, percent
	Error5 float64        `json:"error5"`
	Steps  int            `json:"steps"`
	Test   *train.Metrics `json:"test"`

	Cause  Cause  `json:"cause"` // of failed: diverged, refused or out of memory
	Reason string `json:"reason"`
}
