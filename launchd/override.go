package launchd

import (
	"context"
	"fmt"
	"strings"
)

// Overrides lists the labels of a domain that were enabled or disabled by name, in
// launchd's order (828). A label that is not there is enabled unless its plist says
// Disabled. A row that cannot be read is an error, never a shorter list.
//
// Request, reply, errors and sources are those of [Client.PrintDisabled].
func (c *Client) Overrides(ctx context.Context, d Domain) ([]Override, error) {
	text, err := c.PrintDisabled(ctx, d)
	if err != nil {
		return nil, err
	}
	list, err := parseDisabled(text)
	if err != nil {
		return nil, fmt.Errorf("print-disabled %s: %w", d, err)
	}
	return list, nil
}

// parseDisabled reads the text of launchctl print-disabled: the block of
// [ParseDomain], with other blocks beside it on newer systems, and indented or not.
func parseDisabled(text string) ([]Override, error) {
	const head = "disabled services = {"
	lines := strings.Split(text, "\n")
	for n, line := range lines {
		indent, isHead := strings.CutSuffix(line, head)
		if !isHead || strings.Trim(indent, "\t") != "" {
			continue
		}
		var list []Override
		for _, row := range lines[n+1:] {
			if row == indent+"}" {
				return list, nil
			}
			item, inside := strings.CutPrefix(row, indent+"\t")
			o, ok := parseOverride(item)
			if !inside || !ok {
				return nil, fmt.Errorf("cannot read the row %q of launchd's text", clip(row))
			}
			list = append(list, o)
		}
		return nil, fmt.Errorf("launchd's text has no end of the disabled services block")
	}
	return nil, fmt.Errorf("%w: it has no block of disabled services", errNotPrinted)
}
