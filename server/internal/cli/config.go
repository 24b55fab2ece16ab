package cli

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/errand-dev/errand/server/internal/config"
)

// BeforeResolve reads the configuration file, if one is named, for what
// neither flags nor the environment say.
func (c *serveCmd) BeforeResolve(ctx *kong.Context) error {
	flags := ctx.Selected().Flags
	i := slices.IndexFunc(flags, func(f *kong.Flag) bool { return f.Name == "config" })
	name, _ := ctx.FlagValue(flags[i]).(string)
	if name == "" {
		return nil
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("--config %s: %w", name, errors.Unwrap(err))
	}
	option := func(o config.Option) int {
		return slices.IndexFunc(flags, func(f *kong.Flag) bool { return f.Name == o.Name && configurable(f) })
	}
	file, err := config.Parse(name, content)
	if bad, is := errors.AsType[*config.OptionError](err); is && option(bad.Option) < 0 {
		return bad.Unknown(optionNames(flags))
	}
	if err != nil {
		return err
	}
	r := fileResolver{}
	for _, o := range file.Options {
		i := option(o)
		if i < 0 {
			return file.Unknown(o, optionNames(flags))
		}
		if r[o.Name], err = valueOf(file, o, flags[i]); err != nil {
			return err
		}
	}
	ctx.AddResolver(r)
	c.commands, c.servers, c.caps, c.oidc = file.Commands, file.Servers, file.Caps, file.OIDC
	c.prices, c.windows = file.Prices, file.Windows
	return nil
}

// configurable tells whether a flag may stand in the file: not the one that
// names it, nor --help.
func configurable(f *kong.Flag) bool { return f.Name != "config" && len(f.Envs) > 0 }

func optionNames(flags []*kong.Flag) (names []string) {
	for _, f := range flags {
		if configurable(f) {
			names = append(names, f.Name)
		}
	}
	return names
}

// valueOf checks an option as its flag would, so that the error can name its
// place, and returns it as a flag's text.
func valueOf(file *config.File, o config.Option, f *kong.Flag) (string, error) {
	list := f.Target.Kind() == reflect.Slice
	if o.List && !list {
		return "", file.Wrong(o, "must be a single value")
	}
	text := strings.Join(o.Values, string(f.Tag.Sep))
	if f.Enum != "" && !slices.Contains(f.EnumSlice(), text) {
		return "", file.Wrong(o, "must be one of %s, not %q", strings.Join(f.EnumSlice(), ", "), text)
	}
	scan := kong.Scan().PushTyped(text, kong.FlagValueToken)
	if err := f.Mapper.Decode(&kong.DecodeContext{Value: f.Value, Scan: scan}, reflect.New(f.Target.Type()).Elem()); err != nil {
		return "", file.Wrong(o, "%w", err)
	}
	return text, nil
}

// fileResolver answers the options of a file by the names of their flags.
type fileResolver map[string]string

// Validate implements kong.Resolver. The file was checked when it was read.
func (fileResolver) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver: the environment goes before the file.
func (r fileResolver) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	text, found := r[flag.Name]
	for _, name := range flag.Envs {
		_, set := os.LookupEnv(name)
		found = found && !set
	}
	if !found {
		return nil, nil //nolint:nilnil // kong's word for: ask elsewhere
	}
	return text, nil
}
