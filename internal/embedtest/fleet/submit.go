package fleet

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"howett.net/plist"

	"github.com/hermes-gw/hermes-gw/internal/embedtest/standin"
	"github.com/hermes-gw/hermes-gw/launchd"
)

// Submit loads a job that is none of the fleet's gateways: the stand-in with these arguments in
// a home, and waits for its process, whose Tag is the label. A home that is no profile's is made;
// in a profile's it behaves as [Fleet.Behave] said. keys are added to its property list, which
// lies in the fleet's folder and not where launchd looks for one.
func (f *Fleet) Submit(d launchd.Domain, label, home string, keys map[string]any, argv ...string) (p *Process) {
	f.t.Helper()
	f.must(os.MkdirAll(home, 0o700))
	if _, err := os.Stat(filepath.Join(home, standin.FileBehaviour)); errors.Is(err, fs.ErrNotExist) {
		f.must(standin.WriteBehaviour(home, Standin{Leash: f.leash.path}))
	}
	list := map[string]any{
		"Label": label, "ProgramArguments": argv, "RunAtLoad": true, "WorkingDirectory": home,
		"EnvironmentVariables": map[string]string{"HERMES_HOME": home, "TMPDIR": f.tmp(), standin.EnvTag: label},
	}
	maps.Copy(list, keys)
	data, err := plist.MarshalIndent(list, plist.XMLFormat, "\t")
	f.must(err)
	path := filepath.Join(f.Dir, label+".plist")
	f.must(os.WriteFile(path, data, 0o644))
	ctx, cancel := f.soon()
	defer cancel()
	if err := f.Client.Bootstrap(ctx, d, path); err != nil {
		f.t.Fatalf("load %s into %s: %v", label, d, err)
	}
	if err := f.leash.wait(ctx, func() bool {
		p = f.leash.last(func(p *Process) bool { return p.Tag == label })
		return p != nil
	}); err != nil {
		f.t.Fatalf("%s did not start: %v\n%s", label, err, f.leash.list())
	}
	return p
}
