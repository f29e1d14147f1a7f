package launchd

import (
	"strings"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// advice is what to do about a number; for some operations something else. "TARGET" and
// "PATH" stand for what the error is about.
type advice struct {
	text string
	by   []opAdvice
}

// opAdvice is what to do when the number came from a certain operation.
type opAdvice struct{ op, text string }

// adviceOn returns what to do about a number; its text is "" if there is nothing to say.
func adviceOn(code xpc.Errno) advice {
	if code < 0 || int(code) >= len(remedies) {
		return advice{}
	}
	return remedies[code]
}

// launchdLog is where launchd says why: launchd-protocol.md 7.6.
const launchdLog = "/var/log/com.apple.xpc.launchd/launchd.log"

const notYours = "Only root may change the system domain, and only a user or root that user's domains: try again with sudo, or name a domain of your own."

// noneFound is for a bootstrap's 5 that was looked into.
const noneFound = "launchd gives no reason, and none was found in the job, its domain or its property list: " + launchdLog + " has it; a label that was disabled under another name, or a property list that macOS quarantined, can be the cause."

const draining = "The job goes as soon as its process has exited: hermes-gw stop TARGET waits for that."

const noDomain = "This domain does not exist here: gui/UID needs that user to be logged in graphically (over ssh alone there is only user/UID)."

// remedies has a sentence for each number that users meet: launchd-protocol.md sections 1.3,
// 2, 5 and 7, and the reports in hermes.md section 3.
var remedies = [...]advice{
	xpc.EPERM: {text: "The job belongs to another user or to the system (try again with sudo), or it was started this very moment (try again).", by: []opAdvice{
		{opBootstrap, notYours},
		{opBootout, notYours},
	}},
	xpc.ENOENT: {text: "A file that launchd needs is not there: check PATH and the program that it names."},
	xpc.ESRCH: {text: "The job has no process: start it first.", by: []opAdvice{
		{opBootout, "There is nothing to unload: the job is not loaded in this domain."},
		{opRemove, "There is nothing to remove: the job is not loaded in this domain."},
		{opStart, "The job is not loaded in this domain: check the label, or load it with its property list."},
		{opStop, "The job is not loaded in this domain: check the label."},
	}},
	// A bootstrap that was looked into has noneFound.
	xpc.EIO:    {text: "launchd gives no reason: " + launchdLog + " has it, for root."},
	xpc.ENOMEM: {text: "launchd is short of memory: try again."},
	xpc.EACCES: {text: "launchd may not read PATH or run its program: check their modes and the folders above them."},
	xpc.EBUSY:  {text: "The job is busy in launchd: try again in a moment."},
	xpc.EINVAL: {text: "launchd did not accept the request as it is: check the target, and report this if the target is right."},
	xpc.EPIPE:  {text: "The connection to launchd broke: look at the job before you try again."},
	xpc.EDOM:   {text: "This launchd does not know the request: it is older or newer than this program expects."},
	xpc.ERANGE: {text: "The domain is in no state for this: try again in a moment."},
	xpc.EINPROGRESS: {text: "The job is being started or stopped right now: try again in a moment.", by: []opAdvice{
		{opBootout, draining},
	}},
	xpc.EEXIST: {text: "The job is loaded already: restart it, or unload it first if its property list changed."},
	xpc.EALREADY: {text: "The job is being stopped already: try again when its process is gone.", by: []opAdvice{
		{opBootstrap, "The job is loaded already: restart it, or unload it first if its property list changed."},
		{opBootout, draining},
	}},
	xpc.ENOTSUP:    {text: "This launchd no longer does this: there is no way to ask it."},
	xpc.ECANCELED:  {text: "Somebody else stopped the job before it was started: start it again if it is to run."},
	xpc.EOPNOTSUPP: {text: "launchd was told to start this job for other reasons only: look at its spawn reason filter with hermes-gw ctl print TARGET."},

	107:                     {text: "The app bundle is damaged: install the app again."},
	xpc.InvalidPath:         {text: "launchd takes an absolute path of a property list, or of a folder of them: check PATH."},
	xpc.InvalidPropertyList: {text: "The property list cannot be read: hermes-gw lint PATH says why."},
	110:                     {text: "The property list has no usable Label: hermes-gw lint PATH says why."},
	111:                     {text: "The property list names no program: give it ProgramArguments, or Program."},
	xpc.NoSuchDomain:        {text: noDomain},
	xpc.NoSuchService:       {text: "The job is not loaded in this domain: check the label and the domain, or load it with its property list."},
	114:                     {text: "The property list's UserName is no user of this Mac: make the user, or name another."},
	115:                     {text: "The property list's GroupName is no group of this Mac: make the group, or name another."},
	xpc.NotImplemented:      {text: "This launchd does not do this yet: update macOS, or do without."},
	xpc.BadResponse:         {text: "launchd's answer could not be read: look at the job with hermes-gw status, and report this."},
	xpc.ServiceDisabled:     {text: "The label is disabled: enable it first, with hermes-gw ctl enable TARGET."},
	121:                     {text: "launchd does not load property lists from there: put PATH into a LaunchAgents or LaunchDaemons folder."},
	xpc.BadOwnership:        {text: "Make the property list belong to the user of the domain (root for system) and writable by nobody else: chmod 0644."},
	123:                     {text: "This domain takes only certain property lists: load PATH into another."},
	xpc.DomainTearingDown:   {text: "The domain is going away: that user is logging out, or the system is shutting down; try again after the next login."},
	xpc.DomainUnsupported:   {text: "There is no such domain here, or it does not do this: gui/UID needs that user to be logged in graphically (over ssh alone there is only user/UID)."},
	xpc.RequestRetired:      {text: "This launchd no longer does this: there is no way to ask it."},
	127:                     {text: "Only jobs that came with macOS may do this: load the job into a domain of your own."},
	128:                     {text: "The path is not an app bundle: check PATH."},
	129:                     {text: "A newer version of the job is installed: remove the old one."},
	xpc.SeveralErrors:       {text: "Several jobs failed, each for its own reason: ask for one at a time to see it."},
	xpc.WrongSession:        {text: "The job's LimitLoadToSessionType names another kind of session: load it into the domain of that kind."},
	xpc.NotManaged:          {text: "launchd does not manage that process: name a job."},
	136:                     {text: "launchd does not allow this for a job that has one instance only: leave it as it is."},
	xpc.ServiceUnsupported:  {text: "This job does not support it: leave it as it is."},
	138:                     {text: "The job's property list keeps it from this kind of Mac: see its LimitLoadToHardware."},
	xpc.CannotExecute:       {text: "launchd does not start this job now: it runs once for each boot, or failed too often; hermes-gw ctl print TARGET tells."},
	xpc.InvalidName:         {text: "The label is reserved or has a character that launchd refuses: choose another."},
	xpc.Reentrancy:          {text: "libxpc cannot reach launchd from here: this program runs inside launchd's own start-up, or in a sandbox without it."},
	xpc.DevelopmentOnly:     {text: "Only development builds of macOS do this: there is no way to ask this one."},
	xpc.NotEntitled:         {text: "This launchd lets only programs of the system do this: use launchctl, which has the entitlement."},
	145:                     {text: "The job hides this from other programs: there is no way to ask for it."},
	xpc.OnDemandOnly:        {text: "The domain starts jobs on demand only until its session is set up: start the job with hermes-gw start TARGET."},
	147:                     {text: "The job belongs to another app: only that app may do this."},
	150:                     {text: "The job belongs to macOS and System Integrity Protection keeps it as it is: leave it alone."},
	152:                     {text: "The job's property list keeps it from this way of booting: see its LimitLoadToBootMode."},
	153:                     {text: "launchd itself does not know what went wrong: " + launchdLog + " may; try again once."},
	xpc.NotPlatformBinary:   {text: "This launchd lets only programs of the system do this: use launchctl, which has the entitlement."},
	155:                     {text: "macOS quarantined the property list or its program: check where they are from, then run xattr -d com.apple.quarantine on them."},
	156:                     {text: "launchd makes no domain for that user any more: let that user log in."},
	157:                     {text: "Only jobs on a list of Apple's may be in this domain: load the job into another."},
	158:                     {text: "The job's property list keeps it from this variant of macOS: see its LimitLoadToVariant."},
	xpc.SandboxDenied:       {text: "The sandbox of this program keeps it from that job: run the command outside of it."},
}

// Remedy says in one sentence what to do about e: about the first thing that was found, or
// about launchd's number. It is "" if there is nothing to say that the error does not say
// itself.
func (e *Error) Remedy() string {
	if len(e.Found) > 0 {
		return e.Found[0].Remedy
	}
	a := adviceOn(e.Code)
	text := a.text
	for _, special := range a.by {
		if special.op == e.Op {
			text = special.text
		}
	}
	if e.Code == xpc.EIO && e.looked {
		text = noneFound
	}
	target := e.Target
	if e.Op == opBootstrap { // it names the domain, and the commands want a job
		target += "/LABEL"
	}
	path := e.Path
	if path == "" {
		path = "the property list"
	}
	return strings.NewReplacer("TARGET", printable(target), "PATH", printable(path)).Replace(text)
}
