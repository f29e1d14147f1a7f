// Package launchdtest serves a model of launchd to a test, so that a program that
// restarts jobs with package launchd can be tested on any Linux or macOS machine:
//
//	l := launchdtest.Start(t)
//	job := l.Job("org.example.agent", "/usr/local/bin/agent")
//	result, err := l.Client.Restart(ctx, job, launchd.RestartOptions{})
//
// The jobs are real processes of the current user; everything is stopped and reaped
// at the end of the test. A program that takes the address of a launchd is given
// [Launchd.Address].
//
// It is a model and not macOS: it answers what public sources say that launchd
// answers, knows no Mach ports, no sessions and no code signing, and a test that
// passes here has not been run against Apple's launchd. Nothing here touches the
// launchd of the machine, on a Mac neither.
//
// What launchd seldom does can be had by options: answers that are late, wrong or
// missing ([Faults]), refusals ([Deny]), a user without a graphical session
// ([NoGUI]), a replaced program that may not run any more ([PinCode]), and others.
package launchdtest
