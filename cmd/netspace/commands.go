package main

import "github.com/spf13/cobra"

// commands lists every command, in the order of the help.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newModelsCmd(a),
		newComplexityCmd(a),
		newExplainCmd(a),
		newScaleCmd(a),
		newFitCmd(a),
		newConvertCmd(a),
		newSpaceCmd(a),
		newSampleCmd(a),
		newInitCmd(a),
		newTrainCmd(a),
		newEvalCmd(a),
		newExportCmd(a),
		newPredictCmd(a),
		newBenchCmd(a),
		newStudyCmd(a),
		newTrainerCmd(a),
		newCompareCmd(a),
		newDecideCmd(a),
		newDesignCmd(a),
		newSearchCmd(a),
		newPlanCmd(a),
		newRefineCmd(a),
		newReportCmd(a),
		newDoctorCmd(a),
	}
}
