package launchd

import (
	"fmt"
	"strconv"
	"strings"
)

// DomainInfo is what launchd prints about a domain. A field that the text did not give is
// "", nil or 0.
type DomainInfo struct {
	Domain  Domain
	Type    string // "system", "user", "login" or "gui", "pid"
	Session string // "Aqua", "Background", "LoginWindow", "System"
	Handle  int    // of a graphical domain the audit session id, of others the user or process id
	Creator string // "loginwindow[536]"
	// ActiveCount and ServiceCount are launchd's counts of what runs and what is loaded.
	// Services can be fewer: launchd counts services of other domains, too.
	ActiveCount, ServiceCount *int
	Services                  []ListEntry // in launchd's order
	Overrides                 []Override  // in launchd's order
}

// Override is a label that was enabled or disabled by name, whatever its plist says.
type Override struct {
	Label   string // which need not be loaded
	Enabled bool   // false: it cannot be loaded
}

// ParseDomain reads what launchctl print says of a domain, and [Client.PrintDomain]
// returns (828). As in [ParsePrint] only lines of exactly one tab are the domain's own,
// and what is not known is passed over.
//
// The error says that it is no such text, that its end is missing, or that a service or an
// override cannot be read: a list is never shorter than it should be.
//
// Sources: launchd-protocol.md 6.3a, from captures of macOS 13 to 26; testdata/print.
func ParseDomain(text string) (DomainInfo, error) {
	p, err := readPrinted(text)
	if err != nil {
		return DomainInfo{}, err
	}
	d, err := ParseDomainTarget(p.header)
	if err != nil {
		return DomainInfo{}, fmt.Errorf("%w: it is about %q", errNotPrinted, clip(p.header))
	}
	info := DomainInfo{Domain: d}
	services := false
	for {
		name, value, ok := p.field()
		if !ok {
			return info, nil
		}
		switch {
		case name == "type":
			info.Type = value
		case name == "session":
			info.Session = value
		case name == "creator":
			info.Creator = value
		case name == "handle":
			info.Handle, _ = count(value)
		case name == "active count":
			info.ActiveCount = counted(value)
		case name == "service count":
			info.ServiceCount = counted(value)
		case name == "services" && value == "{" && !services:
			services = true
			info.Services, err = p.services()
		case name == "disabled services" && value == "{" && info.Overrides == nil:
			info.Overrides, err = p.overrides()
		}
		if err != nil {
			return DomainInfo{}, err
		}
	}
}

func counted(s string) *int {
	n, ok := count(s)
	if !ok {
		return nil
	}
	return &n
}

// services takes the rows of the services block.
func (p *printed) services() (list []ListEntry, err error) {
	err = p.block("services", func(row string) bool {
		e, ok := parseService(row)
		list = append(list, e)
		return ok
	})
	return list, err
}

// overrides takes the rows of the disabled services block.
func (p *printed) overrides() (list []Override, err error) {
	err = p.block("disabled services", func(row string) bool {
		o, ok := parseOverride(row)
		list = append(list, o)
		return ok
	})
	return list, err
}

// block gives every row of a block to read, which must understand it.
func (p *printed) block(name string, read func(row string) bool) error {
	for {
		before := p.rest
		row, ok := p.inside()
		switch {
		case !ok && p.rest == before:
			return fmt.Errorf("launchd's text has no end of the %s block", name)
		case !ok:
			return nil
		case row == "":
		case !read(row):
			return fmt.Errorf("cannot read the row %q of launchd's text", clip(row))
		}
	}
}

// parseService reads a row of services: pid, status, tab, label.
func parseService(row string) (ListEntry, bool) {
	numbers, label, ok := strings.Cut(row, "\t")
	if !ok || label == "" {
		return ListEntry{}, false
	}
	pid, status, ok := strings.Cut(strings.TrimSpace(numbers), " ")
	status = strings.TrimSpace(status)
	if !ok || status == "" {
		return ListEntry{}, false
	}
	e := ListEntry{Label: label, LastExit: rowStatus(status)}
	if pid != "-" && pid != "-1" { // some systems print -1 for none, some 0
		n, err := strconv.ParseUint(pid, 10, 31)
		if err != nil {
			return ListEntry{}, false
		}
		e.PID = int(n)
	}
	return e, true
}

// parseOverride reads a row of disabled services: "LABEL" => disabled. A label may hold
// anything, so it is what stands between the first quote and the last " => ".
func parseOverride(row string) (Override, bool) {
	i := strings.LastIndex(row, "\" => ")
	label, quoted := strings.CutPrefix(row, "\"")
	if i < 1 || !quoted {
		return Override{}, false
	}
	o := Override{Label: label[:i-1]}
	switch row[i+len("\" => "):] {
	case "enabled", "false": // older systems tell whether it is disabled: => true, => false
		o.Enabled = true
	case "disabled", "true":
	default:
		return Override{}, false
	}
	return o, true
}
