// Package study runs populations of trials and remembers them in a folder.
package study

// Population is the trials of one space of one study, in sample order.
type Population struct {
	Study  string // name of the study
	Space  string
	Trials []Trial
}
