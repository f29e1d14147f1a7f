package launchd

// Surroundings is what decides where a job belongs that is loaded nowhere. The library
// does not look at its own: a command knows them from its environment.
type Surroundings struct {
	UID int  // whose job it is
	SSH bool // the caller came over ssh
	// ConsoleOwner is the uid that owns /dev/console, which loginwindow gives to the user
	// who is logged in at the screen; -1 if that is not known.
	ConsoleOwner int
}

// Places returns the domains in which to load an agent, the best first: gui/uid, and
// user/uid for the case that gui/uid does not exist ([ErrNoDomain]). Over ssh it is user/uid alone,
// unless that user is logged in at the screen: launchd can have a gui domain then that
// the job would be lost in. A uid that cannot be one gives no domain.
//
// Sources: Homebrew, services/system.rb (the same choice); launchd-protocol.md 7.4.
func Places(s Surroundings) []Domain {
	gui, background := GUI(s.UID), User(s.UID)
	switch {
	case gui.IsZero():
		return nil
	case s.SSH && s.ConsoleOwner != s.UID:
		return []Domain{background}
	}
	return []Domain{gui, background}
}
