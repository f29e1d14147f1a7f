package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/hermes-gw/hermes-gw/internal/probe"
	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// problem is an error as it is printed, in text and in JSON.
type problem struct {
	Code    string `json:"code"` // one of the words in problemCode
	Errno   int    `json:"errno,omitempty"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// explain puts an error into words; nil gives nil.
func explain(err error) *problem {
	if err == nil {
		return nil
	}
	p := &problem{Code: problemCode(err), Message: message(err)}
	if e, ok := errors.AsType[*launchd.Error](err); ok {
		p.Errno = int(e.Code)
	}
	p.Remedy = remedy(err, p.Code)
	return p
}

// The words of a problem's code that the command itself decides on, too.
const (
	codeUsage       = "usage"
	codeInterrupted = "interrupted"
	codeTimeout     = "timeout"
	codeConnection  = "connection"
	codeProtocol    = "protocol"
	codeUnknown     = "unknown-outcome"
	codePlist       = "plist"
)

// problemCode sorts errors for programs. The words are part of the JSON schema.
func problemCode(err error) string {
	if isUsage(err) {
		return codeUsage
	}
	if _, ok := errors.AsType[*plistError](err); ok {
		return codePlist
	}
	for _, row := range []struct {
		sentinel error
		code     string
	}{
		{launchd.ErrNotLoaded, "not-loaded"},
		{launchd.ErrNoDomain, "no-session"},
		{launchd.ErrDisabled, "disabled"},
		{launchd.ErrAlreadyLoaded, "already-loaded"},
		{launchd.ErrStopping, "stopping"},
		{launchd.ErrProtected, "protected"},
		{launchd.ErrNotEntitled, "not-entitled"},
		{launchd.ErrReloading, "busy"},
		{probe.ErrBusy, "busy"},
		{errInterrupted, codeInterrupted},
		{context.Canceled, codeInterrupted},
		{context.DeadlineExceeded, codeTimeout},
		{xpcwire.ErrFrameTooLarge, codeProtocol},
		{xpcwire.ErrMalformed, codeProtocol},
	} {
		if errors.Is(err, row.sentinel) {
			return row.code
		}
	}
	if unknown(err) {
		return codeUnknown
	}
	if _, ok := errors.AsType[*connectError](err); ok || isConnection(err) {
		return codeConnection
	}
	if errors.Is(err, fs.ErrPermission) {
		return "permission"
	}
	return "failed"
}

func isUsage(err error) bool {
	_, ours := errors.AsType[*usageError](err)
	_, syntax := errors.AsType[*launchd.SyntaxError](err)
	return ours || syntax
}

// isConnection reports whether the launchd at a socket is not there, or went away.
func isConnection(err error) bool {
	_, op := errors.AsType[*net.OpError](err)
	return op || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, errors.ErrUnsupported)
}

// message is the error's text. An answer to a mere question that did not come
// changes nothing, and is not called a request that may still take effect.
func message(err error) string {
	text := err.Error()
	if u, ok := errors.AsType[*xpc.UnknownOutcome](err); ok && onlyAsks(u.Routine) {
		text = strings.Replace(text, u.Error(), "launchd did not answer: "+u.Err.Error(), 1)
	}
	// Go's words for a wait that ended, as they are meant here.
	text = strings.ReplaceAll(text, context.DeadlineExceeded.Error(), "the time is up")
	return strings.ReplaceAll(text, context.Canceled.Error(), errInterrupted.Error())
}

// remedy is the error's own advice, or the advice for its kind, as a sentence.
func remedy(err error, code string) string {
	if r, ok := errors.AsType[interface {
		error
		Remedy() string
	}](err); ok {
		return r.Remedy()
	}
	switch code {
	case codeTimeout:
		if unknown(err) {
			return "Look with hermes-gw status; --timeout gives it longer."
		}
		if _, silent := errors.AsType[*unanswered](err); silent {
			return "Check that this launchd is alive, or give it longer with --timeout."
		}
		return "launchd answers, but the job takes longer or is stuck: look at its log, or give it at least its exit timeout with --timeout."
	case codeUnknown:
		return "Look with hermes-gw status."
	case "busy":
		if errors.Is(err, probe.ErrBusy) {
			return "Wait for its end."
		}
		return "Wait for it, and look with hermes-gw status."
	case codeInterrupted:
		if unknown(err) {
			return "launchd goes on with it; look with hermes-gw status."
		}
		return "Nothing more was sent."
	case codeConnection:
		return "Check the launchd at the address in --launchd or " + envLaunchd + "."
	case codeProtocol:
		return "What serves at the address in --launchd or " + envLaunchd + " does not speak as a launchd does."
	}
	return ""
}

// unknown reports whether err leaves open if a change took effect.
func unknown(err error) bool {
	u, ok := errors.AsType[*xpc.UnknownOutcome](err)
	return ok && !onlyAsks(u.Routine)
}

// outcomeOf is the outcome that an error amounts to where the library named none.
func outcomeOf(err error) launchd.Outcome {
	if unknown(err) {
		return launchd.OutcomeUnknown
	}
	switch problemCode(err) {
	case codeUsage:
		return outcomeUsage
	case "not-loaded":
		return launchd.OutcomeNotLoaded
	case "no-session":
		return launchd.OutcomeNoSession
	case "disabled":
		return launchd.OutcomeDisabled
	case "protected":
		return launchd.OutcomeProtected
	case "busy":
		return launchd.OutcomeBusy
	}
	return launchd.OutcomeFailed
}

// outcomeUsage stands for a command line that was not understood, in the table of
// exit codes only.
const outcomeUsage launchd.Outcome = "usage"
