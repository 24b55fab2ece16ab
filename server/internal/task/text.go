package task

import "strings"

// CleanText returns a text as every store keeps it: a NUL, which PostgreSQL
// refuses, and each run of bytes that are not UTF-8 become U+FFFD.
func CleanText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
