package launchdsim

// errno is an error number in launchd's numbering: Darwin's below 107, launchd's
// own from 107 on. The model keeps its own list, so that a wrong number in the
// client's table cannot hide here.
type errno int64

const (
	ok            errno = 0
	eperm         errno = 1
	esrch         errno = 3   // no such job (801, 816), no process (812)
	eio           errno = 5   // bootstrap: see definition.go
	ebusy         errno = 16  // languishing
	einval        errno = 22  // a key is missing or of the wrong type
	edom          errno = 33  // unknown routine
	einprogress   errno = 36  // launch or removal already under way
	ealready      errno = 37  // being stopped already; loaded already
	enotsup       errno = 45  // known routine, not supported
	ecanceled     errno = 89  // a scheduled spawn was cancelled
	badPlist      errno = 109 // not a property list
	badLabel      errno = 110 // invalid or missing Label
	badProgram    errno = 111 // invalid or missing Program and ProgramArguments
	noDomain      errno = 112
	noService     errno = 113
	noUser        errno = 114
	noGroup       errno = 115
	disabled      errno = 119
	badOwner      errno = 122 // owner or mode of the plist
	tearingDown   errno = 124
	domainRefuses errno = 125 // the domain does not support the action
	wrongSession  errno = 134
	cannotExecute errno = 139 // penalty box and the like
	reservedName  errno = 140
	development   errno = 142 // only on development builds
	notEntitled   errno = 144
)
