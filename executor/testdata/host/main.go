// A program that runs the study of its first argument in the folder of its second one. FORGET=1 in
// its environment makes it a program that does not know of workers.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"netspace/executor"
	"netspace/study"
	"netspace/trial"
)

func main() {
	if os.Getenv("FORGET") == "" {
		executor.WorkerMain(new(trial.Any))
	}
	if err := run(context.Background(), os.Getenv("STUDY"), os.Getenv("FOLDER")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file, dir string) error {
	r, err := study.Start(ctx, study.Request{File: file, Dir: dir, Engine: "reference"})
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Execute(ctx, executor.Local{Workers: 2}, func(e study.Event) { fmt.Println(e.Kind) })
}
