package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"netspace/arch"
	"netspace/internal/tinydata"
	"netspace/train"
	"netspace/weights/safetensors"
)

// The test program is also the programs of the trainers that are tested.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "as-trainer" {
		os.Exit(asTrainer(os.Args[2]))
	}
	os.Exit(m.Run())
}

// asTrainer is a program that counts epochs instead of training, and behaves in a way.
func asTrainer(behaviour string) int {
	if behaviour == "deaf" {
		signal.Ignore(syscall.SIGTERM)
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	var task struct {
		Seed        uint64
		Checkpoints string
		Resume      bool
		Recipe      struct {
			Epochs int
			LR     float64
		}
		Init, Weights string
		Frozen        []string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&task); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 9
	}
	say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	file := filepath.Join(task.Checkpoints, "epoch")
	done := 0
	text, err := os.ReadFile(file)
	if err == nil && task.Resume && behaviour != "forgetful" {
		done, _ = strconv.Atoi(string(text))
	}
	interrupted := filepath.Base(task.Checkpoints) == "third" && err != nil // by Check, which may take its time
	switch behaviour {
	case "garbage":
		fmt.Println("a library that greets {\n{}\n[1]\n{\"event\":7}\nnull\n\x00\xff\n" + strings.Repeat("x", 3<<20))
	case "crash":
		fmt.Fprintln(os.Stderr, "the last words")
		return 3
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "wrong":
		say(`{"event":"result","error":101}`)
		return 0
	case "oom":
		say(`{"event":"failed","cause":"out of memory","reason":"8 GB are not enough"}`)
		return 0
	}
	if task.Recipe.LR > 1e20 {
		say(`{"event":"failed","cause":"diverged","reason":"the loss is not a number"}`)
		return 0
	}
	last := 0.0
	for e := 1; e <= task.Recipe.Epochs; e++ {
		last = float64(task.Seed%10) + 80/float64(e)
		if behaviour == "random" {
			last += float64(time.Now().UnixNano()%1000) / 1000
		}
		if e <= done {
			continue
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-stop.Done():
			return 75
		}
		say(`{"event":"progress","done":%v,"images_per_second":10}`, (float64(e)-0.5)/float64(task.Recipe.Epochs))
		if err := os.WriteFile(file, []byte(strconv.Itoa(e)), 0o644); err != nil {
			return 1
		}
		say(`{"event":"epoch","epoch":%d,"train_loss":1,"train_error":50,"val_error":%v}`, e, last)
		if behaviour == "deaf" && e == 1 {
			time.Sleep(time.Minute)
		}
		if interrupted {
			<-stop.Done()
			return 75
		}
	}
	if task.Weights != "" && behaviour != "weightless" {
		if err := finalWeights(task.Init, task.Weights, task.Frozen, behaviour == "thaws"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 9
		}
	}
	say(`{"event":"result","error":%v}`, last)
	if behaviour == "falls over" {
		return 1
	}
	return 0
}

// finalWeights writes weights that were trained as it were, from initial ones.
func finalWeights(from, to string, frozen []string, thaw bool) error {
	f, err := safetensors.ReadFile(from)
	if err != nil {
		return err
	}
	for _, x := range f.Tensors {
		if thaw || !slices.Contains(frozen, x.Name) {
			x.Data[0] ^= 1 // of the first number's least significant byte
		}
	}
	return safetensors.WriteFile(to, f)
}

// behaving is the trainer of a behaviour.
func behaving(behaviour string) Command {
	return Command{Argv: []string{os.Args[0], "as-trainer", behaviour}}
}

