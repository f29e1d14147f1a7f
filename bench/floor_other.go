//go:build !darwin

package main

import (
	"errors"

	"github.com/hermes-gw/hermes-gw/xpc"
)

func newBareXPC(uint64, xpc.Dict) (floor, error) { return nil, errors.ErrUnsupported }
