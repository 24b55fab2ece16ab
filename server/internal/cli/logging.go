package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
)

// logging says how a command that runs for long tells what it does.
type logging struct {
	LogFormat string `name:"log-format" help:"text or json." enum:"text,json" default:"text" env:"ERRAND_LOG_FORMAT"`
	LogLevel  string `name:"log-level" help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info" env:"ERRAND_LOG_LEVEL"`
}

// logger writes to standard error.
func (l logging) logger(e *env) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.LogLevel)); err != nil {
		return nil, err
	}
	var handler slog.Handler
	switch {
	case l.LogFormat == "json":
		handler = slog.NewJSONHandler(e.Err, &slog.HandlerOptions{Level: level})
	case isTerminal(e.Err):
		handler = terminalLog(e.Err, level, os.Getenv("NO_COLOR") != "")
	default:
		handler = slog.NewTextHandler(e.Err, &slog.HandlerOptions{Level: level})
	}
	return slog.New(handler), nil
}

// terminalLog writes for a person, in colours unless it is plain.
func terminalLog(w io.Writer, level slog.Level, plain bool) slog.Handler {
	return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: plain, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Value.Kind() { //nolint:exhaustive // the others have no text
		case slog.KindString:
			a.Value = slog.StringValue(escapes.Replace(a.Value.String()))
		case slog.KindAny:
			if _, is := a.Value.Any().(slog.Level); !is {
				a.Value = slog.StringValue(escapes.Replace(fmt.Sprint(a.Value.Any())))
			}
		}
		return a
	}})
}

// escapes takes out what tint makes commands to the terminal of, so that others may colour
// their values: the character ESC, and how it is written. All else that could command is
// quoted.
var escapes = strings.NewReplacer("\x1b", " ", `\x1b`, `\x1B`) //nolint:gochecknoglobals // a constant
