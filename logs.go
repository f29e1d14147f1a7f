package hermesgw

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hermes-gw/hermes-gw/sweep"
)

// maxTail is how much of a log is read, from its end.
const maxTail = 64 << 10

// LogTail returns the last lines of what the gateway of a home wrote: of
// logs/gateway.error.log, and of logs/gateway.log if there is nothing in that. It reads 64 KiB at
// most, so there can be fewer. Control characters are escaped, long lines cut, and what looks
// like a secret is ***, as [sweep.RedactText] has it. A log that is missing, a link, or another
// user's has no lines.
func LogTail(in Install, home string, lines int) []string {
	for _, name := range []string{"gateway.error.log", "gateway.log"} {
		if tail := tailOf(in, filepath.Join(home, "logs", name), lines); len(tail) > 0 {
			return tail
		}
	}
	return nil
}

func tailOf(in Install, path string, lines int) []string {
	f, info, err := openFile(in, path)
	if err != nil {
		return nil
	}
	defer f.Close()
	return tailOfFile(f, info.Size(), lines)
}

// tailOfFile returns the last lines of the first size bytes.
func tailOfFile(f *os.File, size int64, lines int) []string {
	from := max(size-maxTail, 0)
	// Whatever is appended from now on is left out, and a file that is cut meanwhile reads short.
	b, err := io.ReadAll(io.NewSectionReader(f, from, size-from))
	if err != nil {
		return nil
	}
	return lastLines(string(b), from > 0, lines)
}

// lastLines returns the last lines of a text as they can be shown. Cut says that the text begins
// within a line, which is then left out; if it is the only one, its first word is: that could be
// the rest of a secret.
func lastLines(text string, cut bool, lines int) []string {
	if cut {
		_, rest, ok := strings.Cut(text, "\n")
		if !ok || strings.TrimSpace(rest) == "" {
			_, rest, _ = strings.Cut(text, " ")
		}
		text = rest
	}
	text = strings.TrimRight(text, "\r\n")
	if text == "" || lines <= 0 {
		return nil
	}
	all := strings.Split(text, "\n")
	all = all[max(len(all)-lines, 0):]
	tail := make([]string, len(all))
	for i, line := range all {
		line = strings.ReplaceAll(strings.TrimRight(line, "\r"), "\t", "    ")
		tail[i] = shown(sweep.RedactText(line), maxShownText)
	}
	return tail
}
