package main

import "fmt"

func runVersion(c *command) report {
	v := c.env.buildVersion()
	if c.opts.json {
		return report{fields: fields{Release: v}}
	}
	return report{text: fmt.Sprintf("hermes-gw %s\n", v)}
}

func runHelp(c *command) report {
	if len(c.args) == 0 {
		return helpReport(overview())
	}
	v, err := findVerb(c.args[0])
	if err != nil {
		return report{err: err}
	}
	return helpReport(v.helpPage())
}

func helpReport(page string) report {
	return report{text: page, fields: fields{Help: page}}
}
