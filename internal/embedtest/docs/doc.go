// Package docs runs what the project's documents say: every command line of README.md,
// ARCHITECTURE.md, HERMES.md and the manual is taken out of the document and typed into a
// shell, in a fleet with an embedded launchd (package fleet). It has nothing but tests.
//
// For each document there is a script in testdata, in testscript's form. A script prepares
// what its document takes for granted, and has the lines of the document one after the
// other, in their order:
//
//	fleet [-C] [-fast] PROFILE...  a new installation with these profiles, and a shell in it
//	job TARGET PROGRAM...    a job besides
//	run 'LINE'               types the next line; it must succeed, or fail after !
//	in SHELL CODE 'LINE'     types the next line into another shell, after CODE
//	follow 'LINE' REGEXP     starts the next line, and interrupts it once its output fits
//	serve 'LINE' REGEXP      starts the next line, ending in &, and waits for its output
//	session                  the next block is a recorded session: the same comes out again
//	python [CODE]            runs the next block of Python, and then CODE
//	elsewhere 'LINE' MARK    the next line cannot be run here; the document says MARK before it
//	ci 'LINE'                the next line is one of .ci/run's
//	mention 'LINE'           the next line is only spoken of, or has a placeholder
//	end RUN ELSEWHERE MENTIONS
//
// A line that the script does not have fails the test, as does one that the document does
// not have, and end counts them: none is left out without a word.
//
// The documents write 501 for the reader's user id. UPDATE_DOCS=1 records the sessions anew.
package docs
