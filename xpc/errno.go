package xpc

import (
	"errors"
	"io/fs"
	"strconv"
)

// Errno is an error of launchd or of the way to it: a macOS errno (below 107) or
// one of launchd's own numbers. The numbers and texts are those of macOS on every
// system; a Linux errno is another type and has other numbers.
//
// errors.Is matches an Errno with the same number, and by meaning with
// fs.ErrNotExist, fs.ErrExist, fs.ErrPermission and errors.ErrUnsupported.
type Errno int32

// The POSIX numbers that launchd answers with, as macOS numbers them.
const (
	EPERM       Errno = 1
	ENOENT      Errno = 2
	ESRCH       Errno = 3 // no such job in bootout, start and stop; no process in kill
	EIO         Errno = 5
	ENOMEM      Errno = 12
	EACCES      Errno = 13
	EBUSY       Errno = 16
	EEXIST      Errno = 17
	EINVAL      Errno = 22
	EPIPE       Errno = 32 // from libxpc: the connection broke
	EDOM        Errno = 33 // unknown routine
	ERANGE      Errno = 34
	EINPROGRESS Errno = 36
	EALREADY    Errno = 37
	ENOTSUP     Errno = 45
	ECANCELED   Errno = 89
	EOPNOTSUPP  Errno = 102
)

// The numbers of launchd and libxpc (xpc_strerror). The constants are those that
// say something to act upon; the texts of the others are known too.
const (
	InvalidPath         Errno = 108
	InvalidPropertyList Errno = 109
	NoSuchDomain        Errno = 112
	NoSuchService       Errno = 113
	NotImplemented      Errno = 116
	BadResponse         Errno = 118 // from the way to launchd: its answer cannot be read
	ServiceDisabled     Errno = 119
	BadOwnership        Errno = 122 // of the property list, or its mode
	DomainTearingDown   Errno = 124
	DomainUnsupported   Errno = 125 // for gui/UID: that user has no graphical session
	RequestRetired      Errno = 126
	SeveralErrors       Errno = 133
	WrongSession        Errno = 134
	NotManaged          Errno = 135
	ServiceUnsupported  Errno = 137
	CannotExecute       Errno = 139
	InvalidName         Errno = 140
	Reentrancy          Errno = 141 // from libxpc: it cannot reach launchd from here
	DevelopmentOnly     Errno = 142
	NotEntitled         Errno = 144
	OnDemandOnly        Errno = 146
	Protected           Errno = 150 // by System Integrity Protection
	NotPlatformBinary   Errno = 154
	SandboxDenied       Errno = 159
)

// Error returns the text that macOS has for the number.
func (e Errno) Error() string {
	if 0 <= e && int(e) < len(errnoText) && errnoText[e] != "" {
		return errnoText[e]
	}
	return "Unknown error " + strconv.Itoa(int(e))
}

// Is gives the numbers their meaning in the terms of the standard library.
func (e Errno) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e == ENOENT || e == ESRCH || e == NoSuchDomain || e == NoSuchService
	case fs.ErrExist:
		return e == EEXIST
	case fs.ErrPermission:
		return e == EPERM || e == EACCES || e == NotEntitled || e == Protected || e == NotPlatformBinary || e == SandboxDenied
	case errors.ErrUnsupported:
		return e == ENOTSUP || e == NotImplemented || e == RequestRetired || e == ServiceUnsupported || e == DevelopmentOnly
	}
	return false
}

// replyError returns the error that a reply carries: launchd puts it under
// "error" as an int64. A number that is no Errno is a reply that cannot be read.
func replyError(routine uint64, reply Dict) error {
	code, _ := reply.Int64("error")
	if code != int64(int32(code)) {
		return &UnknownOutcome{Routine: routine, Err: BadResponse}
	}
	if code != 0 {
		return Errno(code)
	}
	return nil
}
