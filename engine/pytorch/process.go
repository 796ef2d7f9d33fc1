package pytorch

import (
	"bufio"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os/exec"
	"strconv"
	"time"

	"netspace/engine"
	"netspace/graph"
	"netspace/internal/tail"
)

//go:embed program.py
var source string

// request is the line in front of the values that program.py is given.
type request struct {
	Op      string `json:"op"`
	Program int    `json:"program"`
	Threads int    `json:"threads"`
	Sizes   []int  `json:"sizes"` // of the arrays that follow

	Layers    []graph.Layer  `json:"layers,omitempty"`
	Tensors   []graph.Tensor `json:"tensors,omitempty"`
	Batch     int            `json:"batch,omitempty"`
	Inference bool           `json:"inference"`
	Momentum  float64        `json:"momentum"`
	Fixed     []int          `json:"fixed"` // batch norms that normalise by their running statistics, by layer

	Logits bool        `json:"logits"`
	Update *update     `json:"update,omitempty"`
	Mode   engine.Mode `json:"mode"`
	Set    engine.Set  `json:"set"`
	Name   string      `json:"name,omitempty"`
}

// update is an engine.Update.
type update struct {
	Optimizer engine.Optimizer `json:"optimizer"`
	LR        float64          `json:"lr"`
	Momentum  float64          `json:"momentum"`
	Nesterov  bool             `json:"nesterov"`
	Beta1     float64          `json:"beta1"`
	Beta2     float64          `json:"beta2"`
	Epsilon   float64          `json:"epsilon"`
	Step      int              `json:"step"`
	Decay     decay            `json:"decay"`
	ClipNorm  float64          `json:"clip_norm"`
	Rates     []float64        `json:"rates"` // null: 1 for all
	EMADecay  float64          `json:"ema_decay"`
}

type decay struct {
	Weight float64 `json:"weight"`
	Norm   float64 `json:"norm"`
	Bias   float64 `json:"bias"`
}

// answer is the line in front of the values that come back.
type answer struct {
	Size   int    `json:"size"`   // of the array that follows
	Number number `json:"number"` // loss, norm or bytes
	Error  string `json:"error"`
	Memory bool   `json:"memory"` // the error is that there is not enough of it
}

// number is one that may be no number, which JSON lacks.
type number float64

func (n *number) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(string(text), 64)
	*n = number(v)
	return err
}

// hello is the first line: what PyTorch computes on.
type hello struct {
	Device    string           `json:"device"`
	Precision engine.Precision `json:"precision"`
	Library   string           `json:"library"`
	ISA       string           `json:"isa"`
	GPUs      int              `json:"gpus"`
	Error     string           `json:"error"`
}

// process is program.py at work. It ends when its input does, also when this process is killed.
type process struct {
	hello hello
	cmd   *exec.Cmd
	to    io.WriteCloser
	in    *bufio.Writer
	out   *bufio.Reader
	log   tail.Writer
	dead  error // once it is gone
	bytes []byte
}

// interpreter finds a Python that has PyTorch and numpy.
func interpreter(want string) (string, error) {
	candidates := []string{want}
	if want == "" {
		candidates = []string{"python3", "/usr/bin/python3"}
	}
	const look = "import importlib.util as i, sys; sys.exit(any(i.find_spec(m) is None for m in ('torch', 'numpy')))"
	var reason string
	for _, python := range candidates {
		path, err := exec.LookPath(python)
		if err != nil {
			reason = err.Error()
			continue
		}
		if exec.Command(path, "-c", look).Run() == nil {
			return path, nil
		}
		reason = path + " has no PyTorch and numpy (Debian: python3-torch)"
	}
	return "", &engine.ErrUnavailable{Engine: Name, Reason: reason}
}

// start starts program.py and waits until it is ready.
func start(c Config) (*process, error) {
	python, err := interpreter(c.Python)
	if err != nil {
		return nil, err
	}
	word := func(s string) string {
		if s == "" {
			return Auto
		}
		return s
	}
	p := &process{cmd: exec.Command(python, "-c", source, word(c.Device), word(c.Precision))}
	p.cmd.Stderr = &p.log
	p.cmd.WaitDelay = time.Second
	to, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("pytorch: %w", err)
	}
	from, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("pytorch: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, &engine.ErrUnavailable{Engine: Name, Reason: err.Error()}
	}
	p.to, p.in, p.out = to, bufio.NewWriterSize(to, 1<<16), bufio.NewReaderSize(from, 1<<16)
	if err := p.line(&p.hello); err != nil {
		return nil, &engine.ErrUnavailable{Engine: Name, Reason: p.end(err).Error()}
	}
	if p.hello.Error != "" {
		p.close()
		return nil, &engine.ErrUnavailable{Engine: Name, Reason: p.hello.Error}
	}
	return p, nil
}

func (p *process) died() bool { return p.dead != nil }

// call sends a request with arrays and takes the answer, whose array goes into out.
func (p *process) call(r request, arrays [][]float32, out []float32) (a answer, err error) {
	if p.dead != nil {
		return a, p.dead
	}
	r.Sizes = []int{}
	for _, x := range arrays {
		r.Sizes = append(r.Sizes, len(x))
	}
	head, err := json.Marshal(r)
	if err != nil {
		return a, fmt.Errorf("pytorch: %s: %w", r.Op, err)
	}
	p.in.Write(append(head, '\n'))
	for _, x := range arrays {
		p.bytes = p.bytes[:0]
		for _, v := range x {
			p.bytes = binary.LittleEndian.AppendUint32(p.bytes, math.Float32bits(v))
		}
		p.in.Write(p.bytes)
	}
	if err := p.in.Flush(); err != nil { // of all writes
		return a, p.end(err)
	}
	if err := p.line(&a); err != nil {
		return a, p.end(err)
	}
	switch {
	case a.Memory:
		return a, &MemoryError{a.Error}
	case a.Error != "":
		return a, fmt.Errorf("pytorch: %s: %s", r.Op, a.Error)
	case a.Size != len(out):
		return a, p.end(fmt.Errorf("%s gave %d values, not %d", r.Op, a.Size, len(out)))
	}
	p.bytes = append(p.bytes[:0], make([]byte, 4*len(out))...)
	if _, err := io.ReadFull(p.out, p.bytes); err != nil {
		return a, p.end(err)
	}
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(p.bytes[4*i:]))
	}
	return a, nil
}

func (p *process) line(to any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, to)
}

// end makes an end of a process with which talking failed, and says how it ended.
func (p *process) end(err error) error {
	p.to.Close()
	timer := time.AfterFunc(time.Second, func() { p.cmd.Process.Kill() })
	_ = p.cmd.Wait()
	timer.Stop()
	p.dead = &DiedError{How: err.Error(), State: p.cmd.ProcessState, Log: p.log.Lines()}
	return p.dead
}

// close ends a process that has nothing to do.
func (p *process) close() {
	p.to.Close()
	go func() { _ = p.cmd.Wait() }()
}
