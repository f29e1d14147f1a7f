package launchd

// Routine numbers: Procursus launchctl, xpc_private.h (XPC_ROUTINE_*); those of 702,
// 708, 800, 801 also in xspawn's captures on macOS 26.6.1, those of 808, 809, 815, 828
// in launchk. 712, 811 and 812 stand in the dispatcher tables that
// launchd-protocol.md section 2 cites.
const (
	routineKickstart    = 702
	routineBlame        = 707
	routinePrintService = 708
	routineAttributes   = 712
	routineBootstrap    = 800
	routineBootout      = 801
	routineEnable       = 808
	routineDisable      = 809
	routineEnabled      = 811
	routineKill         = 812
	routineStart        = 813
	routineStop         = 814
	routineList         = 815
	routineRemove       = 816
	routineSetenv       = 819
	routineGetenv       = 820
	routinePrintDomain  = 828
)
