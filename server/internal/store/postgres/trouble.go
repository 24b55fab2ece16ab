package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/store/table"
)

// SQLSTATEs that mean something here (PostgreSQL's documentation, appendix A).
const (
	divisionByZero     = "22012" // see must
	badEncoding        = "22021"
	untranslatable     = "22P05"
	readOnly           = "25006"
	warning            = "01000"
	adminShutdown      = "57P01"
	uniqueViolation    = "23505"
	serialization      = "40001"
	deadlock           = "40P01"
	leftAlone          = "25P03" // see lockWriter; nothing of the transaction stands
	preparedNever      = "26000"
	preparedTwice      = "42P05"
	diskFull           = "53100"
	noMoreConnections  = "53300"
	classConnection    = "08"
	classResources     = "53"
	classIntervention  = "57"
	unreachable        = "the database cannot be reached"
	readOnlyDatabase   = "the database takes no writes: it is a standby, or read-only; try again"
	connectionsNeeded  = "a server needs up to 12 connections: allow its role, or all, more"
	databaseIsCrowded  = "the database has no connection left: " + connectionsNeeded
	databaseDiskIsFull = "the database's disk is full"
	pooledStatements   = "there is a pooler before the database that keeps no prepared statements apart: add default_query_exec_mode=cache_describe to the URL"
)

// translated makes an error of the database what callers understand: one that
// table.ErrRaced says may be done again, or a fault for what they can do something
// about.
func translated(err error) error {
	if err == nil {
		return nil
	}
	if _, known := errors.AsType[*trouble](err); known { // its cause may be of another kind
		return err
	}
	if errors.Is(err, pgconn.ErrReadOnlyConnection) {
		return &trouble{fault.New(fault.Unavailable, readOnlyDatabase), err}
	}
	var told *pgconn.PgError
	if !errors.As(err, &told) {
		if _, ok := errors.AsType[*fault.Error](err); ok || errors.Is(err, context.Canceled) {
			return err
		}
		if lost(err) {
			return &trouble{fault.New(fault.Unavailable, "%s now; try again", unreachable), err}
		}
		return err
	}
	switch told.Code {
	case uniqueViolation, serialization, deadlock, divisionByZero, leftAlone:
		return fmt.Errorf("%w: %w", table.ErrRaced, err)
	case badEncoding, untranslatable:
		return fault.New(fault.Invalid, "a text holds a character that the database cannot keep")
	case readOnly:
		return &trouble{fault.New(fault.Unavailable, readOnlyDatabase), err}
	case preparedNever, preparedTwice:
		return &trouble{fault.New(fault.Unavailable, pooledStatements), err}
	case diskFull:
		return &trouble{fault.New(fault.Unavailable, "%s; try again", databaseDiskIsFull), err}
	case noMoreConnections:
		return &trouble{fault.New(fault.Unavailable, databaseIsCrowded), err}
	}
	// Whatever keeps a connection from being made, such as a password that was changed,
	// keeps everybody from the database.
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return &trouble{fault.New(fault.Unavailable, "%s now; try again", unreachable), err}
	}
	switch told.Code[:2] {
	case classConnection, classResources, classIntervention:
		return &trouble{fault.New(fault.Unavailable, "%s now; try again", unreachable), err}
	}
	return err
}

// code is the SQLSTATE of an error of the database.
func code(err error) string {
	if told, ok := errors.AsType[*pgconn.PgError](err); ok {
		return told.Code
	}
	return ""
}

// lost reports whether an error is the connection's.
func lost(err error) bool {
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, errClosed) || errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err) || isEOF(err)
}

// trouble is a fault with its cause, which is for the log only.
type trouble struct {
	told  *fault.Error
	cause error
}

func (t *trouble) Error() string   { return t.told.Message + ": " + t.cause.Error() }
func (t *trouble) Unwrap() []error { return []error{t.told, t.cause} }
