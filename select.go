package hermesgw

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// Selection says which jobs are meant. The zero value is the gateway of [Install].Home.
type Selection struct {
	// All are all gateways of the installation; nothing else may be set with it.
	All bool
	// Profiles are names of profiles.
	Profiles []string
	// Targets are jobs of any kind. One without a Domain is looked for in gui/UID, then user/UID,
	// then system, and must not be in both of the first two. A gateway of another installation
	// is restarted, with a warning, if its label says which one it is: if no profile of this
	// installation would have the same.
	Targets []launchd.Target
}

// ErrSelection: a Selection has All and something else.
var ErrSelection = errors.New("all gateways, or some of them, not both")

// item is one job on its way through a restart.
type item struct {
	Gateway
	asked   string         // as it was named, until its target is known
	place   launchd.Domain // that was named; the zero value leaves it to launchd, or to launchd.Places
	gateway bool           // its label is a gateway's: ownership, readiness and drains apply
	ours    bool           // its label is that of a profile of this installation, or it was found among its gateways
	inside  bool           // the caller runs in it
	refusal error          // why it is not restarted, found before the first request
	outcome launchd.Outcome
}

func (i *item) name() string {
	if i.Target.Label == "" || i.Target.Domain.IsZero() {
		return i.asked
	}
	return i.Target.String()
}

// refuse ends an item before anything was sent about it.
func (i *item) refuse(outcome launchd.Outcome, err error) {
	if i.refusal == nil {
		i.outcome, i.refusal = outcome, err
	}
}

// choose finds what is selected, and everything that must be known of it.
func (h *Hermes) choose(ctx context.Context, s Selection) (items []*item, fleet *Fleet, err error) {
	if s.All {
		if len(s.Profiles)+len(s.Targets) > 0 {
			return nil, nil, ErrSelection
		}
		found, err := h.Discover(ctx)
		if err != nil {
			return nil, &found, err
		}
		for _, g := range found.Gateways {
			other := found.RunsFor(g.Home)
			switch {
			case g.Loaded():
			case g.ServedBy != "": // it is restarted with the one that serves it
				found.Warnings = append(found.Warnings, fmt.Sprintf("Profile %s has no job of its own: %s serves it.", g.Profile, g.ServedBy))
				continue
			case other != nil:
				found.Warnings = append(found.Warnings, fmt.Sprintf("%s is not loaded, and %s runs for the same home, so it is left out.", g.Label, other.Target))
				continue
			}
			items = append(items, &item{Gateway: g, asked: g.Label, gateway: true, ours: true})
		}
		for _, g := range found.Others {
			if g.bearsOurs() {
				items = append(items, &item{Gateway: g, asked: g.Label, gateway: true, ours: true})
			}
		}
		return items, &found, nil
	}
	for _, name := range s.Profiles {
		items = append(items, h.ofProfile(name))
	}
	for _, t := range s.Targets {
		items = append(items, &item{Gateway: Gateway{Label: t.Label, Target: t}, asked: t.Label, place: t.Domain})
	}
	if len(items) == 0 {
		items = append(items, h.ofProfile(""))
	}
	var all sync.WaitGroup
	for n, i := range items {
		switch {
		case i.refusal != nil:
		case n < len(items)-1:
			all.Go(func() { h.look(ctx, i) })
		default: // most often the only one, which another thread would only delay
			h.look(ctx, i)
		}
	}
	all.Wait()
	return distinct(items), nil, nil
}

func (h *Hermes) ofProfile(name string) *item {
	p, err := h.in.Profile(name)
	i := &item{Gateway: Gateway{Label: p.Label, Target: launchd.Target{Label: p.Label}, Profile: p.Name, Home: p.Home}, asked: p.Label, gateway: true, ours: true}
	if err != nil { // no such profile is no such job
		i.asked = name
		i.refuse(launchd.OutcomeNotLoaded, err)
	}
	return i
}

// distinct keeps each job once, in the order in which they were named.
func distinct(items []*item) (once []*item) {
	seen := map[string]bool{}
	for _, i := range items {
		if !seen[i.name()] {
			seen[i.name()] = true
			once = append(once, i)
		}
	}
	return once
}

// look finds one job and reads what is known of it.
func (h *Hermes) look(ctx context.Context, i *item) {
	i.gateway = i.gateway || IsGatewayLabel(i.Label)
	if i.gateway {
		if p, ok := h.derived(i.Label); ok && !i.ours {
			i.Profile, i.Home, i.ours = p.Name, p.Home, true
		}
	}
	if i.Target.Domain.IsZero() {
		if err := h.locate(ctx, i); err != nil {
			i.refuse(outcomeOf(err), err)
			return
		}
	} else {
		i.Domains = []launchd.Domain{i.Target.Domain}
	}
	asking, cancel := briefly(ctx)
	defer cancel()
	job, err := h.client.Inspect(asking, i.Target)
	if err != nil {
		i.Domains = nil
		if i.gateway {
			h.readPlist(ctx, &i.Gateway)
			h.own(&i.Gateway)
		}
		err = h.client.Elsewhere(asking, i.Target, h.in.UID, err)
		if _, other := errors.AsType[*launchd.ElsewhereError](err); !other && errors.Is(err, launchd.ErrNotLoaded) {
			if _, enabled, asked := h.client.Enabled(asking, i.Target); asked == nil && !enabled {
				err = &launchd.Error{Op: "restart", Target: i.Target.String(), Code: xpc.ServiceDisabled}
			}
		}
		i.refuse(outcomeOf(err), h.notLoaded(ctx, i, err))
		return
	}
	i.Job = job
	i.job = jobIdentity(job)
	if i.gateway {
		h.readPlist(ctx, &i.Gateway)
		h.own(&i.Gateway)
	}
}

