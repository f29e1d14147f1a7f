package xpc

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hermes-gw/hermes-gw/internal/xpcwire"
)

// maxDepth bounds how deep containers nest, in requests and in replies: far more
// than any message of launchd's, and below what the wire format's codecs take.
const maxDepth = 100

// maxRequest bounds a request's size on the wire, in bytes: what a frame holds
// besides the routine, the flags, and the message's magic and version. It is also
// what ends the walk over a value that contains itself.
const maxRequest = xpcwire.MaxFrame - 12 - 8

// check tells whether d can be sent, whichever transport carries it. It returns
// the shared memory in d; a request needs none as a rule.
func check(d Dict) ([]*Shmem, error) {
	c := checker{room: maxRequest}
	if err := c.dict(d, 0); err != nil {
		return nil, err
	}
	return c.shared, nil
}

type checker struct {
	room   int
	shared []*Shmem
}

func (c *checker) dict(d Dict, depth int) *ValueError {
	if err := c.open(depth); err != nil {
		return err
	}
	for key, v := range d {
		err := c.text(key)
		if err == nil {
			err = c.value(v, depth+1)
		}
		if err != nil {
			return err.under(key)
		}
	}
	return nil
}

// open accounts for a container's type, length and count.
func (c *checker) open(depth int) *ValueError {
	if depth > maxDepth {
		return problem("nested more than %d deep", maxDepth)
	}
	return c.take(12)
}

func (c *checker) text(s string) *ValueError {
	if strings.IndexByte(s, 0) >= 0 {
		return problem("a string or key must not contain a NUL")
	}
	return c.take(len(s) + 1)
}

// take accounts for n bytes, padded as on the wire.
func (c *checker) take(n int) *ValueError {
	if n > c.room {
		return problem("here the request grows above %d MiB", xpcwire.MaxFrame>>20)
	}
	c.room -= (n + 3) &^ 3
	return nil
}

func (c *checker) value(v any, depth int) *ValueError {
	switch v := v.(type) {
	case nil:
		return c.take(4)
	case bool:
		return c.take(8)
	case int64, uint64, float64:
		return c.take(12)
	case time.Time:
		if !time.Unix(0, v.UnixNano()).Equal(v) {
			return problem("the year %d does not fit a date, which counts nanoseconds from 1970 in 64 bits", v.Year())
		}
		return c.take(12)
	case []byte:
		if err := c.take(8); err != nil {
			return err
		}
		return c.take(len(v))
	case string:
		if err := c.take(8); err != nil {
			return err
		}
		return c.text(v)
	case UUID:
		return c.take(20)
	case FD:
		if v < 0 {
			return problem("%d is no file descriptor", v)
		}
		return c.take(4)
	case *Shmem:
		if v == nil {
			return problem("the shared memory is nil")
		}
		c.shared = append(c.shared, v)
		return c.take(12)
	case []any:
		if err := c.open(depth); err != nil {
			return err
		}
		for i, item := range v {
			if err := c.value(item, depth+1); err != nil {
				return err.at(i)
			}
		}
		return nil
	case Dict:
		return c.dict(v, depth)
	case int, uint, int32, uint32:
		return problem("no XPC type for %T: use int64 or uint64, whichever launchd wants for the key", v)
	default:
		return problem("no XPC type for %T", v)
	}
}

func problem(format string, args ...any) *ValueError {
	return &ValueError{Problem: fmt.Sprintf(format, args...)}
}

// under and at put the key or index in front of the path, on the way out.
func (e *ValueError) under(key string) *ValueError { return e.within(keyName(key)) }

func (e *ValueError) at(index int) *ValueError { return e.within("[" + strconv.Itoa(index) + "]") }

func (e *ValueError) within(outer string) *ValueError {
	if e.Path != "" && e.Path[0] != '[' {
		outer += "."
	}
	e.Path = outer + e.Path
	return e
}

// keyName is a key as it stands in a path: quoted and cut if it would mislead.
func keyName(key string) string {
	const longest = 64
	odd := func(r rune) bool { return r <= ' ' || r == '"' || !strconv.IsPrint(r) }
	if key == "" || len(key) > longest || strings.ContainsFunc(key, odd) {
		return strconv.Quote(key[:min(len(key), longest)])
	}
	return key
}
