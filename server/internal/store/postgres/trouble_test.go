package postgres

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/store/table"
)

// A commit of which nothing is known stays that, whatever the database said when it was
// looked up: nobody is told to try again, and nothing does.
func TestUnknownOutcomeStaysUnknown(t *testing.T) {
	t.Parallel()
	for _, last := range []error{
		io.EOF, pgconn.ErrReadOnlyConnection,
		&pgconn.PgError{Code: readOnly}, &pgconn.PgError{Code: "57P03"}, &pgconn.PgError{Code: serialization},
	} {
		unknown := &trouble{fault.New(fault.Unavailable, "nobody knows"), errors.Join(io.EOF, last)}
		err := translated(fmt.Errorf("commit: %w", unknown))
		told, ok := errors.AsType[*trouble](err)
		if !ok || told.told != unknown.told || errors.Is(err, table.ErrRaced) {
			t.Errorf("after %v it is told as %v", last, err)
		}
	}
}
