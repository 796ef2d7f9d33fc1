package study

import "netspace/trial"

// Task is one attempt at one trial, with all that a worker needs to know.
type Task struct {
	trial.Task
	Dir     string `json:"dir"`     // study folder, absolute
	Host    string `json:"host"`    // Run.Host
	Attempt int    `json:"attempt"` // from 1
	Space   string `json:"space"`   // a population it belongs to, and its place there
	Index   int    `json:"index"`
}
