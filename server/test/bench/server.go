package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	key     = "bench-admin-key-0123456789abcdef0123456789"
	agentID = "bench"
)

// build compiles the program that is measured.
func build(ctx context.Context, to string) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", to, "github.com/errand-dev/errand/server/cmd/errand").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build errand: %w: %s", err, out)
	}
	return nil
}

// server is a running errand process on a data folder.
type server struct {
	addr string
	cmd  *exec.Cmd
	log  bytes.Buffer
	gone chan struct{}

	mu    sync.Mutex
	conns []*conn
}

// dial makes a connection that is closed when the server is stopped: one that
// has not been used would keep it for five seconds.
func (s *server) dial(ctx context.Context) (*conn, error) {
	c, err := dial(ctx, s.addr)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	return c, nil
}

// start runs a server on a data folder and returns when it answers.
func (b *bench) start(ctx context.Context, data string) (*server, error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	s := &server{addr: addr, gone: make(chan struct{})}
	s.cmd = exec.Command(b.binary, "serve", "--data", data, "--addr", addr) //nolint:noctx // it is stopped in its own way
	s.cmd.Env = append(os.Environ(), "ERRAND_ADMIN_KEY="+key)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.gone)
		_ = s.cmd.Wait()
	}()
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// fresh is a server on a new data folder with the agent of the measurements.
func (b *bench) fresh(ctx context.Context) (s *server, end func() error, err error) {
	data, err := os.MkdirTemp(b.dir, "data-")
	if err != nil {
		return nil, nil, err
	}
	if s, err = b.start(ctx, data); err != nil {
		return nil, nil, err
	}
	end = func() error { return errors.Join(s.stop(), os.RemoveAll(data)) }
	c, err := s.dial(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	if _, err = c.call(http.MethodPut, "/v1/agents/"+agentID, []byte(`{"name":"bench","runtime":"worker"}`)); err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return s, end, nil
}

func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// ready waits for the first answer that says so.
func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := dial(ctx, s.addr); err == nil {
			_, err = c.call(http.MethodGet, "/readyz", nil)
			_ = c.Close()
			if err == nil {
				return nil
			}
		}
		select {
		case <-s.gone:
			return fmt.Errorf("the server ended: %s", s.log.String())
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func (s *server) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close() // some have been closed
	}
	s.conns = nil
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.gone
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the server ended with %d: %s", code, s.log.String())
	}
	return nil
}

// memory is what the process holds of the machine's memory, in bytes.
func (s *server) memory() (float64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			return kib * 1024, err
		}
	}
	return 0, errors.New("the system tells no VmRSS")
}

// processor is the time that the process has computed; nothing, if there is none.
func (s *server) processor() (time.Duration, error) {
	if s == nil {
		return 0, nil
	}
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "stat"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("the system tells no times")
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// ownProcessor is how long this program has computed: whoever loads the server.
func ownProcessor() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// profile records where the server spends its time from now until the answered
// function is called, if that was asked for.
func (b *bench) profile(ctx context.Context, s *server, name string) (end func() error) {
	if s == nil || b.profiles == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		c, err := s.dial(ctx)
		if err != nil {
			done <- err
			return
		}
		seconds := strconv.Itoa(max(1, int(b.lasting.Seconds())))
		content, err := c.call(http.MethodGet, "/debug/pprof/profile?seconds="+seconds, nil)
		if err == nil {
			name = strings.ReplaceAll(name, " ", "-") + ".pprof" // the last run stands
			err = os.WriteFile(filepath.Join(b.profiles, name), content, 0o600)
		}
		done <- err
	}()
	return func() error { return <-done }
}
