package probe

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// labelPrefix begins the labels of throwaway jobs, and 8 hex digits follow. It is no
// gateway's.
const labelPrefix = "hermes-gw.probe."

func isThrowaway(label string) bool {
	digits, ok := strings.CutPrefix(label, labelPrefix)
	return ok && len(digits) == 8 && strings.Trim(digits, "0123456789abcdef") == ""
}

// The routines that a probe sends, launchd-protocol.md section 2. What 711 and 714 do is
// not known there.
const (
	routineKickstart    = 702
	routineAttach       = 703
	routinePrintService = 708
	routineUnknown711   = 711
	routineAttributes   = 712
	routineRunningPID   = 713
	routineUnknown714   = 714
	routineBootstrap    = 800
	routineBootout      = 801
	routineEnabled      = 811
	routineKill         = 812
	routineStart        = 813
	routineStop         = 814
	routineList         = 815
	routinePrintDomain  = 828
)

// passes says what a routine may be asked about, and with which keys besides type and
// handle. A routine that has no row is not sent.
var passes = map[uint64]struct {
	about about
	keys  []string
}{
	routineKickstart:    {aThrowaway, []string{"kill", "unthrottle"}},
	routineAttach:       {aThrowaway, nil},
	routinePrintService: {aThrowaway, []string{"shmem"}},
	routineUnknown711:   {aThrowaway, nil},
	routineAttributes:   {aThrowaway, nil},
	routineRunningPID:   {aThrowaway, nil},
	routineUnknown714:   {aThrowaway, nil},
	routineBootstrap:    {ourFiles, []string{"paths", "by-cli"}},
	routineBootout:      {aThrowaway, []string{"wait", "no-einprogress"}},
	routineEnabled:      {aThrowaway, nil},
	routineKill:         {aThrowaway, []string{"signal"}},
	routineStart:        {aThrowaway, nil},
	routineStop:         {aThrowaway, nil},
	routineList:         {aThrowawayOrAll, nil}, // changes nothing
	routinePrintDomain:  {nothing, []string{"shmem", "version"}},
}

type about int

const (
	aThrowaway about = iota
	aThrowawayOrAll
	ourFiles
	nothing
)

// fence is the only way from here to launchd. What is not about a throwaway job, by its
// label, does not pass: no other job can be touched, and a bootout without a name, which
// would end the login session, cannot be sent. Neither can a request that names a job in
// another way (pid, self, service-port), whatever its name says.
type fence struct {
	to  xpc.Transport
	dir string // where property lists may be loaded from

	mu     sync.Mutex
	counts counts
}

// counts is what all answers have in common.
type counts struct {
	answers    int
	reentrancy int // 141
	pids       int // answers to a kickstart that named a process
	zeros      int // those without an error that named pid 0
}

func (f *fence) Call(ctx context.Context, routine uint64, msg xpc.Dict) (xpc.Dict, error) {
	if err := f.check(routine, msg); err != nil {
		return nil, err
	}
	reply, err := f.to.Call(ctx, routine, msg)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts.answers++
	if code, ok := err.(xpc.Errno); ok && code == xpc.Reentrancy {
		f.counts.reentrancy++
	}
	if pid, ok := reply.Int64("pid"); ok && err == nil && routine == routineKickstart {
		if f.counts.pids++; pid == 0 {
			f.counts.zeros++
		}
	}
	return reply, err
}

func (f *fence) seen() counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts
}

func (f *fence) check(routine uint64, msg xpc.Dict) error {
	pass, ok := passes[routine]
	if !ok {
		return fmt.Errorf("probe: routine %d is never sent", routine)
	}
	for key := range msg {
		if key != "type" && key != "handle" && key != "name" && !slices.Contains(pass.keys, key) {
			return fmt.Errorf("probe: routine %d is never sent with %q", routine, key)
		}
	}
	value, named := msg["name"]
	label, _ := value.(string)
	wanted := pass.about == aThrowaway || pass.about == aThrowawayOrAll && named
	switch {
	case wanted && !isThrowaway(label):
		return fmt.Errorf("probe: routine %d is sent about throwaway jobs only, not %q", routine, label)
	case named && !wanted:
		return fmt.Errorf("probe: routine %d is never sent with a name", routine)
	case pass.about == ourFiles:
		return f.checkPaths(msg)
	}
	return nil
}

// checkPaths holds what is to be loaded against the folder that only we write to.
func (f *fence) checkPaths(msg xpc.Dict) error {
	paths, _ := msg.Slice("paths")
	for _, p := range paths {
		path, _ := p.(string)
		label, isList := strings.CutSuffix(filepath.Base(path), ".plist")
		if filepath.Dir(path) != f.dir || !isList || !isThrowaway(label) {
			return fmt.Errorf("probe: %q is no property list of a throwaway job", path)
		}
	}
	if len(paths) == 0 {
		return fmt.Errorf("probe: a bootstrap must name a property list")
	}
	return nil
}
