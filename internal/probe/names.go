package probe

import (
	"slices"
	"strings"
)

// knownFields are the names of a job's own fields and blocks in launchd's print text
// (launchd-protocol.md 6.2, from the printing code of 26.1, and the captures in
// launchd/testdata/print).
var knownFields = strings.Split(`original
active count
copy count
path
type
managed_by
managedby_services
state
bundle id
extension point
controller
program
arguments
working directory
stdin path
stdout path
stderr path
container id
sandbox profile
global environment
inherited environment
default environment
environment
domain
asid
username
group
umask
minimum runtime
base minimum runtime
exit timeout
runs
successive crashes
pid
immediate reason
forks
execs
initialized
trampolined
started suspended
proxy started suspended
uses proxy
checked allocations
checked allocations reason
checked allocations flags
pended spawn
pended nondemand spawn
spawn reason filter
last exit code
last terminating signal
last exit reason
last jetsam exit details
semaphores
event triggers
endpoints
dynamic endpoints
pid-local endpoints
event channels
sockets
instances
retain only
resource coalition
jetsam coalition
spawn type
spawn role
jetsam priority
jetsam memory limit (active)
jetsam memory limit (inactive)
jetsam memory limit (active, soft)
jetsam memory limit (active, hard)
jetsam memory limit (inactive, soft)
jetsam memory limit (inactive, hard)
jetsamproperties category
jetsam thread limit
cpumon
resource limits
run interval
exponential throttling grace limit
job state
properties`, "\n")

// knownProperties are the words of the properties line, from the same sources.
var knownProperties = strings.Split(`partial import
xpc bundle
keepalive
runatload
low priority i/o
supports transactions
supports pressured exit
inetd-compatible
abandon process group
event monitor
penalty box
launch only once
system support
inferred program
has spawn constraint
needs proxy
tle system
has provenance
exponential throttling
system service`, "\n")

// unknownNames are the names in a job's print text that no source so far has.
func unknownNames(text string) (fields, properties []string) {
	for line := range strings.Lines(text) {
		own, isOwn := strings.CutPrefix(strings.TrimRight(line, "\n"), "\t")
		name, value, isField := strings.Cut(own, " = ")
		if !isOwn || !isField || strings.HasPrefix(own, "\t") {
			continue
		}
		if !slices.Contains(knownFields, name) {
			fields = append(fields, name)
		}
		if name == "properties" {
			for word := range strings.SplitSeq(value, " | ") {
				if !slices.Contains(knownProperties, word) {
					properties = append(properties, word)
				}
			}
		}
	}
	return fields, properties
}
