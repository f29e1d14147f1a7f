package main

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// The schema names every verb that has --json, and every exit code. That the output keeps to it
// is a test of the module's root.
func TestSchemaNames(t *testing.T) {
	text, err := os.ReadFile("../../schema/report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs struct {
			Command struct {
				Properties struct {
					Command struct {
						Enum []string `json:"enum"`
					} `json:"command"`
					ExitCode struct {
						Enum []int `json:"enum"`
					} `json:"exit_code"`
				} `json:"properties"`
			} `json:"command"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	verbNames := []string{""} // of a command line without one
	for _, v := range verbs() {
		if slices.Contains(v.flags, flagJSON) {
			verbNames = append(verbNames, v.name)
		}
	}
	named := schema.Defs.Command.Properties.Command.Enum
	slices.Sort(verbNames)
	slices.Sort(named)
	if !slices.Equal(verbNames, named) {
		t.Errorf("verbs with --json: %q, in the schema: %q", verbNames, named)
	}
	var codes []int
	for _, row := range exitTable() {
		codes = append(codes, row.code)
	}
	inSchema := schema.Defs.Command.Properties.ExitCode.Enum
	slices.Sort(codes)
	slices.Sort(inSchema)
	if !slices.Equal(codes, inSchema) {
		t.Errorf("exit codes: %v, in the schema: %v", codes, inSchema)
	}
}
