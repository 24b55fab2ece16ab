package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/errand-dev/errand/server/internal/store/copier"
	"github.com/errand-dev/errand/server/internal/store/postgres"
	"github.com/errand-dev/errand/server/internal/store/sqlite"
)

// CopyProgress tells how far a copy is.
type CopyProgress = copier.Progress

// CopyReport tells what a copy has found.
type CopyReport = copier.Report

// side is one of the databases of a copy.
type side struct {
	*copier.Base
	alone, finish func(context.Context) error
	close         func() error
}

// inPostgres reports whether a place is the URL of a PostgreSQL database, and no folder.
func inPostgres(place string) bool {
	return strings.HasPrefix(place, "postgres://") || strings.HasPrefix(place, "postgresql://")
}

// openSide opens one of the databases by its folder or URL, in one of two ways.
func openSide(ctx context.Context, place string,
	folder func(context.Context, string) (*sqlite.Copy, error), database func(context.Context, string) (*postgres.Copy, error),
) (side, error) {
	if inPostgres(place) {
		c, err := database(ctx, place)
		if err != nil {
			return side{}, err
		}
		return side{&c.Base, c.Alone, c.Finish, c.Close}, nil
	}
	if strings.Contains(place, "://") {
		return side{}, errors.New("name a data folder, or a database as postgres://user:password@host:5432/name") // it may hold a password
	}
	c, err := folder(ctx, place)
	if errors.Is(err, sqlite.ErrLocked) {
		return side{}, fmt.Errorf("the data folder %s is in use by an errand server: stop that first", place)
	}
	if err != nil {
		return side{}, err
	}
	return side{&c.Base, c.Alone, c.Finish, c.Close}, nil
}

// CopyStore copies the record of one store into another that has none: each is a data
// folder with SQLite, or the URL of a PostgreSQL database. No server may use either. What
// was interrupted goes on when it is called again.
func CopyStore(ctx context.Context, from, to string, tell func(CopyProgress)) (r CopyReport, err error) {
	source, err := openSide(ctx, from, sqlite.CopyFrom, postgres.CopyFrom)
	if err != nil {
		return r, fmt.Errorf("copy from: %w", err)
	}
	defer func() { err = errors.Join(err, source.close()) }()
	target, err := openSide(ctx, to, sqlite.CopyInto, postgres.CopyInto)
	if err != nil {
		return r, fmt.Errorf("copy to: %w", err)
	}
	defer func() { err = errors.Join(err, target.close()) }()
	if r, err = copier.Copy(ctx, source.Base, target.Base, tell); err != nil {
		return r, err
	}
	if err := source.alone(ctx); err != nil {
		return r, err
	}
	return r, target.finish(ctx)
}
