package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	hermesgw "github.com/hermes-gw/hermes-gw"
	"github.com/hermes-gw/hermes-gw/internal/probe"
	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
	"github.com/hermes-gw/hermes-gw/launchd"
	"github.com/hermes-gw/hermes-gw/xpc"
)

// problem is an error as it is printed, in text and in JSON.
type problem = hermesgw.Problem

// explain puts an error into words; nil gives nil. The library knows what is wrong with jobs; this
// adds what is wrong with the command line and with the launchd that it names.
func explain(err error) *problem {
	p := hermesgw.Explain(err)
	if p == nil {
		return nil
	}
	p.Code, p.Message = problemCode(err), message(err)
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
	switch {
	case errors.Is(err, errInterrupted):
		return codeInterrupted
	case errors.Is(err, probe.ErrBusy):
		return "busy"
	case errors.Is(err, xpcwire.ErrFrameTooLarge), errors.Is(err, xpcwire.ErrMalformed):
		return codeProtocol
	case unknown(err):
		return hermesgw.Explain(err).Code
	}
	code := hermesgw.Explain(err).Code
	if code == codeUnknown { // of a question only, which changes nothing
		code = "failed"
	}
	if _, ok := errors.AsType[*connectError](err); (ok || isConnection(err)) && (code == "failed" || code == "permission") {
		return codeConnection
	}
	return code
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
	case "draining":
		return "It was left at work and not restarted: wait for it, or have it stopped after a time with --graceful --force-after DUR."
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
	switch code := problemCode(err); code {
	case codeUsage:
		return outcomeUsage
	case "not-loaded", "no-session", "disabled", "protected", "busy", "refused", "foreign", "ambiguous-domain":
		return launchd.Outcome(code)
	}
	return launchd.OutcomeFailed
}

// outcomeUsage stands for a command line that was not understood, in the table of
// exit codes only.
const outcomeUsage launchd.Outcome = "usage"
