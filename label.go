package hermesgw

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/hermes-gw/hermes-gw/launchd"
)

// gatewayLabel is the label of the job whose home is the native one, and what the labels of
// the others begin with. Source: get_launchd_label in hermes_cli/gateway_launchd.py.
const gatewayLabel = "ai.hermes.gateway"

// Label returns the label that Hermes gives the job of a home:
//
//   - ai.hermes.gateway for the native home, AccountHome/.hermes;
//   - ai.hermes.gateway-NAME for <root>/profiles/NAME, if NAME is a profile's name: lower-case
//     letters, digits, - and _, beginning with a letter or digit, at most 64;
//   - ai.hermes.gateway-XXXXXXXX for any other, with the first 8 hex digits of the SHA-256 of
//     its path without symbolic links.
//
// A home that is no absolute path, and does not begin with ~, has none: "".
// Source: _profile_suffix in hermes_cli/gateway.py.
func (in Install) Label(home string) string {
	given, err := in.expand(home)
	if err != nil {
		return ""
	}
	resolved, err := resolve(given)
	if err != nil {
		return ""
	}
	if resolved == in.Native {
		return gatewayLabel
	}
	roots := []string{in.Root}
	if root, err := rootOf(in.Native, given, resolved); err == nil && resolved != in.Home {
		roots = append(roots, root) // of another installation, maybe
	}
	for _, root := range roots {
		if name, ok := childName(root, resolved); ok && validName(name) {
			return gatewayLabel + "-" + name
		}
	}
	sum := sha256.Sum256([]byte(resolved))
	return gatewayLabel + "-" + hex.EncodeToString(sum[:4])
}

// childName returns what follows <root>/profiles/ in a resolved path, if that is one name. The
// folder profiles may be a link itself.
func childName(root, home string) (name string, ok bool) {
	profiles, err := resolve(filepath.Join(root, "profiles"))
	if err != nil || home == "/" {
		return "", false
	}
	return filepath.Base(home), filepath.Dir(home) == profiles
}

// validName reports whether a profile can have that name: ^[a-z0-9][a-z0-9_-]{0,63}$.
func validName(name string) bool {
	if len(name) == 0 || len(name) > 64 || name[0] == '_' || name[0] == '-' {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// PlistPath returns where Hermes keeps the property list of a job: LABEL.plist in
// Library/LaunchAgents of the account's home. A label that is no file's name has none: "".
func (in Install) PlistPath(label string) string {
	if label == "" || strings.ContainsAny(label, "/\x00") {
		return ""
	}
	return filepath.Join(in.AccountHome, "Library", "LaunchAgents", label+".plist")
}

// IsGatewayLabel reports whether a job with that label is a gateway of some installation, this
// one or another, by any of the names that Hermes gave them: ai.hermes.gateway,
// ai.hermes.gateway-SUFFIX, ai.hermes.gateway.SUFFIX, and com.hermes.gateway... from before the
// rename. Whose it is only HERMES_HOME in its property list tells. The jobs that
// [IsTransientLabel] knows are none.
func IsGatewayLabel(label string) bool {
	return gatewayShaped(label) && !IsTransientLabel(label)
}

// gatewayShaped is IsGatewayLabel without the exception.
func gatewayShaped(label string) bool {
	if strings.ContainsFunc(label, func(r rune) bool { return r == '/' || !unicode.IsPrint(r) }) {
		return false
	}
	if rest, ok := strings.CutPrefix(label, gatewayLabel); ok {
		return rest == "" || len(rest) > 1 && (rest[0] == '-' || rest[0] == '.')
	}
	return strings.HasPrefix(label, "com.hermes.gateway")
}

// IsTransientLabel reports whether a job with that label is one that Hermes submits to reload a
// gateway's job and that removes itself: GATEWAY.reload.PID.EPOCH. It is neither to be
// restarted nor to be taken for a gateway. Source: hermes_cli/gateway_launchd.py.
func IsTransientLabel(label string) bool {
	gateway, numbers, ok := cutLast(label, ".reload.")
	pid, epoch, two := strings.Cut(numbers, ".")
	return ok && two && isNumber(pid) && isNumber(epoch) && gatewayShaped(gateway)
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// homeOfPlist returns HERMES_HOME of a job's property list, which alone tells whose the job is:
// its arguments name a profile, but not of which installation.
func homeOfPlist(p *launchd.Plist) (home string, ok bool) {
	if p == nil {
		return "", false
	}
	home = strings.TrimSpace(p.EnvironmentVariables["HERMES_HOME"])
	return home, home != ""
}
