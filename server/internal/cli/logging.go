package cli

import (
	"log/slog"
	"os"
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
		handler = tint.NewTextHandler(e.Err, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""})
	default:
		handler = slog.NewTextHandler(e.Err, &slog.HandlerOptions{Level: level})
	}
	return slog.New(handler), nil
}
