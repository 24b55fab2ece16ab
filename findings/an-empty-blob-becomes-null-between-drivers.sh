#!/usr/bin/env bash
# modernc.org/sqlite v1.62.0 and github.com/jackc/pgx/v5 v5.13.0: a row that is read from
# SQLite into variables of type any, and given to pgx as it is, loses its empty blobs. The
# driver returns a zero-length BLOB as a nil []byte, which database/sql keeps as any holding
# a nil slice: not the untyped nil that stands for NULL, so that a check for == nil passes it
# over. pgx encodes a nil []byte as NULL. A column that is NOT NULL refuses the row, and one
# that may be NULL silently holds something else than before. Whoever copies rows has to make
# an empty slice of a typed nil.
#
# Seen without a server: what pgx's type map makes of the value is what it sends.
#
# Needs Go and the module proxy. Exits 0 while the behaviour is as described.
set -euo pipefail
tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
cd "$tmp"
export GOWORK=off GOFLAGS=-mod=mod GOMODCACHE="$tmp/cache"
cat >go.mod <<'MOD'
module finding

go 1.26

require (
	github.com/jackc/pgx/v5 v5.13.0
	modernc.org/sqlite v1.62.0
)
MOD
cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5/pgtype"
	_ "modernc.org/sqlite"
)

func main() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		panic(err)
	}
	var kind string
	var empty, null any
	if err := db.QueryRow("SELECT typeof(x''), x'', NULL").Scan(&kind, &empty, &null); err != nil {
		panic(err)
	}
	blob, isBytes := empty.([]byte)
	sent, err := pgtype.NewMap().Encode(pgtype.ByteaOID, pgtype.BinaryFormatCode, empty, nil)
	kept, _ := pgtype.NewMap().Encode(pgtype.ByteaOID, pgtype.BinaryFormatCode, []byte{}, []byte{})
	fmt.Printf("SQLite says %s; Go has %T, nil slice: %v, equal to nil: %v; NULL is equal to nil: %v\n", kind, empty, blob == nil, empty == nil, null == nil)
	fmt.Printf("pgx sends NULL for it: %v (%v); for an empty slice: %v\n", sent == nil, err, kept == nil)
	if kind != "blob" || !isBytes || blob != nil || empty == nil || null != nil || sent != nil || kept == nil {
		fmt.Fprintln(os.Stderr, "the behaviour has changed")
		os.Exit(1)
	}
}
GO
go run .
