package space

import "netspace/metric"

// A candidate is an environment: one slice of numbers that priors are drawn
// into, networks are built from and expressions read. Its layout is fixed, so
// that a space costs no look-ups while it is sampled:
//
//	the slots below, then
//	stages asked for, stageFields numbers each, then
//	stages of the adjusted network, stageFields numbers each, then
//	the fields of the recipe that are parameters.
const (
	slotNone   = -1
	slotMetric = 0                          // one for each metric, by ID
	slotLevels = metric.Number + (iota - 2) // of a regnet
	slotResolution
	slotSE
	slotStemWidth
	slotHeadWidth
	slotDropPath
	slotDropout
	slotRadix
	slotW0
	slotWA
	slotWM
	slotDepth // the depth of a regnet; of an anynet that has one depth for all stages
	slotBottleneck
	slotGroupWidth
	slotStride
	firstStageSlot
)

// The fields of a stage in the environment.
const (
	fieldDepth = iota
	fieldWidth
	fieldStride
	fieldBottleneck
	fieldGroupWidth
	stageFields
)

var stageFieldNames = [stageFields]string{"depth", "width", "stride", "bottleneck", "group_width"}

// layout finds slots for a number of stages.
type layout struct{ stages int }

// asked is the slot of a field of stage i as it was drawn.
func (l layout) asked(i, field int) int { return firstStageSlot + i*stageFields + field }

// adjusted is the slot of a field of stage i of the network as it is built.
func (l layout) adjusted(i, field int) int { return l.asked(l.stages+i, field) }

// recipe is the slot of the k-th parameter of the recipe.
func (l layout) recipe(k int) int { return l.asked(2*l.stages, 0) + k }

// size of an environment with so many parameters of the recipe.
func (l layout) size(recipe int) int { return l.recipe(recipe) }

// phase says when a number of the environment is known.
type phase uint8

const (
	drawn   phase = iota // asked for, and the number of levels of a regnet
	built                // stages of a regnet, adjusted stages
	counted              // the metrics of complexity
)
