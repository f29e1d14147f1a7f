package launchd

// Plist is the property list of a job: launchd.plist(5), as of macOS 15. What the manual
// says is in the comments in short; where launchd does otherwise they say so. A field that
// is zero or nil is not written, and launchd's default holds. Extra keeps the keys that
// are not known here, so that reading and writing a list loses nothing.
//
// Sources: launchd.plist(5) of macOS 10.15 to 15, launchd-protocol.md 1.4 and 1.5.
type Plist struct {
	Label string // required; by custom the file's name without .plist

	// What is run. Program is the executable's path; without it ProgramArguments[0] is, which
	// should be absolute too. ProgramArguments is argv, argv[0] included.
	Program          string
	ProgramArguments []string
	BundleProgram    string // path inside the app bundle, for jobs that SMAppService registers
	EnableGlobbing   bool   // no longer read

	// When it runs.
	Disabled              bool              // not loaded, unless launchd's own database says otherwise, which it mostly does
	RunAtLoad             bool              // started when it is loaded
	KeepAlive             *KeepAlive        // started again when it exits; nil is never
	OnDemand              *bool             // no longer read since macOS 10.5: KeepAlive's opposite
	StartInterval         int               // seconds from one start to the next; sleep is skipped
	StartCalendarInterval CalendarIntervals // times of day; one that was slept through is made up for, once
	StartOnMount          bool              // started whenever a file system is mounted
	WatchPaths            []string          // started when one of these changes; unreliable by the manual's own word
	QueueDirectories      []string          // kept running while one of these folders is not empty
	LaunchOnlyOnce        bool              // once for each boot; cannot be started again before

	// How long.
	ThrottleInterval *int // seconds from one start to the next, 10 unless set; print: minimum runtime
	ExitTimeOut      *int // seconds from SIGTERM to SIGKILL; 0 is for ever. 5 unless set, although the manual says 20; at most 60 in a graphical domain
	TimeOut          *int // seconds; "recommended" idle time; no longer read

	// As whom, and where.
	UserName             string            // for daemons only
	GroupName            string            // for daemons only; else the user's
	InitGroups           *bool             // true unless set
	SessionCreate        bool              // a security session of its own
	RootDirectory        string            // chroot(2)
	WorkingDirectory     string            // chdir(2); / unless set
	EnvironmentVariables map[string]string // besides those of the domain
	Umask                *Umask            // file mode creation mask

	StandardInPath    string // /dev/null unless set
	StandardOutPath   string // made if it is missing, its folder is not
	StandardErrorPath string // likewise

	// Limits and priorities.
	Nice                     *int            // -20 to 20
	ProcessType              string          // Background, Standard (unless set), Adaptive or Interactive
	LowPriorityIO            bool            // disk access yields to others
	LowPriorityBackgroundIO  bool            // likewise, while the process is in the background
	SoftResourceLimits       *ResourceLimits // setrlimit(2)
	HardResourceLimits       *ResourceLimits // likewise
	AbandonProcessGroup      bool            // children are left when the job's process exits, instead of being sent SIGTERM
	EnableTransactions       bool            // the job tells when it is busy
	EnablePressuredExit      bool            // the system may end it when it is not busy, and starts it again
	MaterializeDatalessFiles *bool           // whether reading a file that is only in the cloud fetches it

	// Where it may be loaded.
	LimitLoadToSessionType StringList          // Aqua (unless set), Background, LoginWindow, StandardIO, System
	LimitLoadToHosts       []string            // no longer read
	LimitLoadFromHosts     []string            // no longer read
	LimitLoadToHardware    map[string][]string // sysctl(3) hw names and their values: only there
	LimitLoadFromHardware  map[string][]string // likewise: not there
	LimitLoadToBootMode    StringList          // undocumented; seen in Apple's own lists
	LimitLoadToVariant     string              // undocumented likewise

	// What starts it on demand.
	MachServices       map[string]MachService
	Sockets            map[string]Sockets  // the program gets them by name, launch_activate_socket(3)
	InetdCompatibility *InetdCompatibility `plist:"inetdCompatibility"` // started for each connection
	LaunchEvents       map[string]any      // xpc_set_event_stream_handler(3)
	ServiceIPC         *bool               // no longer read

	// For developers, and for the system.
	Debug                       bool           // log level; ignored
	WaitForDebugger             bool           // stops before the first instruction
	HopefullyExitsFirst         bool           // no longer read
	HopefullyExitsLast          bool           // no longer read
	LegacyTimers                bool           // timers are not coalesced
	AssociatedBundleIdentifiers StringList     // apps in whose name the Login Items settings show the job
	SpawnConstraint             map[string]any // launch constraint
	POSIXSpawnType              string         // the old name of ProcessType

	Extra map[string]any `plist:"-"` // keys that are not known here, as they were read; so in each type below

	// read is the list as it was read. A value that was not changed since is written in the
	// form it had there: a false that says no more than its absence, a string in place of an
	// array of one, an octal umask.
	read map[string]any `plist:"-"`
}

