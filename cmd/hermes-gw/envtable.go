package main

// Variables of the environment that the command reads.
const (
	envLaunchd = "HERMES_GW_LAUNCHD"   // the launchd to talk to, as --launchd does
	envState   = "HERMES_GW_STATE_DIR" // where locks and notes lie, instead of in the account's home

	envHome         = "HERMES_HOME"             // Hermes' own: which installation, and which profile if none is named
	envGatewayLocks = "HERMES_GATEWAY_LOCK_DIR" // Hermes' own: where it notes which gateway serves several profiles
	envStateHome    = "XDG_STATE_HOME"          // likewise

	envSudoUID       = "SUDO_UID"
	envSSHConnection = "SSH_CONNECTION"
	envSSHTTY        = "SSH_TTY"

	envUserHome = "HOME"
	envUser     = "USER"
	envLogName  = "LOGNAME"
	envSudoUser = "SUDO_USER"

	envTerm    = "TERM"
	envAll     = "LC_ALL"
	envCharset = "LC_CTYPE"
	envLang    = "LANG"
)

// envRow is one row of the table of variables.
type envRow struct{ name, does string }

// envTable is the one table of the variables that the command reads.
func envTable() []envRow {
	return []envRow{
		{envLaunchd, "the launchd to talk to, unix:PATH; --launchd wins"},
		{envHome, "which installation of Hermes, and which of its profiles if none is named; else ~/.hermes"},
		{envState, "an absolute folder for locks and notes, instead of those in the user's home folder"},
		{envSudoUID, "whose jobs are meant when root runs the command; --uid wins"},
		{envSSHConnection, "set by ssh: a job that is loaded nowhere then goes to user/UID"},
		{envSSHTTY, "likewise"},
		{envGatewayLocks, "where Hermes notes which gateway serves several profiles"},
		{envStateHome, "likewise, as XDG_STATE_HOME/hermes/gateway-locks; else below ~/.local/state"},
		{envTerm, "dumb, or none: progress is printed line by line"},
		{envAll, "before LC_CTYPE, before LANG: where it does not name UTF-8, only ASCII is drawn"},
		{envCharset, "likewise"},
		{envLang, "likewise"},
		{envUserHome, "probe leaves this path out of its report; nothing is looked for there"},
		{envUser, "probe leaves this name out of its report"},
		{envLogName, "likewise"},
		{envSudoUser, "likewise"},
	}
}
