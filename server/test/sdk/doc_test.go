// Package sdk_test uses the Go client from outside: against the running
// binary, and side by side with the released Python client.
package sdk_test
