package app

import (
	"context"
	"errors"

	"github.com/errand-dev/errand/server/internal/files"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/secret"
)

// placeName is what the servers call the mark of the place in which their files lie.
const placeName = "place"

var errOtherPlace = errors.New("the files of this database are elsewhere: all of its servers need one data folder, or one --blobs; if they were moved, copy all that was there" +
	" (if there never were any, or they are lost: DELETE FROM secrets WHERE owner = 'servers' AND id = 'place', and start again)")

// samePlace refuses a place in which the files of the other servers are not. The first one
// has marked theirs.
func samePlace(ctx context.Context, s store, box *secret.Box, shelf *files.Shelf) error {
	for {
		sealed, err := s.Secret(ctx, "", ofServers, placeName)
		if err != nil {
			return err
		}
		if sealed != nil {
			mark, err := box.Open(placeName, sealed)
			if err != nil {
				return err
			}
			marked, err := shelf.Marked(ctx, string(mark))
			if err == nil && !marked {
				err = errOtherPlace
			}
			return err
		}
		mark, err := shelf.Mark(ctx)
		if err != nil {
			return err
		}
		if err := s.Write(ctx, nil, func(tx lifecycle.Tx) error {
			return tx.PutSecret("", ofServers, placeName, box.Seal(placeName, []byte(mark)))
		}); err != nil {
			return err
		}
	}
}
