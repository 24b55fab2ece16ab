#!/usr/bin/env bash
# github.com/jackc/pgx/v5 v5.13.0: when a connection breaks while a statement runs,
# pgx does not only report that. It opens another connection to the server and asks
# it there to cancel the statement (PostgreSQL's CancelRequest). So what became of a
# COMMIT whose connection was lost is not settled when the error arrives: it may be
# on its way still, it may be done, and the client's own cancel request may meet it.
# Whoever looks the outcome up has to wait until that transaction is over, for
# example with a row lock that the transaction took at its beginning.
#
# Seen: after a server that accepts a login and then drops the connection during a
# query, a second connection arrives with code 80877102 and the first one's key.
#
# Needs Go and the module proxy. Exits 0 while the behaviour is as described.
set -euo pipefail
tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
cd "$tmp"
export GOWORK=off GOFLAGS=-mod=mod GOMODCACHE="$tmp/cache"
cat >go.mod <<'MOD'
module finding

go 1.25

require github.com/jackc/pgx/v5 v5.13.0
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

const pid = 4711

// serve logs a client in and drops it at its first query.
func serve(conn net.Conn) error {
	b := pgproto3.NewBackend(conn, conn)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return err
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.BackendKeyData{ProcessID: pid, SecretKey: []byte{0, 0, 0, 7}})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if err := b.Flush(); err != nil {
		return err
	}
	if _, err := b.Receive(); err != nil {
		return err
	}
	return conn.Close()
}

func run() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	asked := make(chan uint32, 1)
	go func() {
		first, err := l.Accept()
		if err != nil {
			return
		}
		if err := serve(first); err != nil {
			fmt.Fprintln(os.Stderr, "serve:", err)
		}
		second, err := l.Accept()
		if err != nil {
			return
		}
		head := make([]byte, 12) // length, code, process id
		if _, err := second.Read(head); err == nil && binary.BigEndian.Uint32(head[4:]) == 80877102 {
			asked <- binary.BigEndian.Uint32(head[8:])
		}
		close(asked)
	}()
	conn, err := pgx.Connect(ctx, "postgres://someone@"+l.Addr().String()+"/any?sslmode=disable&default_query_exec_mode=simple_protocol")
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "COMMIT")
	fmt.Println("the statement ended with:", err)
	if err == nil || !conn.IsClosed() {
		return fmt.Errorf("the lost connection was not noticed")
	}
	select {
	case got, ok := <-asked:
		if !ok || got != pid {
			return fmt.Errorf("another connection came, which is no cancel request")
		}
		fmt.Println("and a cancel request came for process", got)
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no cancel request came")
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "changed:", err)
		os.Exit(1)
	}
}
GO
go run . 2>go.log || { cat go.log >&2; exit 1; }
