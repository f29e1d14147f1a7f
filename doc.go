// Package hermesgw restarts the gateways of Hermes, as a program that embeds it or the
// command hermes-gw needs it: it knows their homes, profiles and labels, which of them are
// this installation's, which process of a job is the gateway, and when one is ready.
//
//	in, err := hermesgw.Locate(hermesgw.Where{UID: os.Getuid(), HermesHome: os.Getenv("HERMES_HOME")})
//	client, err := launchd.Open(ctx, launchd.Options{})
//	report, err := hermesgw.New(in, client, hermesgw.Options{StateDir: dir}).Restart(ctx,
//		hermesgw.RestartOptions{Select: hermesgw.Selection{All: true}})
//
// A restart is one request to launchd for each job ([launchd.Client.Restart]): no job is ever
// unloaded for it, so whoever dies meanwhile, the caller included, launchd brings the
// gateway back. Everything is checked before the first request; what cannot be
// restarted is reported and does not keep the others from it. A caller that runs inside one of
// the jobs has its own job restarted last.
//
// Hermes' files are only read, and are hints: what a process is, its identity and its
// arguments decide. The package starts no process, reads no environment and writes nothing but
// its locks, in [Options].StateDir.
//
// [Report] and [Result] are JSON by the schema in schema/report.schema.json.
package hermesgw
