package query

import (
	"errors"
	"fmt"
	"strings"
)

// errOne: there is more than one statement.
var errOne = errors.New("one SELECT at a time: there is something behind the semicolon")

// checkStatement refuses what is more than one statement. What a statement may do is for
// SQLite's authorizer to say, which knows better than any text (see allowed).
func checkStatement(sql string) error {
	switch {
	case len(sql) > maxSQL:
		return fmt.Errorf("the query is longer than %d bytes", maxSQL)
	case strings.ContainsRune(sql, 0):
		return errors.New("the query holds a NUL")
	}
	ended, blank := false, true
	for rest := sql; rest != ""; {
		n, what := token(rest)
		switch what {
		case space:
		case semicolon:
			ended = ended || !blank
		case other:
			if ended {
				return errOne
			}
			blank = false
		}
		rest = rest[n:]
	}
	if blank {
		return errors.New("the query is empty: write one SELECT")
	}
	return nil
}

// kind of a token.
type kind int

const (
	other kind = iota
	space
	semicolon
)

// token is the length and kind of the first token of a text that is not empty: as much
// of SQL as it takes not to mistake what stands in quotes or comments.
func token(s string) (n int, what kind) {
	until := func(end string, from int) int {
		if i := strings.Index(s[from:], end); i >= 0 {
			return from + i + len(end)
		}
		return len(s)
	}
	switch c := s[0]; {
	case strings.ContainsRune(" \t\r\n\f", rune(c)):
		return 1, space
	case c == ';':
		return 1, semicolon
	case strings.HasPrefix(s, "--"):
		return until("\n", 2), space
	case strings.HasPrefix(s, "/*"):
		return until("*/", 2), space
	case c == '\'' || c == '"' || c == '`': // a doubled quote begins another token, which is as well
		return until(s[:1], 1), other
	case c == '[':
		return until("]", 1), other
	default:
		return 1, other
	}
}
