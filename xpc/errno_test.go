package xpc

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestErrnoTexts(t *testing.T) {
	f, err := os.Open("testdata/errno.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := map[Errno]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		number, text, _ := strings.Cut(lines.Text(), "\t")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		want[Errno(n)] = text
	}
	if len(want) < 159 {
		t.Fatalf("only %d numbers in the test's table", len(want))
	}
	for e := Errno(-2); e < 300; e++ {
		text, known := want[e]
		if !known {
			text = "Unknown error " + strconv.Itoa(int(e))
		}
		if got := e.Error(); got != text {
			t.Errorf("%d is %q, want %q", int32(e), got, text)
		}
	}
}

// The names are part of the interface; what they stand for is launchd's.
func TestErrnoNamesAndTextsBelongTogether(t *testing.T) {
	for e, word := range map[Errno]string{
		EPERM: "not permitted", ENOENT: "No such file", ESRCH: "No such process", EIO: "Input/output", ENOMEM: "memory",
		EACCES: "Permission", EBUSY: "busy", EEXIST: "File exists", EINVAL: "Invalid argument", EPIPE: "Broken pipe",
		EDOM: "out of domain", ERANGE: "too large", EINPROGRESS: "now in progress", EALREADY: "already in progress",
		ENOTSUP: "not supported", ECANCELED: "canceled", EOPNOTSUPP: "on socket",
		InvalidPath: "Invalid path", InvalidPropertyList: "property list", NoSuchDomain: "find specified domain",
		NoSuchService: "find specified service", NotImplemented: "not yet implemented", BadResponse: "Bad response",
		ServiceDisabled: "disabled", BadOwnership: "ownership", DomainTearingDown: "tearing down",
		DomainUnsupported: "Domain does not support", RequestRetired: "no longer", SeveralErrors: "Multiple errors",
		WrongSession: "requested session", NotManaged: "not managed", ServiceUnsupported: "Service does not support",
		CannotExecute: "presently execute", InvalidName: "reserved or invalid", Reentrancy: "Reentrancy",
		DevelopmentOnly: "development", NotEntitled: "entitlement", OnDemandOnly: "on-demand-only",
		Protected: "System Integrity Protection", NotPlatformBinary: "platform binary", SandboxDenied: "Sandbox",
	} {
		if !strings.Contains(e.Error(), word) {
			t.Errorf("%d is %q, which does not speak of %q", int32(e), e.Error(), word)
		}
	}
}

func TestErrnoIs(t *testing.T) {
	for target, numbers := range map[error][]Errno{
		fs.ErrNotExist:        {2, 3, 112, 113},
		fs.ErrExist:           {17},
		fs.ErrPermission:      {1, 13, 144, 150, 154, 159},
		errors.ErrUnsupported: {45, 116, 126, 137, 142},
	} {
		is := map[Errno]bool{}
		for _, e := range numbers {
			is[e] = true
		}
		for e := Errno(0); e < 200; e++ {
			if got := errors.Is(e, target); got != is[e] {
				t.Errorf("errors.Is(%d, %v) is %v", int32(e), target, got)
			}
		}
	}
	if !errors.Is(&UnknownOutcome{Err: BadResponse}, Errno(118)) {
		t.Error("an Errno is lost in UnknownOutcome")
	}
	if errors.Is(EPERM, syscall.Errno(1)) {
		t.Error("an Errno must not pass for this system's")
	}
}

func TestReplyError(t *testing.T) {
	for _, reply := range []Dict{nil, {}, {"error": int64(0)}, {"error": uint64(5)}, {"error": "113"}, {"pid": int64(3)}} {
		if err := replyError(702, reply); err != nil {
			t.Errorf("%v gave %v", reply, err)
		}
	}
	if err := replyError(702, Dict{"error": int64(113)}); err != NoSuchService {
		t.Errorf("113 gave %v", err)
	}
	var unknown *UnknownOutcome
	if err := replyError(702, Dict{"error": int64(1) << 32}); !errors.As(err, &unknown) || !errors.Is(err, BadResponse) || unknown.Routine != 702 {
		t.Errorf("an error that is no int32 gave %v", err)
	}
}
