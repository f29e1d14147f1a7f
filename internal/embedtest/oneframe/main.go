// Command oneframe connects to a Unix socket, writes one frame and reads one: the least that a
// Go program that asks launchd anything does. It is what the command's own time is measured
// against.
//
//	oneframe SOCKET FRAME
//
// FRAME is hexadecimal.
package main

import (
	"encoding/hex"
	"net"
	"os"
)

func main() {
	frame, err := hex.DecodeString(os.Args[2])
	if err == nil {
		err = exchange(os.Args[1], frame)
	}
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func exchange(socket string, frame []byte) error {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(frame); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 4096))
	return err
}
