// Package secret seals the values that must never be read from the database
// file: AES-256-GCM with a key that lies in the data folder or comes from the
// environment. It also derives the keys that sign file URLs and hash bodies.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/errand-dev/errand/server/internal/durable"
)

const keySize = 32

// KeyFile is the name of the key's file in the data folder.
const KeyFile = "secret.key"

// Box seals and opens values. Its methods are safe for concurrent use.
type Box struct {
	aead cipher.AEAD
	mac  []byte
}

// NewBox makes a box from a key of 32 bytes.
func NewBox(key []byte) (*Box, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("secret key has %d bytes, not %d", len(key), keySize)
	}
	seal, err := hkdf.Key(sha256.New, key, nil, "errand seal", keySize)
	if err != nil {
		return nil, err
	}
	mac, err := hkdf.Key(sha256.New, key, nil, "errand mac", keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Box{aead: aead, mac: mac}, nil
}

// Load makes a box from the key in the data folder, which it creates there
// with mode 0600 if it is missing. A key given as hexadecimal text (from the
// environment) is used instead and is not written anywhere.
func Load(dir, given string) (*Box, error) {
	if given != "" {
		key, err := hex.DecodeString(strings.TrimSpace(given))
		if err != nil || len(key) != keySize {
			return nil, fmt.Errorf("ERRAND_SECRET_KEY must be %d hexadecimal digits", 2*keySize)
		}
		return NewBox(key)
	}
	path := filepath.Join(dir, KeyFile)
	text, err := os.ReadFile(path) //nolint:gosec // the operator's own data folder
	if errors.Is(err, os.ErrNotExist) {
		key := make([]byte, keySize)
		_, _ = rand.Read(key) // never fails
		if err := durable.WriteFile(path, []byte(hex.EncodeToString(key)+"\n")); err != nil {
			return nil, fmt.Errorf("write secret key: %w", err)
		}
		return NewBox(key)
	}
	if err != nil {
		return nil, fmt.Errorf("read secret key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("the key in %s is damaged: restore it from a backup", path)
	}
	return NewBox(key)
}

// Seal encrypts a value so that it opens only under the same name.
func (b *Box) Seal(name string, value []byte) []byte {
	nonce := make([]byte, b.aead.NonceSize(), b.aead.NonceSize()+len(value)+b.aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return b.aead.Seal(nonce, nonce, value, []byte(name))
}

// Open decrypts what Seal answered for that name.
func (b *Box) Open(name string, sealed []byte) ([]byte, error) {
	n := b.aead.NonceSize()
	if len(sealed) < n {
		return nil, errors.New("sealed value is too short")
	}
	value, err := b.aead.Open(nil, sealed[:n], sealed[n:], []byte(name))
	if err != nil {
		return nil, errors.New("sealed value does not open: was the secret key changed?")
	}
	return value, nil
}

// MAC is a keyed SHA-256 of the parts, each set apart from the next.
func (b *Box) MAC(parts ...string) []byte {
	h := hmac.New(sha256.New, b.mac)
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return h.Sum(nil)
}
