package hermesgw_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/fleet"
	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
)

// Trap 73: no secrets of arguments in any output, and nothing of what a gateway talks about. The
// arguments and variables of a job and of a manual gateway hold tokens; the state file holds names
// of sessions and texts of platforms.
func TestTrap73Secrets(t *testing.T) {
	t.Parallel()
	const (
		apiKey   = "hunter2-of-the-job"
		botToken = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
		bearer   = "Bearer_of_the_manual_one"
		session  = "Alice about the merger"
		told     = "Bob said: my pin is 4711"
		logged   = "sk-proj-abcdefghijklmnopqrstuvwx"
	)
	secrets := []string{apiKey, botToken, bearer, session, told, logged}
	behaviour := fleet.Standin{
		NoLock: true, DrainForever: true, ExitReason: told,
		ActiveWork: []standin.Work{{Kind: "chat", Session: session, Elapsed: 3}},
		Platforms:  map[string]standin.Platform{"telegram": {State: "error", ErrorCode: "x", ErrorMessage: told}},
		Stderr:     []string{"using api_key=" + logged},
	}
	f := fleet.New(t, fleet.Options{Outside: true, Profiles: []fleet.Profile{{Name: "work", Plist: fleet.Oldest, Standin: behaviour}}})
	python := f.Program("python3")
	f.SetKeys("work", map[string]any{
		"ProgramArguments": []string{python, "-m", "hermes_cli.main", "--profile", "work", "gateway", "run", "--api-key", apiKey, "--bot-token=" + botToken},
		"EnvironmentVariables": map[string]string{"HERMES_HOME": f.Gateway("work").Home, "PATH": "/usr/bin:/bin", "TMPDIR": f.Dir,
			"TELEGRAM_BOT_TOKEN": botToken},
	})
	old := f.GatewayPID("work")
	inJSON(t, f, "stop", f.Gateway("work").Label).shows(t, 0, "stopped")
	f.Load("work")
	job := f.Running("work", old)
	args := []string{"-p", "work", "gateway", "run", "--auth-header", "Authorization: Bearer " + bearer, "--token", bearer}
	manual := f.Manual("work", fleet.Shape{Parent: fleet.OfInit, Args: args})
	restart := f.Manual("work", fleet.Shape{Parent: fleet.OfInit, Args: []string{"-p", "work", "gateway", "restart", "--token", bearer}})
	if !slices.Contains(job.Argv, apiKey) || !slices.Contains(manual.Argv, bearer) || !slices.Contains(restart.Argv, bearer) {
		t.Fatalf("the secrets are not in the arguments: %q, %q", job.Argv, manual.Argv)
	}

	saw := 0 // mentions of the processes, so that it is not for want of output
	for _, args := range [][]string{
		{"status"}, {"ps"}, {"ps", "--tree"},
		{"restart", "--all", "--dry-run"},
		{"restart", "-p", "work", "--graceful=50ms"},
		{"restart", "-p", "work", "--wait", "platforms", "--timeout", "500ms"},
		{"restart", "--all", "--force"},
		{"restart", "-p", "work", "--dry-run"},
		{"reload", f.Gateway("work").Label},
		{"stop", f.Gateway("work").Label}, {"start", f.Gateway("work").Target.String(), "--plist", f.Gateway("work").Plist},
	} {
		for _, args := range [][]string{args, append(slices.Clone(args), "--json")} {
			o := f.Command(args...)
			if slices.Contains(args, "--json") {
				conforms(t, o.Stdout)
			}
			for _, secret := range secrets {
				if strings.Contains(o.Stdout+o.Stderr, secret) {
					t.Errorf("%q tells %q:\n%s%s", args, secret, o.Stdout, o.Stderr)
				}
			}
			saw += strings.Count(o.Stdout+o.Stderr, "***")
		}
	}
	if saw < 10 {
		t.Errorf("only %d times *** was shown", saw)
	}
	// Nor do the notes that stay.
	err := filepath.WalkDir(f.StateDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, secret := range secrets {
			if strings.Contains(string(text), secret) && !strings.HasSuffix(path, ".plist") {
				t.Errorf("%s tells %q: %s", path, secret, text)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
