// Package sweep is where stray processes will be found, planned for and signalled,
// never the caller. It holds nothing yet.
package sweep