func tinyTask(t *testing.T) Task {
	t.Helper()
	base := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(base, "cache"))
	images := filepath.Join(base, "images")
	tinydata.Write(t, images, 96)
	spec, err := arch.ParseSpec([]byte("{family: regnet, depth: 3, w0: 8, wa: 8, wm: 2, group_width: 4, se: 0.25, stem: {type: cifar, width: 8}}"), "")
	if err != nil {
		t.Fatal(err)
	}
	task := Task{Seed: 3, Spec: spec, Data: Data{Name: images, Train: 64, Validation: 32}, Recipe: train.DefaultRecipe()}
	task.Recipe.Epochs, task.Recipe.Batch, task.Recipe.LRUpdate = 4, 16, train.PerStep
	return task
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	task := tinyTask(t)
	for behaviour, faults := range map[string]string{
		"works": "", "garbage": "", "falls over": "",
		"random":     "2 4",
		"forgetful":  "4",
		"crash":      "1 2 3 4 5 6",
		"wrong":      "1 2 3 4 5 6",
		"thaws":      "6",
		"weightless": "6",
	} {
		var found []string
		n := 0
		c := behaving(behaviour)
		c.Grace = time.Minute // on a machine that does other things
		err := Check(t.Context(), c, task, t.TempDir(), func(f Finding) {
			if n++; !f.OK {
				found = append(found, strconv.Itoa(n))
			}
			if behaviour == "crash" && n != 2 && n != 4 && !strings.Contains(f.Log, "the last words") {
				t.Errorf("%+v does not tell the last words", f)
			}
		})
		if err != nil || n != 6 || strings.Join(found, " ") != faults {
			t.Errorf("%s: %d checks, %v; faults %v, want %s", behaviour, n, err, found, faults)
		}
	}
}

func TestCommandEnds(t *testing.T) {
	task := tinyTask(t)
	ignore := func(train.Progress) {}
	for behaviour, cause := range map[string]Cause{"crash": Crashed, "killed": Killed, "wrong": Crashed} {
		_, err := behaving(behaviour).Train(t.Context(), task, t.TempDir(), ignore)
		var lost *LostError
		if !errors.As(err, &lost) || lost.Cause != cause {
			t.Errorf("%s: %v", behaviour, err)
		}
	}
	_, err := behaving("oom").Train(t.Context(), task, t.TempDir(), ignore)
	var failure *Failure
	if !errors.As(err, &failure) || failure.Cause != OutOfMemory || err.Error() != "8 GB are not enough" {
		t.Errorf("out of memory: %v", err)
	}
	_, err = Command{Argv: []string{"/nowhere/trainer"}}.Train(t.Context(), task, "", ignore)
	var start *StartError
	if !errors.As(err, &start) {
		t.Errorf("no program: %v", err)
	}
	// One that does not stop is ended.
	ctx, cancel := context.WithCancel(t.Context())
	c := behaving("deaf")
	c.Grace = 50 * time.Millisecond
	if _, err := c.Train(ctx, task, t.TempDir(), func(p train.Progress) {
		if p.Finished != nil {
			cancel()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("deaf: %v", err)
	}
	cancel()
}

// What a program is given, and what it says, is as the schema states.
func TestDocumentsFitTheSchema(t *testing.T) {
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("protocol.json", schema); err != nil {
		t.Fatal(err)
	}
	protocol, err := compiler.Compile("protocol.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(text []byte) {
		t.Helper()
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := protocol.Validate(doc); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	task := tinyTask(t)
	data, err := task.openData(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	task.Recipe.Freeze = []string{"stem.*"}
	_, doc, err := task.describe(data, "/checkpoints")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	check(text)
	if want := []string{"stem.conv.weight", "stem.bn.weight", "stem.bn.bias", "stem.bn.running_mean", "stem.bn.running_var"}; !slices.Equal(doc.Frozen, want) {
		t.Errorf("frozen are %v, not %v", doc.Frozen, want)
	}
	last := doc.Network.Layers[len(doc.Network.Layers)-1]
	if len(doc.LearningRates) != 16 || doc.Data.Train != 64 || last.Out != [3]int{tinydata.Classes, 1, 1} || last.Op != "linear" {
		t.Errorf("%d learning rates, %d training images, last layer %+v", len(doc.LearningRates), doc.Data.Train, last)
	}
	for _, l := range doc.Network.Layers {
		for _, name := range l.Tensors {
			found := false
			for _, tensor := range doc.Network.Tensors {
				found = found || tensor.Name == name
			}
			if !found {
				t.Errorf("layer %s has tensor %s, which is not listed", l.Name, name)
			}
		}
	}
	c := behaving("works")
	c.Said = func(line []byte) { check(line) }
	if _, err := c.Train(t.Context(), task, t.TempDir(), func(train.Progress) {}); err != nil {
		t.Fatal(err)
	}
}
