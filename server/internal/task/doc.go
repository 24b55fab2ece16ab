// Package task is the model of a task: what it is, what its log may hold, and
// the one pure function, Apply, that moves it from one state to the next.
//
// The package does no I/O, reads no clock and imports only the standard
// library. A Task is a value: Apply answers a changed copy together with the
// events to log and the attempts to keep, and the caller commits all of it or
// none. The field that holds the status is unexported, so code outside this
// package that tries to assign it does not compile.
package task
