package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// site is where a peer runs for one turn: its folder, and the programs that do its
// work, this one among them.
type site struct {
	dir    string
	errand string // the program
	// program is what the peer needs beside that, "" for nothing.
	program string
	// programs are the processes that count, each with its children.
	programs []int
	drop     func() error // of the database, nil for none
	said     bytes.Buffer // by programs
}

// database makes an empty database, on the PostgreSQL that all peers of the run share.
func (s *site) database(ctx context.Context) (string, error) {
	url, err := pgtest.Create() //nolint:contextcheck // it has its own limit
	if err != nil {
		return "", err
	}
	s.drop = func() error { return pgtest.Drop(url) } //nolint:contextcheck // as above
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	var backend int
	err = conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return "", err
	}
	fields, err := stat(backend)
	if err != nil {
		return "", fmt.Errorf("PostgreSQL runs elsewhere: %w", err)
	}
	server, err := strconv.Atoi(fields[1]) // it begot the backend
	s.programs = append(s.programs, server)
	return url, err
}

// spawn starts a program that belongs to the peer.
func (s *site) spawn(cmd *exec.Cmd) error {
	cmd.Stdout, cmd.Stderr = &s.said, &s.said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.programs = append(s.programs, cmd.Process.Pid)
	return nil
}

// end ends a program and waits for it.
func (s *site) end(cmd *exec.Cmd) error {
	if cmd == nil || cmd.Process == nil {
		return nil
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd.Path, err, s.said.Bytes()[max(0, s.said.Len()-2000):])
	}
	return nil
}

func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// stat is what the system tells of a process, from its state on.
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return nil, errors.New("the system tells nothing of a process")
	}
	return fields, nil
}

// all are the processes that count: this one, the peer's programs and their children.
func (s *site) all() []int {
	found := map[int]bool{os.Getpid(): true}
	for _, pid := range s.programs {
		found[pid] = true
	}
	parents := map[int]int{}
	entries, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	for _, entry := range entries {
		pid, _ := strconv.Atoi(filepath.Base(entry)) // it is a number
		if fields, err := stat(pid); err == nil {    // else it has just ended
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	for grown := true; grown; {
		grown = false
		for pid, parent := range parents {
			if found[parent] && !found[pid] {
				found[pid], grown = true, true
			}
		}
	}
	pids := make([]int, 0, len(found))
	for pid := range found {
		pids = append(pids, pid)
	}
	return pids
}

// processor is the time that all of them have computed, and their children that have ended.
func (s *site) processor() time.Duration {
	var ticks int
	for _, pid := range s.all() {
		fields, err := stat(pid)
		if err != nil {
			continue // it has just ended
		}
		for _, field := range fields[11:15] {
			n, _ := strconv.Atoi(field) // it is a number
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on every Linux
}

// memory is what all of them hold, in bytes; pages that some share count once.
func (s *site) memory() (sum float64, err error) {
	for _, pid := range s.all() {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "Pss:" {
				kib, err := strconv.ParseFloat(fields[1], 64)
				if err != nil {
					return 0, err
				}
				sum += kib * 1024
			}
		}
	}
	return sum, nil
}
