//go:build !linux

package hermesgw_test

import "errors"

func hide(bool, bool) error { return errors.ErrUnsupported }

func (a actor) beInit() error { return errors.ErrUnsupported }
