// Package crash tests the real program from outside: processes that are
// killed at any moment, viewers that come and go, secrets that must not leak.
// What was acknowledged is held against what the API answers afterwards.
package crash
