package main

import (
	"embed"
	"path"

	"github.com/hermes-gw/hermes-gw/internal/spell"
)

// shells are the scripts that make a shell ask for completions. What there is to complete is not
// in them: they ask completeVerb.
//
//go:embed completion/bash completion/zsh completion/fish
var shells embed.FS

var shellNames = []string{"bash", "zsh", "fish"}

// runCompletion prints a shell's script.
func runCompletion(c *command) report {
	script, err := shells.ReadFile(path.Join("completion", path.Base(c.args[0])))
	if err != nil {
		remedy := "There is a script for bash, zsh and fish."
		if like := spell.Nearest(c.args[0], shellNames); like != "" {
			remedy = "Did you mean " + like + "? " + remedy
		}
		return report{err: usage(remedy, "there is no script for the shell %q", c.args[0])}
	}
	return report{text: string(script)}
}
