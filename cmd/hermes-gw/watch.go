package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// watchEvery is how often status --watch looks: launchd tells nobody of what changes.
const watchEvery = time.Second

// watch looks again and again until the command is interrupted, or stdout cannot be written or has no
// reader any more. A terminal is
// redrawn each time; anything else gets the report again when something but the time has changed.
func (c *command) watch(look func() report) report {
	c.interrupts.listened()
	redraw := !c.opts.json && c.env.terminal(c.stdout) && !dumb(c.env.getenv(envTerm))
	every := time.NewTicker(watchEvery)
	defer every.Stop()
	out := &written{Writer: c.stdout}
	before := ""
	for {
		r := look()
		switch now := steady(r); {
		case c.ctx.Err() != nil: // then it is about the interruption
		case r.err != nil && isUsage(r.err):
			return r
		case redraw:
			c.redraw(out, r, before == "")
			before = now
		case now != before:
			if before != "" && !c.opts.json {
				fmt.Fprintf(out, "\n%s\n", time.Now().Format(time.DateTime))
			}
			r.print(c.verb.name, r.code(), c.how(), out, c.stderr)
			before = now
		}
		if c.lose(out.err); c.lost != nil {
			c.printed = true
			return report{exit: r.code()} // as the report has that is written once
		}
		select {
		case <-every.C:
			if !c.env.unread(c.stdout) {
				continue
			}
		case <-c.ctx.Done():
		}
		break
	}
	if redraw {
		fmt.Fprintln(c.stdout)
	}
	c.printed = true
	return report{}
}

// redraw puts the report in the place of the last one, as much as the window holds of it.
func (c *command) redraw(out io.Writer, r report, first bool) {
	var text bytes.Buffer
	r.print(c.verb.name, r.code(), c.how(), &text, &text)
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	columns, rows := c.env.size(c.stdout)
	if rows > 2 && len(lines) > rows-2 {
		lines = append(lines[:rows-3], fmt.Sprintf("... and %d lines more", len(lines)-(rows-3)))
	}
	lines = append(lines, "", time.Now().Format(time.TimeOnly)+"  Ctrl-C ends it")
	var b strings.Builder
	if first {
		b.WriteString("\x1b[2J")
	}
	b.WriteString("\x1b[H")
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(cut(l, columns) + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	if c.ctx.Err() == nil {
		io.WriteString(out, b.String())
	}
}

// cut shortens a line to the columns of a window; 0 is any number of them.
func cut(line string, columns int) string {
	if columns < 4 || utf8.RuneCountInString(line) <= columns {
		return line
	}
	return string([]rune(line)[:columns-3]) + "..."
}

// steady is what a report says, without what changes by the mere passing of time.
func steady(r report) string {
	b, err := json.Marshal(r.document("", 0))
	if err != nil {
		return err.Error()
	}
	var doc any
	if json.Unmarshal(b, &doc) != nil {
		return string(b)
	}
	b, _ = json.Marshal(timeless(doc))
	return string(b)
}

func timeless(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "age_s")
		delete(v, "elapsed_s")
		for k := range v {
			v[k] = timeless(v[k])
		}
	case []any:
		for i := range v {
			v[i] = timeless(v[i])
		}
	}
	return v
}

// untilUnread is the run's context, which also ends when nobody reads stdout any more.
func (c *command) untilUnread() (ctx context.Context, stop func()) {
	ctx, stop = context.WithCancel(c.ctx)
	go func() {
		for every := time.NewTicker(watchEvery); ; {
			select {
			case <-ctx.Done():
				every.Stop()
				return
			case <-every.C:
			}
			if c.env.unread(c.stdout) {
				stop()
			}
		}
	}()
	return ctx, stop
}
