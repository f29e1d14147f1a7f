package main

import "fmt"

func runVersion(c *command) report {
	v := c.env.buildVersion()
	if c.opts.json {
		return report{fields: fields{Release: v}}
	}
	return report{text: fmt.Sprintf("hermes-gw %s\n", v)}
}
