package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/errand-dev/errand/server/internal/app"
)

type storeCmds struct {
	Copy storeCopyCmd `cmd:"" help:"Copy the record from SQLite to PostgreSQL, or back."`
}

type storeCopyCmd struct {
	From string `required:"" help:"The data folder, or the PostgreSQL URL, that has the record." placeholder:"FOLDER|postgres://…"`
	To   string `required:"" help:"A data folder without a record, or the URL of an empty database." placeholder:"FOLDER|postgres://…"`
}

// Help says what cannot be said in flags.
func (storeCopyCmd) Help() string {
	return "Stop all servers of both first. What was interrupted goes on when the same command is given again; until it is done no server takes" +
		" the copy for a record. In the end all rows of both are counted, hashed and compared. Uploaded files, secret.key and admin.key are in the" +
		" data folder and are not copied. A password need not stand in the URL: PGPASSWORD and ~/.pgpass do. See docs/OPERATIONS.md."
}

// Run makes the copy and says what is to be done next.
func (c *storeCopyCmd) Run(e *env) error {
	return e.interruptible(func(ctx context.Context) error {
		report, err := app.CopyStore(ctx, c.From, c.To, func(p app.CopyProgress) {
			switch {
			case p.Hash != "":
				fmt.Fprintf(e.Out, "%-16s %10d rows  sha256 %.16s…\n", p.Table, p.Rows, p.Hash)
			case p.Checked:
				fmt.Fprintf(e.Err, "%s: %d of %d rows are compared\n", p.Table, p.Rows, p.Of)
			default:
				fmt.Fprintf(e.Err, "%s: %d of %d rows are copied\n", p.Table, p.Rows, p.Of)
			}
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(e.Out, "%d rows of %d tables are the same in both.\n%s\n", report.Rows, report.Tables, c.next())
		return nil
	})
}

// next says what else belongs to the record.
func (c *storeCopyCmd) next() string {
	const outside = "The folder files, secret.key and admin.key are not in a database: "
	if strings.Contains(c.To, "://") && !strings.Contains(c.From, "://") {
		return outside + "serve with --data " + c.From + " as before, and ERRAND_DATABASE_URL; move " + c.From +
			"/errand.db (and errand.db-wal, errand.db-shm) away, which a server without that variable would go on with."
	}
	return outside + "serve with the same --data as before, or copy them from there."
}
