package main

import "strings"

// machText is what mach_error_string(3) says of a number, and bootText what
// bootstrap_strerror says; launchctl error prints them. Sources: apple/darwin-xnu,
// libsyscall/mach (mach_error_string.c, error_codes.c, err_kern.sub, err_mach_ipc.sub);
// launchd-842's libbootstrap.c. Systems that launchd has nothing to do with (IOKit,
// libkern, servers and user space) are left out: their numbers read as unknown.
func machText(code int32) string {
	// Numbers of MIG from before there were systems: do_compat.
	if code > -400 && code <= -300 {
		code = -(code + 300) | 4<<26 | 2<<14
	}
	system, sub, number := machParts(code)
	texts, known := machTexts[machModule{system, sub}]
	switch {
	case !known && system == 0:
		return "(operating system/?) unknown subsystem error"
	case !known && system == 4:
		return "(ipc/?) unknown subsystem error"
	}
	list := strings.Split(texts.list, "\n")
	if !known || number >= len(list) || list[number] == "" {
		return "unknown error code"
	}
	return "(" + texts.name + ") " + list[number]
}

// machParts takes a number of Mach apart: <mach/error.h>.
func machParts(code int32) (system, sub, number int) {
	return int(code >> 26 & 0x3f), int(code >> 14 & 0xfff), int(code & 0x3fff)
}

func bootText(code int32) string {
	switch code {
	case 0:
		return "Success"
	case 1100:
		return "Permission denied"
	case 1101, 1103:
		return "Service name already exists"
	case 1102:
		return "Unknown service name"
	case 1104:
		return "Too many lookups were requested in one request"
	case 1105:
		return "Out of memory"
	}
	return machText(code)
}

// machExtra are the texts for the bits 10 to 12 of a number, in steps of 0x400: Procursus
// launchctl, error.c.
var machExtra = [...]string{
	"kernel out-of-line resource shortage", "kernel ipc resource shortage", "unknown", "vm address space shortage",
	"unknown", "unknown", "unknown", "ipc namespace shortage",
}

type machModule struct{ system, sub int }

// machTexts are lists of lines, the first for 0.
var machTexts = map[machModule]struct{ name, list string }{
	{0, 0}: {"os/kern", `successful
invalid address
protection failure
no space available
invalid argument
failure
resource shortage
not receiver
no access
memory failure
memory error
already in set
not in set
name exists
aborted
invalid name
invalid task
invalid right
invalid value
urefs overflow
invalid capability
right exists
invalid host
memory present
memory data moved
memory restart copy
invalid processor set
policy limit
invalid policy
invalid object
already waiting
default set
exception protected
invalid ledger
invalid memory control
invalid security
not depressed
object terminated
lock set destroyed
lock unstable
lock owned by another
lock owned by self
semaphore destroyed
RPC terminated
terminate orphan
let orphan continue
service not supported
remote node down`},
	{0, 1}: {"os/?", ""},
	{0, 2}: {"os/?", ""},
	{0, 3}: {"os/unix", `
no rights to object
file or directory does not exist
no such process
interrupted system call
i/o error
device does not exist
argument list is too long
invalid executable object format
bad file descriptor number
no child processes are present
no more processes are available
insufficient memory
access denied
memory access fault
block device required for operation
mount device busy
file already exists
cross device link
device does not exist
object is not a directory
object is a directory
invalid argument
internal file table overflow
maximum number of open files reached
object is not a tty-like device
executable object is in use
file is too large
no space is left on device
illegal seek attempt
read-only file system
too many links
broken pipe
argument is too large
result is out of range
operation on device would block
operation is now in progress
operation is already in progress
socket operation attempted on non-socket object
destination address is required
message is too long
protocol type is incorrect for socket
protocol type is not availaible
protocol type is not supported
socket type is not supported
operation is not supported on sockets
protocol family is not supported
address family is not supported by protocol family
address is already in use
can't assign requested address
network is down
network is unreachable
network dropped connection on reset
software aborted connection
connection reset by peer
no buffer space is available
socket is already connected
socket is not connected
can't send after socket shutdown
too many references; can't splice
connection timed out
connection was refused
too many levels of symbolic links
file name exceeds system maximum limit
host is down
there is no route to host
directory is not empty
quota on number of processes exceeded
quota on number of users exceeded
quota on available disk space exceeded`},
	{4, 0}: {"ipc/send", `no error
send in progress
invalid data
invalid destination port
timed out
will notify
notify in progress
interrupted
msg too small
invalid reply port
invalid port right
invalid notify port
invalid memory
no msg buffer
no notify possible
invalid msg-type
invalid msg-header
invalid msg-trailer
DIPC transport failure
DIPC port migrated
DIPC resend failed
out-of-line buffer too large`},
	{4, 1}: {"ipc/rcv", `no error
receive in progress
invalid name
timed out
msg too large
interrupted
port changed
invalid notify port
invalid data
port died
port in set
header error
body error
invalid scatter list entry
overwrite region too small
invalid msg-trailer
DIPC transport error`},
	{4, 2}: {"ipc/mig", `client type check failure
wrong reply message ID
server detected error
bad request message ID
server type check failure
no reply should be sent
server raised exception
array not large enough
server died
unknown trailer format`},
}
