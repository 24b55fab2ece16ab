//go:build race

package httpapi_test

// raced says that the race detector watches, which holds more than the server does.
const raced = true
