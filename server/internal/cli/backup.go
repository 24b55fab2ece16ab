package cli

import (
	"context"
	"fmt"

	"github.com/errand-dev/errand/server/internal/app"
)

type backupCmd struct {
	Dest string `arg:"" help:"The folder to make; it must not be there yet."`
	Data string `help:"The data folder." default:".errand" env:"ERRAND_DATA"`
}

// Help says what cannot be said in flags.
func (backupCmd) Help() string {
	return "The server may go on serving. The copy has all that was acknowledged when it began, and the keys: keep it as safe as" +
		" the data folder. It is a data folder itself: errand serve --data DEST."
}

// Run makes the copy.
func (c *backupCmd) Run(e *env) error {
	return e.interruptible(func(ctx context.Context) error {
		size, err := app.Backup(ctx, c.Data, c.Dest)
		if err == nil {
			fmt.Fprintf(e.Out, "%s: %.1f MB\n", c.Dest, float64(size)/1e6)
		}
		return err
	})
}
