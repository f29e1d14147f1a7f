// Package cgoless is the fence around C: the only package that imports purego,
// and that only in files built for macOS. Each library has one table of Go
// functions ([XPC] for libxpc), filled on first use; what lies above works on the
// table, so it runs on any system against a table of Go functions.
package cgoless

// The libraries. They live in the dyld shared cache, not on disk: they can be
// opened, but a stat says that they do not exist.
const (
	libxpc    = "/usr/lib/system/libxpc.dylib"
	libSystem = "/usr/lib/libSystem.B.dylib" // re-exports libsystem_kernel and the rest
)

// symbol is one thing that is looked up in a library. It says what happens where
// the library lacks it: without a fallback the whole table is refused.
type symbol struct {
	library  string
	name     string // as dlsym takes it: the C name, without Mach-O's leading underscore
	fallback string // what serves instead; empty: the symbol is required
}

// symbolID names a row of symbols. Look-ups take a symbolID and nothing else, so
// no name can be asked for that does not stand in the table.
type symbolID int

const (
	xpcNullCreate symbolID = iota
	xpcBoolCreate
	xpcInt64Create
	xpcUint64Create
	xpcDoubleCreate
	xpcDateCreate
	xpcDataCreate
	xpcStringCreate
	xpcUUIDCreate
	xpcFDCreate
	xpcShmemCreate
	xpcArrayCreate
	xpcArrayAppendValue
	xpcDictionaryCreate
	xpcDictionarySetValue
	xpcRelease

	xpcGetType
	xpcTypeGetName
	xpcBoolGetValue
	xpcInt64GetValue
	xpcUint64GetValue
	xpcDoubleGetValue
	xpcDateGetValue
	xpcDataGetLength
	xpcDataGetBytesPtr
	xpcStringGetLength
	xpcStringGetStringPtr
	xpcUUIDGetBytes
	xpcArrayApplyF
	xpcDictionaryApplyF
	xpcDictionaryGetString
	xpcErrorKeyDescription

	xpcTypeNull
	xpcTypeBool
	xpcTypeInt64
	xpcTypeUint64
	xpcTypeDouble
	xpcTypeDate
	xpcTypeData
	xpcTypeString
	xpcTypeUUID
	xpcTypeFD
	xpcTypeShmem
	xpcTypeMachSend
	xpcTypeMachRecv
	xpcTypeMachSendOnce
	xpcTypeArray
	xpcTypeDictionary
	xpcTypeError
	xpcTypeConnection
	xpcTypeEndpoint
	xpcTypePipe

	xpcServiceRoutine
	xpcDomainRoutine
	xpcPipeCreateFromPort
	xpcPipeInterfaceRoutine
	bootstrapPort

	procPidinfo
	procSignalWithAudittoken
	sysctl
	xpcStrerror
)

// Where no type symbol is found, an object of that type reads as one of a kind
// that this package does not know, which is still released properly.
const readsAsOther = "objects of this type read as KindOther"

// The entry points are optional one by one; package xpc refuses to start when
// neither way to launchd is complete.
const (
	throughPipe    = "xpc_pipe_create_from_port and _xpc_pipe_interface_routine"
	throughRoutine = "_xpc_service_routine and _xpc_domain_routine"
)

