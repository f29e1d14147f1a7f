// Bare is the least that a Go program can do to ask launchd: net.Dial, and a write of bytes that
// were made before. What a program costs besides that is its own.
//
//	bare SOCKET HEX
package main

import (
	"encoding/hex"
	"net"
	"os"
)

func main() {
	if err := ask(os.Args[1], os.Args[2]); err != nil {
		os.Stderr.WriteString("bare: " + err.Error() + "\n")
	}
	os.Exit(1) // as one does whose job is not there
}

func ask(socket, text string) error {
	frame, err := hex.DecodeString(text)
	if err != nil {
		return err
	}
	c, err := net.Dial("unix", socket)
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
