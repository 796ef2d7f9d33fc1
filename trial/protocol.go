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
	Memory      int64  `json:"memory,omitempty"`  // bytes that it may take, with all that it starts, or it is ended
	// Frozen are the tensors that the recipe's freeze and layer_rates keep as they are.
	Frozen []string `json:"frozen,omitempty"`
}

// network is the expanded network.
type network struct {
	Input      Input            `json:"input"`
	Complexity graph.Complexity `json:"complexity"`
	graph.Network
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

// describe makes the document of a task for its images, and the network that it describes.
func (t Task) describe(data *dataset.Data, dir string) (*graph.Graph, document, error) {
	g, err := t.Graph(data.Info)
	if err != nil {
		return nil, document{}, err
	}
	frozen, err := t.Recipe.Frozen(g)
	if err != nil {
		return nil, document{}, err
	}
	info := data.Info
	d := document{
		Protocol: ProtocolVersion, Trial: t.ID, Seed: t.Seed, Spec: t.Spec, Network: network{InputOf(info), g.Complexity(), g.Network()}, Recipe: t.Recipe.Resolve(info),
		StepsPerEpoch: data.Train.Len() / t.Recipe.Batch,
		Data: images{Data: t.Data, Path: dataset.Path(t.Data.Name), Channels: info.Channels, Height: info.Height, Width: info.Width, Classes: info.Classes,
			Mean: info.Mean, Std: info.Std, Train: data.Train.Len(), Test: data.TestImages},
		Checkpoints: dir, Resume: dir != "" && !t.Fresh, Init: t.Init, Weights: t.Weights, Steps: t.Steps, Final: t.Final, Threads: max(1, t.Threads), Memory: t.Memory, Frozen: frozen,
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
	return g, d, nil
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
