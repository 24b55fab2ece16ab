package app

import (
	"context"
	"errors"

	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/secret"
)

const (
	// ofServers is the owner of what the first server has sealed for those after it.
	ofServers lifecycle.SecretOf = "servers"
	// proofName is what that is called, and what it says.
	proofName = "key"
)

var errOtherKey = errors.New("the secrets in this database are sealed with another key: all of its servers need one data folder, or one ERRAND_SECRET_KEY;" +
	" if it is another cluster's database, use an empty one (if the key is lost, so are the secrets: DELETE FROM secrets, and start again)")

// sameKey refuses a database whose servers have another secret key. They would be two
// clusters, neither of which can open what the other seals.
func sameKey(ctx context.Context, s store, box *secret.Box) error {
	for {
		sealed, err := s.Secret(ctx, "", ofServers, proofName)
		if err != nil {
			return err
		}
		if sealed != nil {
			if _, err := box.Open(proofName, sealed); err != nil {
				return errOtherKey
			}
			return nil
		}
		if err := s.Write(ctx, nil, func(tx lifecycle.Tx) error {
			return tx.PutSecret("", ofServers, proofName, box.Seal(proofName, []byte(proofName)))
		}); err != nil {
			return err
		}
	}
}
