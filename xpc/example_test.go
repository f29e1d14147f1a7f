package xpc_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"

	"github.com/hermes-gw/hermes-gw/xpc"
)

// A request to restart a job, sent to a launchd model that serves a Unix socket.
// The keys are those of launchd's kickstart.
func ExampleDial() {
	path, stop := serveModel()
	defer stop()

	ctx := context.Background()
	launchd, err := xpc.Dial(ctx, path)
	if err != nil {
		log.Fatal(err)
	}
	defer launchd.Close()

	const kickstart = 702
	restart := func(label string) {
		reply, err := launchd.Call(ctx, kickstart, xpc.Dict{
			"type":   uint64(8), // gui
			"handle": uint64(501),
			"name":   label,
			"kill":   true,
		})
		if err != nil {
			fmt.Printf("%s: %v\n", label, err)
			return
		}
		pid, _ := reply.Int64("pid")
		fmt.Printf("%s: runs as %d\n", label, pid)
	}
	restart("com.example.gateway")
	restart("com.example.typo")
	// Output:
	// com.example.gateway: runs as 4242
	// com.example.typo: Could not find specified service
}

// Getters never convert: a value of another type is not there.
func ExampleDict() {
	reply := xpc.Dict{
		"pid":  int64(4242),
		"name": "com.example.gateway",
		"args": []any{"run", "--fast"},
	}
	pid, ok := reply.Int64("pid")
	fmt.Println(pid, ok)
	_, ok = reply.Uint64("pid")
	fmt.Println(ok)
	args, _ := reply.Slice("args")
	fmt.Println(len(args), args[0])
	// Output:
	// 4242 true
	// false
	// 2 run
}

func ExampleErrno() {
	err := error(xpc.NoSuchService)
	fmt.Println(err)
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	fmt.Println(errors.Is(err, xpc.Errno(113)))
	// Output:
	// Could not find specified service
	// true
	// true
}

// What cannot be sent is refused before anything is, and the error says where it is.
func ExampleValueError() {
	path, stop := serveModel()
	defer stop()
	launchd, err := xpc.Dial(context.Background(), path)
	if err != nil {
		log.Fatal(err)
	}
	defer launchd.Close()

	_, err = launchd.Call(context.Background(), 800, xpc.Dict{
		"type":  uint64(8),
		"paths": []any{"/a.plist", "/b.plist\x00"},
	})
	fmt.Println(err)
	// Output:
	// xpc: paths[1]: a string or key must not contain a NUL
}