// KeepAlive is whether launchd starts the job again when its process has exited: always,
// or when one of the conditions holds. Always and a condition together are an error.
type KeepAlive struct {
	Always             bool            `plist:"-"` // the list has a boolean
	SuccessfulExit     *bool           // true: after exit 0; false: after any other end
	Crashed            *bool           // true: after a signal that is a crash; false: after any other end
	AfterInitialDemand *bool           // SuccessfulExit and Crashed count only once the job was started on demand
	PathState          map[string]bool // while each path exists (true) or does not (false); by the manual best avoided
	OtherJobEnabled    map[string]bool // while each label is loaded (true) or is not (false)
	NetworkState       *bool           // no longer read since macOS 10.9

	Extra map[string]any `plist:"-"`
}

// CalendarInterval is a time, or a set of times, at which a job is started: a field that is
// nil stands for every value, as an asterisk does in crontab(5).
type CalendarInterval struct {
	Minute  *int // 0 to 59
	Hour    *int // 0 to 23
	Day     *int // 1 to 31
	Weekday *int // 0 to 7; 0 and 7 are Sunday
	Month   *int // 1 to 12

	Extra map[string]any `plist:"-"`
}

// CalendarIntervals is one dictionary in a list, or an array of them.
type CalendarIntervals []CalendarInterval

// StringList is one string in a list, or an array of strings. One is written as a string:
// launchd refuses some keys as an array over ssh (NousResearch/hermes-agent#42376).
type StringList []string

// Umask is a file mode creation mask: an integer in a list, which is decimal there, or a
// string, which strtoul(3) reads, so that "022" is octal. It is written as an integer.
type Umask int

// ResourceLimits are limits of setrlimit(2); nil leaves one as it is.
type ResourceLimits struct {
	Core              *int // bytes
	CPU               *int // seconds
	Data              *int // bytes
	FileSize          *int // bytes
	MemoryLock        *int // bytes
	NumberOfFiles     *int // descriptors of the process
	NumberOfProcesses *int // of the user
	ResidentSetSize   *int // bytes
	Stack             *int // bytes

	Extra map[string]any `plist:"-"`
}

// MachService is a name in the bootstrap name space. The zero value is true in a list.
type MachService struct {
	ResetAtClose     bool // a new port when the receiver closes its own
	HideUntilCheckIn bool // not to be looked up before the job has checked in
	Off              bool `plist:"-"` // false in a list

	Extra map[string]any `plist:"-"`
}

// Socket is one socket that launchd opens.
type Socket struct {
	SockType            string       // stream (unless set), dgram or seqpacket
	SockPassive         *bool        // true unless set: listens; false connects
	SockNodeName        string       // address
	SockServiceName     *StringOrInt // port, or its name in services(5)
	SockFamily          string       // IPv4, IPv6, IPv4v6 or Unix
	SockProtocol        string       // TCP or UDP
	SockPathName        string       // of a Unix socket
	SecureSocketWithKey string       // variable that gets the path of a Unix socket with a random name
	SockPathOwner       *int         // uid
	SockPathGroup       *int         // gid
	SockPathMode        *int         // decimal in a list: 438 is 0666
	Bonjour             any          // bool, string or array
	MulticastGroup      string       // address of the group that a datagram socket joins
	ReceivePacketInfo   bool         // packets tell where they came in: ip(4), ip6(4)

	Extra map[string]any `plist:"-"`
}

// Sockets is one dictionary in a list, or an array of them.
type Sockets []Socket

// StringOrInt is a port or a service: a string or an integer in a list.
type StringOrInt struct {
	String string // as it stands
	Int    int    // used if String is ""
}

// InetdCompatibility has launchd serve the job as inetd(8) did.
type InetdCompatibility struct {
	Wait      bool // the listening socket is passed, not the accepted one
	Instances *int // at once; 42 unless set

	Extra map[string]any `plist:"-"`
}
