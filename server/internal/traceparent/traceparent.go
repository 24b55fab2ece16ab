// Package traceparent reads and writes the header of that name, by which W3C
// Trace Context joins what several programs do into one trace.
package traceparent

import (
	"encoding/hex"
	"strings"
)

// Context is a place in a trace: the span under which what follows belongs.
type Context struct {
	Trace   [16]byte
	Span    [8]byte
	Sampled bool
}

// Lengths of the header's parts: version, trace, span, flags.
const (
	versionEnd = 2
	traceEnd   = versionEnd + 1 + 32
	spanEnd    = traceEnd + 1 + 16
	flagsEnd   = spanEnd + 1 + 2
)

// Parse reads a header's value. What is not valid is none: a trace then begins
// anew, and nothing else fails. A later version may have more parts behind
// those that are known.
func Parse(s string) (c Context, ok bool) {
	if len(s) < flagsEnd || s[versionEnd] != '-' || s[traceEnd] != '-' || s[spanEnd] != '-' || strings.ToLower(s) != s {
		return Context{}, false
	}
	version, err := hex.DecodeString(s[:versionEnd])
	later := len(s) > flagsEnd
	if err != nil || version[0] == 0xff || version[0] == 0 && later || later && s[flagsEnd] != '-' {
		return Context{}, false
	}
	flags, err := hex.DecodeString(s[spanEnd+1 : flagsEnd])
	if err != nil {
		return Context{}, false
	}
	c.Sampled = flags[0]&1 == 1
	_, badTrace := hex.Decode(c.Trace[:], []byte(s[versionEnd+1:traceEnd]))
	_, badSpan := hex.Decode(c.Span[:], []byte(s[traceEnd+1:spanEnd]))
	ok = badTrace == nil && badSpan == nil && c.Trace != [16]byte{} && c.Span != [8]byte{}
	if !ok {
		return Context{}, false
	}
	return c, true
}

// String is the header's value.
func (c Context) String() string {
	flags := "-00"
	if c.Sampled {
		flags = "-01"
	}
	return "00-" + hex.EncodeToString(c.Trace[:]) + "-" + hex.EncodeToString(c.Span[:]) + flags
}
