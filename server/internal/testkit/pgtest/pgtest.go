// Package pgtest gives tests a real PostgreSQL of their own. It is imported by
// tests only.
//
// The first test of a process that asks for a database starts a server, which
// the others share: each gets a database of its own in it. A test that stops,
// kills or restarts its server starts a private one. No server outlives the
// process that started it, however that ends, and none leaves a file behind.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Env is the environment variable that may name a running server, as a URL
// (postgres://user:password@host:port/database) of a user who may create
// databases. Tests that share a server share that one then.
const Env = "ERRAND_TEST_POSTGRES"

// patience bounds every wait for a server. It is long, for busy machines.
const patience = time.Minute

// Database creates an empty database and returns its URL. It is on a server
// that tests share, so many tests can have one at a time. At the end of the
// test it is dropped, whoever is still connected to it.
//
// Without an installed PostgreSQL the test is skipped, in CI it fails.
func Database(tb testing.TB) string {
	tb.Helper()
	database, err := Create()
	if err != nil {
		giveUp(tb, err)
	}
	tb.Cleanup(func() {
		if err := Drop(database); err != nil {
			tb.Error(err)
		}
	})
	return database
}

// Create is Database for a program that is no test; whoever calls it drops the
// database.
func Create() (string, error) {
	server, err := shared()
	if err != nil {
		return "", err
	}
	// A name that no other process has: they may share the server.
	name := "test_" + strings.ToLower(rand.Text())
	// template0 can be copied by many at a time, as nobody connects to it.
	if err := execute(server.url, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return "", fmt.Errorf("create a database: %w", err)
	}
	return server.URL(name), nil
}

// Drop drops a database that Create has made, by its URL, whoever is connected to it.
func Drop(database string) error {
	server, err := shared()
	if err != nil {
		return err
	}
	u, err := url.Parse(database)
	if err != nil || !strings.HasPrefix(u.Path, "/test_") {
		return errors.New("that is no URL of a test's database")
	}
	if err := execute(server.url, "DROP DATABASE "+strings.TrimPrefix(u.Path, "/")+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop a test's database: %w", err)
	}
	return nil
}

// Schema is Database for the many tests that only need tables of their own: an
// empty schema costs a hundredth of a database, and the URL says that names stand
// for what is in it. Schemas share their database's size and its notifications.
func Schema(tb testing.TB) string {
	tb.Helper()
	server, err := shared()
	if err != nil {
		giveUp(tb, err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	if err := execute(server.url, "CREATE SCHEMA "+name); err != nil {
		tb.Fatalf("create a schema: %v", err)
	}
	tb.Cleanup(func() {
		if err := execute(server.url, "DROP SCHEMA "+name+" CASCADE"); err != nil {
			tb.Errorf("drop the test's schema: %v", err)
		}
	})
	u := *server.url
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}

// Start starts a server for the test alone, which ends with it. Its URL
// remains the same for as long as it exists, so that clients can be seen to
// find it again after a Restart.
//
// Without an installed PostgreSQL the test is skipped, in CI it fails.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	s, err := Open(o)
	if err != nil {
		giveUp(tb, err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// giveUp ends a test that has no server. Only a machine without the programs is
// an excuse, and CI is no such machine.
func giveUp(tb testing.TB, err error) {
	tb.Helper()
	if (errors.Is(err, ErrNotInstalled) || errors.Is(err, errNoPatroni)) && os.Getenv("CI") != "true" {
		tb.Skip(err)
	}
	tb.Fatal(err)
}

// shared is the server of all tests that bring none. Nobody closes it: it ends
// when the process does.
//
//nolint:gochecknoglobals // one server for each test process is the point
var shared = sync.OnceValues(func() (*Server, error) {
	named := os.Getenv(Env)
	if named == "" {
		return Open(Options{Volatile: true})
	}
	u, err := url.Parse(named)
	if err != nil || u.Host == "" {
		// What is wrong with it is not said: it holds a password.
		return nil, errors.New(Env + " is not a URL like postgres://user:password@host:port/database")
	}
	if err := execute(u, ""); err != nil {
		return nil, fmt.Errorf("the server that %s names: %w", Env, err)
	}
	return &Server{url: u}, nil
})

// execute runs one statement on a connection of its own.
func execute(u *url.URL, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}