// symbols is every symbol that this package asks for. Where an old and a new
// function do the same, it is the old one. Which system exports what is checked
// against testdata/exports.tsv.
var symbols = [...]symbol{
	xpcNullCreate:         {libxpc, "xpc_null_create", ""},
	xpcBoolCreate:         {libxpc, "xpc_bool_create", ""},
	xpcInt64Create:        {libxpc, "xpc_int64_create", ""},
	xpcUint64Create:       {libxpc, "xpc_uint64_create", ""},
	xpcDoubleCreate:       {libxpc, "xpc_double_create", ""},
	xpcDateCreate:         {libxpc, "xpc_date_create", ""},
	xpcDataCreate:         {libxpc, "xpc_data_create", ""},
	xpcStringCreate:       {libxpc, "xpc_string_create", ""},
	xpcUUIDCreate:         {libxpc, "xpc_uuid_create", ""},
	xpcFDCreate:           {libxpc, "xpc_fd_create", ""},
	xpcShmemCreate:        {libxpc, "xpc_shmem_create", ""},
	xpcArrayCreate:        {libxpc, "xpc_array_create", ""},
	xpcArrayAppendValue:   {libxpc, "xpc_array_append_value", ""},
	xpcDictionaryCreate:   {libxpc, "xpc_dictionary_create", ""},
	xpcDictionarySetValue: {libxpc, "xpc_dictionary_set_value", ""},
	xpcRelease:            {libxpc, "xpc_release", ""},

	xpcGetType:             {libxpc, "xpc_get_type", ""},
	xpcTypeGetName:         {libxpc, "xpc_type_get_name", ""},
	xpcBoolGetValue:        {libxpc, "xpc_bool_get_value", ""},
	xpcInt64GetValue:       {libxpc, "xpc_int64_get_value", ""},
	xpcUint64GetValue:      {libxpc, "xpc_uint64_get_value", ""},
	xpcDoubleGetValue:      {libxpc, "xpc_double_get_value", ""},
	xpcDateGetValue:        {libxpc, "xpc_date_get_value", ""},
	xpcDataGetLength:       {libxpc, "xpc_data_get_length", ""},
	xpcDataGetBytesPtr:     {libxpc, "xpc_data_get_bytes_ptr", ""},
	xpcStringGetLength:     {libxpc, "xpc_string_get_length", ""},
	xpcStringGetStringPtr:  {libxpc, "xpc_string_get_string_ptr", ""},
	xpcUUIDGetBytes:        {libxpc, "xpc_uuid_get_bytes", ""},
	xpcArrayApplyF:         {libxpc, "xpc_array_apply_f", ""},
	xpcDictionaryApplyF:    {libxpc, "xpc_dictionary_apply_f", ""},
	xpcDictionaryGetString: {libxpc, "xpc_dictionary_get_string", ""},
	xpcErrorKeyDescription: {libxpc, "_xpc_error_key_description", ""},

	xpcTypeNull:         {libxpc, "_xpc_type_null", ""},
	xpcTypeBool:         {libxpc, "_xpc_type_bool", ""},
	xpcTypeInt64:        {libxpc, "_xpc_type_int64", ""},
	xpcTypeUint64:       {libxpc, "_xpc_type_uint64", ""},
	xpcTypeDouble:       {libxpc, "_xpc_type_double", ""},
	xpcTypeDate:         {libxpc, "_xpc_type_date", ""},
	xpcTypeData:         {libxpc, "_xpc_type_data", ""},
	xpcTypeString:       {libxpc, "_xpc_type_string", ""},
	xpcTypeUUID:         {libxpc, "_xpc_type_uuid", ""},
	xpcTypeFD:           {libxpc, "_xpc_type_fd", ""},
	xpcTypeShmem:        {libxpc, "_xpc_type_shmem", ""},
	xpcTypeMachSend:     {libxpc, "_xpc_type_mach_send", ""},
	xpcTypeMachRecv:     {libxpc, "_xpc_type_mach_recv", readsAsOther},
	xpcTypeMachSendOnce: {libxpc, "_xpc_type_mach_send_once", readsAsOther},
	xpcTypeArray:        {libxpc, "_xpc_type_array", ""},
	xpcTypeDictionary:   {libxpc, "_xpc_type_dictionary", ""},
	xpcTypeError:        {libxpc, "_xpc_type_error", ""},
	xpcTypeConnection:   {libxpc, "_xpc_type_connection", readsAsOther},
	xpcTypeEndpoint:     {libxpc, "_xpc_type_endpoint", readsAsOther},
	xpcTypePipe:         {libxpc, "_xpc_type_pipe", readsAsOther},

	xpcServiceRoutine:       {libxpc, "_xpc_service_routine", throughPipe},
	xpcDomainRoutine:        {libxpc, "_xpc_domain_routine", throughPipe},
	xpcPipeCreateFromPort:   {libxpc, "xpc_pipe_create_from_port", throughRoutine},
	xpcPipeInterfaceRoutine: {libxpc, "_xpc_pipe_interface_routine", throughRoutine},
	bootstrapPort:           {libSystem, "bootstrap_port", throughRoutine},

	procPidinfo:              {libSystem, "proc_pidinfo", ""},
	procSignalWithAudittoken: {libSystem, "proc_signal_with_audittoken", "kill, right after the start time was read again"},
	sysctl:                   {libSystem, "sysctl", ""},
	xpcStrerror:              {libxpc, "xpc_strerror", "the texts of package xpc"},
}