// locate finds the domain of a bare label.
func (h *Hermes) locate(ctx context.Context, i *item) error {
	asking, cancel := briefly(ctx)
	defer cancel()
	found, err := h.client.FindOne(asking, i.Label, h.in.UID)
	if err != nil {
		if refused(err) && i.gateway {
			h.readPlist(ctx, &i.Gateway)
			h.own(&i.Gateway)
		}
		return h.notLoaded(ctx, i, err)
	}
	i.Target, i.Domains = found, []launchd.Domain{found.Domain}
	return nil
}

// isUsers tells gui/UID and user/UID from the system's domain.
func isUsers(d launchd.Domain) bool { return d != launchd.System() }

// derived returns the profile that has the label.
func (h *Hermes) derived(label string) (Profile, bool) {
	if p, err := h.in.Profile(""); err == nil && p.Label == label {
		return p, true
	}
	profiles, _ := h.in.Profiles()
	for _, p := range profiles {
		if p.Label == label {
			return p, true
		}
	}
	return Profile{}, false
}

// notLoaded says what is to be done about a job that launchd does not have.
func (h *Hermes) notLoaded(ctx context.Context, i *item, err error) error {
	if _, other := errors.AsType[*launchd.ElsewhereError](err); other || !errors.Is(err, launchd.ErrNotLoaded) || !i.gateway {
		return err
	}
	e := &NotLoadedError{Target: i.Target, Plist: i.Plist, Err: err, asked: i.Label}
	if usual := h.places(); !i.place.IsZero() && (len(usual) == 0 || i.place != usual[0]) {
		e.asked = i.Target.String()
	}
	if i.Profile != "" { // a property list may be left of the time before
		if fleet, err := h.Discover(ctx); err == nil {
			for _, g := range fleet.Gateways {
				if g.Profile == i.Profile {
					i.ServedBy = g.ServedBy
				}
			}
		}
	}
	e.ServedBy = i.ServedBy
	return e
}

// NotLoadedError is about a gateway that launchd does not have. It is a [launchd.ErrNotLoaded].
type NotLoadedError struct {
	Target   launchd.Target
	Plist    string // its property list, if there is one
	ServedBy string // the label of the gateway that serves this profile, too
	Err      error

	asked string // with its domain if a label alone would go to another
}

func (e *NotLoadedError) Error() string {
	switch {
	case e.ServedBy != "":
		return fmt.Sprintf("%s has no job of its own: %s serves its profile", e.Target.Label, e.ServedBy)
	case e.Plist == "":
		return fmt.Sprintf("%v, and it has no property list", e.Err)
	}
	return e.Err.Error()
}

func (e *NotLoadedError) Unwrap() error { return e.Err }

// Remedy says in one sentence what to do.
func (e *NotLoadedError) Remedy() string {
	switch {
	case e.ServedBy != "":
		return fmt.Sprintf("Restart that one: %s.", command("restart", e.ServedBy))
	case e.Plist == "":
		return "Make its service with hermes gateway install."
	}
	return fmt.Sprintf("Load it with %s, or restart it with --bootstrap.", command("start", cmp.Or(e.asked, e.Target.Label)))
}

// ForeignError says that a gateway's job belongs to another installation.
type ForeignError struct {
	Target launchd.Target
	Home   string // that it pins
	Root   string // of this installation
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s belongs to another installation: it runs for %s, not for %s", e.Target, e.Home, e.Root)
}

// Remedy says in one sentence what to do.
func (e *ForeignError) Remedy() string {
	return fmt.Sprintf("If it is the one you mean, set HERMES_HOME to %s.", e.Home)
}

// Find finds the selected jobs, as Restart would, and what is known of them. What keeps one from
// being found or looked at is its Problem.
func (h *Hermes) Find(ctx context.Context, s Selection) ([]Gateway, error) {
	items, _, err := h.choose(ctx, s)
	if err != nil {
		return nil, err
	}
	var list []Gateway
	for _, i := range items {
		if i.refusal != nil {
			i.Problem = i.refusal
		}
		if i.Plist == "" && !i.gateway && i.Loaded() {
			h.readPlist(ctx, &i.Gateway)
		}
		list = append(list, i.Gateway)
	}
	return list, nil
}
