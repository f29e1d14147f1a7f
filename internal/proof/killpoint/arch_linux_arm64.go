package killpoint

import "golang.org/x/sys/unix"

const nativeArch = unix.AUDIT_ARCH_AARCH64

var archNoise []uint64

var archNames = map[uint64]string{unix.SYS_FSTATAT: "newfstatat"}

// archFileCalls: this architecture has no older forms.
var archFileCalls map[uint64]fileCall
