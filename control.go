package hermesgw

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// The control socket of a gateway answers one request a connection, one line of JSON each way.
// Sources: gateway/control_socket.py for the protocol, its limits and where the socket is.
const (
	controlTimeout = 2 * time.Second // as Hermes' own clients wait
	maxAnswer      = 512 << 10
	maxPointer     = 4 << 10
)

// identification is what a gateway answers to identify.
type identification struct {
	PID        int
	Start      int64 // as record.Start
	Home       string
	Profile    string
	Supervisor string // launchd, systemd, desktop, external, manual: by its own environment
	CodeSHA    string
	Served     []string // the profiles that a multiplexer serves
}

// identify asks the gateway of a home who it is. It ends with ctx, and after 2 s. An error is
// also that whoever listens there is another user, or has another home.
func identify(ctx context.Context, in Install, home string) (identification, error) {
	result, path, err := control(ctx, in, home, "identify")
	if err != nil {
		return identification{}, err
	}
	id, r, err := parseIdentification(result)
	if err == nil {
		err = r.of(in, home)
	}
	if err != nil {
		return identification{}, &fs.PathError{Op: "identify", Path: path, Err: err}
	}
	return id, nil
}

func parseIdentification(f fields) (identification, record, error) {
	r, err := f.record()
	if err != nil {
		return identification{}, record{}, err
	}
	return identification{
		PID:        r.PID,
		Start:      r.Start,
		Home:       r.Home,
		Profile:    f.word("profile"),
		Supervisor: f.word("supervisor"),
		CodeSHA:    f.word("code_sha"),
		Served:     f.profiles("served_profiles"),
	}, r, nil
}

// status asks the gateway of a home for its state, as identify asks who it is. The state is that
// of the process that answers, or there is an error.
func status(ctx context.Context, in Install, home string) (runtimeState, error) {
	result, path, err := control(ctx, in, home, "status")
	if err != nil {
		return runtimeState{}, err
	}
	s, err := result.state()
	if err == nil {
		err = s.of(in, home)
	}
	if by, perr := result.pid("answering_pid"); err == nil && perr == nil && by != s.PID {
		err = fmt.Errorf("process %d answers with the state of %d", by, s.PID)
	}
	if err != nil {
		return runtimeState{}, &fs.PathError{Op: "status", Path: path, Err: err}
	}
	return s, nil
}

// control asks the gateway of a home one thing.
func control(ctx context.Context, in Install, home, verb string) (result fields, path string, err error) {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	if path, err = controlPath(in, home); err != nil {
		return nil, "", err
	}
	conn, err := dial(ctx, in, path)
	if err != nil {
		return nil, path, err
	}
	defer conn.Close()
	defer breakWith(ctx, conn)()
	line, err := ask(conn, verb)
	if err == nil {
		result, err = parseAnswer(line)
	} else if ctx.Err() != nil {
		err = fmt.Errorf("the gateway does not answer: %w", ctx.Err())
	}
	if err != nil {
		return nil, path, &fs.PathError{Op: verb, Path: path, Err: err}
	}
	return result, path, nil
}

// controlPath returns where the control socket of a home is: gateway.sock or, where that would
// be too long a path for a socket, what gateway.sock.path names.
func controlPath(in Install, home string) (string, error) {
	direct := filepath.Join(home, "gateway.sock")
	err := ownSocket(in, direct)
	if !errors.Is(err, fs.ErrNotExist) {
		return direct, err
	}
	b, _, perr := readFile(in, filepath.Join(home, "gateway.sock.path"), maxPointer)
	if errors.Is(perr, fs.ErrNotExist) {
		return "", err // the gateway has none, that there is no pointer either is a detail
	}
	if perr != nil {
		return "", perr
	}
	path := strings.TrimSpace(strings.TrimPrefix(string(b), "\ufeff"))
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return "", &fs.PathError{Op: "read", Path: direct + ".path", Err: errors.New("it does not hold an absolute path")}
	}
	return path, ownSocket(in, path)
}

// ask sends a request and returns the line that answers it.
func ask(conn io.ReadWriter, verb string) ([]byte, error) {
	if _, err := io.WriteString(conn, `{"verb":"`+verb+`","id":1,"protocol":1}`+"\n"); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxAnswer+1)).ReadBytes('\n')
	switch {
	case len(line) > maxAnswer:
		return nil, fmt.Errorf("the answer is longer than %d KiB", maxAnswer>>10)
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, errors.New("the gateway hung up without an answer")
	case err != nil && !errors.Is(err, io.EOF): // a last line may lack its end
		return nil, err
	}
	return line, nil
}

// parseAnswer returns the result in an answer.
func parseAnswer(line []byte) (fields, error) {
	answer, err := parseFields(line)
	if err != nil {
		return nil, fmt.Errorf("the answer cannot be read: %w", err)
	}
	if id := string(answer["id"]); id != "" && id != "1" {
		return nil, errors.New("the answer is to another request")
	}
	if !answer.yes("ok") {
		return nil, fmt.Errorf("the gateway refuses: %s", shown(answer.text("error"), maxShownText))
	}
	result := bytes.TrimSpace(answer["result"])
	if len(result) == 0 || result[0] != '{' {
		return nil, errors.New("the answer has no result")
	}
	var f fields
	if err := json.Unmarshal(result, &f); err != nil {
		return nil, fmt.Errorf("the answer cannot be read: %w", err)
	}
	return f, nil
}
