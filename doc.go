// Package hermesgw is where the Hermes gateways get their restart policy: homes,
// profiles, labels, ownership and results, for a program that embeds it. It holds
// nothing yet; package launchd restarts any job of launchd, by its target.
package hermesgw
