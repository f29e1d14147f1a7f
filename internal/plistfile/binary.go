package plistfile

import (
	"encoding/binary"
	"errors"
)

var errDamaged = errors.New("it is damaged")

// maxNodes bounds what a binary list may unfold to. Its objects can refer to each
// other any number of times, so a few bytes could otherwise stand for more than
// there is memory.
const maxNodes = MaxSize

// checkBinary checks what the parser takes on trust in a binary property list: the
// lengths of its objects, for which it would read beyond the file, and their
// references. The format is CoreFoundation's, CFBinaryPList.c: header, objects, a
// table of their offsets, and a trailer of 32 bytes.
func checkBinary(b []byte) error {
	if len(b) < 40 {
		return errDamaged
	}
	trailer := b[len(b)-32:]
	l := list{b: b, offset: uint64(trailer[6]), ref: uint64(trailer[7]), table: binary.BigEndian.Uint64(trailer[24:])}
	objects, top := binary.BigEndian.Uint64(trailer[8:]), binary.BigEndian.Uint64(trailer[16:])
	end := uint64(len(b) - 32)
	if l.offset < 1 || l.offset > 8 || l.ref < 1 || l.ref > 8 || l.table < 9 || l.table >= end ||
		objects > end || objects*l.offset != end-l.table || top >= objects {
		return errDamaged
	}
	l.sizes = make([]int, objects)
	for i := range objects {
		if _, err := l.object(i); err != nil {
			return err
		}
	}
	_, err := l.unfold(top)
	return err
}

// list is a binary property list under examination.
type list struct {
	b           []byte
	offset, ref uint64 // bytes of an offset, and of a reference
	table       uint64 // where the offsets begin, and the objects end
	sizes       []int  // what an object unfolds to; 0 is not known, -1 under way
}

func (l *list) number(at, size uint64) (n uint64) {
	for _, c := range l.b[at : at+size] {
		n = n<<8 | uint64(c)
	}
	return n
}

// object checks one object's length and returns the references it holds, as the
// bytes they stand in.
func (l *list) object(i uint64) (refs []byte, err error) {
	at := l.number(l.table+i*l.offset, l.offset)
	if at < 8 || at >= l.table {
		return nil, errDamaged
	}
	kind, n := l.b[at]&0xf0, uint64(l.b[at]&0x0f)
	at++
	unit := uint64(0)
	switch kind {
	case 0x10, 0x20: // integer, real: 2^n bytes
		unit, n = 1<<n, 1
	case 0x30: // date
		unit, n = 8, 1
	case 0x80: // uid
		unit, n = 1, n+1
	case 0x40, 0x50: // data, ASCII
		unit = 1
	case 0x60: // UTF-16
		unit = 2
	case 0xa0: // array
		unit = l.ref
	case 0xd0: // dictionary: keys, then values
		unit = 2 * l.ref
	}
	if kind >= 0x40 && kind != 0x80 && n == 0x0f { // the count follows as an integer
		if at >= l.table || l.b[at]&0xf0 != 0x10 || l.b[at]&0x0f > 3 {
			return nil, errDamaged
		}
		size := uint64(1) << (l.b[at] & 0x0f)
		if at++; at+size > l.table {
			return nil, errDamaged
		}
		n, at = l.number(at, size), at+size
	}
	if n > l.table || at+n*unit > l.table {
		return nil, errDamaged
	}
	if kind == 0xa0 || kind == 0xd0 {
		return l.b[at : at+n*unit], nil
	}
	return nil, nil
}

// unfold returns how many objects stand below and at object i when each reference
// is followed.
func (l *list) unfold(i uint64) (int, error) {
	switch {
	case i >= uint64(len(l.sizes)), l.sizes[i] < 0: // nowhere, or into itself
		return 0, errDamaged
	case l.sizes[i] > 0:
		return l.sizes[i], nil
	}
	l.sizes[i] = -1
	refs, err := l.object(i)
	if err != nil {
		return 0, err
	}
	size := 1
	for ; len(refs) > 0; refs = refs[l.ref:] {
		to := uint64(0)
		for _, c := range refs[:l.ref] {
			to = to<<8 | uint64(c)
		}
		n, err := l.unfold(to)
		if err != nil {
			return 0, err
		}
		if size += n; size > maxNodes {
			return 0, errors.New("it unfolds to too many objects")
		}
	}
	l.sizes[i] = size
	return size, nil
}
