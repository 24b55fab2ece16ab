package cli

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// periods has kong read all durations as parsePeriod does.
func periods() kong.Option {
	return kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(func(c *kong.DecodeContext, target reflect.Value) error {
		typed, err := c.Scan.PopValue("period")
		if err != nil {
			return err
		}
		d, err := parsePeriod(typed.String())
		target.SetInt(int64(d))
		return err
	}))
}

// parsePeriod reads what time.ParseDuration does, and days: 7d, 1d12h.
func parsePeriod(text string) (time.Duration, error) {
	days, rest, some := strings.Cut(text, "d")
	if !some {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 16)
	var part time.Duration
	if err == nil && rest != "" {
		part, err = time.ParseDuration(rest)
	}
	if err != nil || part < 0 {
		return 0, fmt.Errorf("%q is no period: write for example 30s, 10m, 24h or 7d", text)
	}
	return time.Duration(n)*24*time.Hour + part, nil
}
