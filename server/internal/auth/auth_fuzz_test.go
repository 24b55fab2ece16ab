package auth_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
)

// one is a store with one key in it.
type one struct {
	shelf
	key auth.Key
}

func (o *one) KeyByHash(_ context.Context, hash []byte) (auth.Key, error) {
	if !bytes.Equal(hash, o.key.Hash) {
		return auth.Key{}, fault.New(fault.NotFound, "no such key")
	}
	return o.key, nil
}

// FuzzAuthenticate holds for any text that it is let in only if it is the key,
// the first time and from the cache.
func FuzzAuthenticate(f *testing.F) {
	const good = "errand_the-one-and-only-key-0123456789"
	key := auth.NewKey("default", "k", auth.User, good, time.Now())
	a := auth.NewAuthenticator(&one{key: key})
	for _, seed := range []string{good, "", good + " ", " " + good, "Bearer " + good, "\x00", auth.Generate(), string(key.Hash)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for range 2 {
			who, err := a.Authenticate(t.Context(), text)
			if (err == nil) != (text == good) || err != nil && fault.CodeOf(err) != fault.Unauthenticated {
				t.Fatalf("%q: %+v, %v", text, who, err)
			}
		}
	})
}
