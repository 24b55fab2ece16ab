package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/durable"
	"github.com/errand-dev/errand/server/internal/fault"
)

// FirstStart tells of the admin key.
type FirstStart struct {
	// Made says that this start has made the key.
	Made bool
	// Key is the key's text, KeyFile where the local CLI finds it.
	Key     string
	KeyFile string
}

// KeyFile is where the admin key of a data folder lies.
func KeyFile(data string) string { return filepath.Join(data, "admin.key") }

// AddressFile is where a running server notes its URL for the local CLI.
func AddressFile(data string) string { return filepath.Join(data, "address") }

// firstStart makes the default organization and its admin key, unless they
// are there. An admin key in the options that differs from the one of the
// first start is an error: it would lock somebody out unseen.
func firstStart(ctx context.Context, o Options, store auth.Store) (FirstStart, error) {
	first := FirstStart{KeyFile: KeyFile(o.Data)}
	if err := store.PutOrganization(ctx, auth.DefaultOrganization, "Default"); err != nil {
		return first, err
	}
	kept, err := os.ReadFile(first.KeyFile)
	first.Key = strings.TrimSpace(string(kept))
	switch {
	case err == nil && first.Key != "": // an empty file is left by a crash of the first start
		if o.AdminKey != "" && o.AdminKey != first.Key {
			return first, fmt.Errorf("ERRAND_ADMIN_KEY differs from the admin key of this data folder (%s): unset it, or use the same key", first.KeyFile)
		}
	case err == nil, errors.Is(err, os.ErrNotExist):
		first.Made = true
		if first.Key = o.AdminKey; first.Key == "" {
			first.Key = auth.Generate()
		}
		if err := durable.WriteFile(first.KeyFile, []byte(first.Key+"\n")); err != nil {
			return first, fmt.Errorf("write admin key: %w", err)
		}
	default:
		return first, fmt.Errorf("read admin key: %w", err)
	}
	_, err = store.KeyByHash(ctx, auth.Hash(first.Key))
	if fault.CodeOf(err) == fault.NotFound {
		return first, store.PutKey(ctx, auth.NewKey(auth.DefaultOrganization, "admin", auth.Admin, first.Key, o.Now()))
	}
	return first, err
}
