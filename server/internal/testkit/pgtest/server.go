package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options say how a server differs from what PostgreSQL does by itself.
type Options struct {
	// Volatile is for tests that do not look at what survives: nothing waits
	// for the disk (fsync=off). Commits still survive the end of the server,
	// also a sudden one: only a crash of the whole machine would lose them.
	Volatile bool
	// Settings are parameters of postgresql.conf, by name.
	Settings map[string]string
}

// Mode is how a server is told to stop.
type Mode string

const (
	// Smart waits for every client to leave by itself.
	Smart Mode = "TERM"
	// Fast ends every client's connection, and undoes its transaction.
	Fast Mode = "INT"
	// Immediate ends without cleaning up. The next start recovers.
	Immediate Mode = "QUIT"
)

// Server is a PostgreSQL server of this process's. Its methods answer errors
// and do not end a test, so any goroutine may call them, but not two at a
// time; only URL may be called at any time.
type Server struct {
	url      *url.URL // of its superuser's database
	folder   string
	owner    *account
	binaries string
	port     int
	settings []string // arguments of postgres
	running  *process // nil while it is stopped
}

// Open starts a server for a program that is no test; tests call Start. The
// caller closes it, but it also ends with the process.
func Open(o Options) (*Server, error) {
	binaries, err := find()
	if err != nil {
		return nil, err
	}
	s := &Server{binaries: binaries}
	if s.owner, err = unprivileged(); err != nil {
		return nil, err
	}
	if s.folder, err = os.MkdirTemp("", "errand-postgres-"); err != nil {
		return nil, err
	}
	if err := s.start(o); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), s.Close())
	}
	return s, nil
}

func (s *Server) start(o Options) error {
	// Everybody on the machine can connect to its port, and a superuser may run
	// programs: so there is a password. It also tells this server from
	// another one that took the port first.
	password := rand.Text()
	pwfile := filepath.Join(s.folder, "password")
	if err := os.WriteFile(pwfile, []byte(password+"\n"), 0o600); err != nil {
		return err
	}
	for _, path := range []string{s.folder, pwfile} {
		if err := s.owner.give(path); err != nil {
			return err
		}
	}
	if err := s.initialize(pwfile); err != nil {
		return err
	}
	return s.begin(o, password)
}

// begin starts a server whose data is there.
func (s *Server) begin(o Options, password string) error {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": s.folder,
		"max_connections":         "200",
		"autovacuum":              "on",
		// In the folder, and not in a /dev/shm that is small in a container and
		// keeps what a killed server leaves.
		"dynamic_shared_memory_type": "mmap",
	}
	if o.Volatile {
		settings["fsync"] = "off"
	}
	maps.Copy(settings, o.Settings)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		s.settings = append(s.settings, "-c", name+"="+settings[name])
	}
	// Somebody can take a port between its choice and its use.
	for tries := 10; ; tries-- {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.port = port
		s.url = &url.URL{
			Scheme: "postgres", User: url.UserPassword(superuser, password),
			Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/postgres", RawQuery: "sslmode=disable",
		}
		if err := s.run(); err == nil || tries == 1 || !portTaken(err) {
			return err
		}
	}
}

const superuser = "errand"

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// initialize makes the folder of the server's data.
func (s *Server) initialize(pwfile string) error {
	// The C locale sorts as SQLite does, and each machine has it. What has just been
	// made need not survive a crash of the machine (no-sync).
	p, err := s.spawn("initdb", "-D", s.data(), "--username="+superuser, "--auth=scram-sha-256", "--pwfile="+pwfile,
		"--encoding=UTF8", "--locale=C", "--no-sync")
	if err != nil {
		return err
	}
	if err := p.wait(); err != nil {
		return fmt.Errorf("initdb: %w%s", err, s.said())
	}
	return nil
}

// run starts the server and waits until it can be used.
func (s *Server) run() error {
	p, err := s.spawn("postgres", append([]string{"-D", s.data(), "-p", strconv.Itoa(s.port)}, s.settings...)...)
	if err != nil {
		return err
	}
	s.running = p
	for end := time.Now().Add(patience); ; {
		err := execute(s.url, "")
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("PostgreSQL does not become ready: %w%s", err, s.said()), s.stop(Immediate))
		}
		if p.over(20 * time.Millisecond) {
			s.running = nil
			return errors.Join(fmt.Errorf("PostgreSQL ended: %w%s", err, s.said()), p.wait())
		}
	}
}

func (s *Server) spawn(program string, args ...string) (*process, error) {
	return spawn(s.folder, s.owner, Immediate, filepath.Join(s.binaries, program), args...)
}

// said is the end of the server's log, for a message.
func (s *Server) said() string {
	log, err := os.ReadFile(filepath.Join(s.folder, logName))
	if err != nil {
		return ""
	}
	return "\n" + string(log[max(0, len(log)-2000):])
}

// portTaken tells whether another one listens where a server should.
func portTaken(err error) bool {
	return strings.Contains(err.Error(), "could not bind IPv4")
}

// URL is how to connect to one of the server's databases, as a superuser.
// "postgres" always exists, and is empty.
func (s *Server) URL(database string) string {
	u := *s.url
	u.Path, u.RawPath = "/"+database, ""
	return u.String()
}

// Stop ends the server and returns when nothing of it runs any more.
func (s *Server) Stop(mode Mode) error {
	if err := s.stop(mode); err != nil {
		return fmt.Errorf("stop PostgreSQL (%s): %w%s", mode, err, s.said())
	}
	return nil
}

// Kill ends the server like a failure of it would, with SIGKILL, and returns
// when nothing of it runs any more.
func (s *Server) Kill() error {
	if err := s.stop("KILL"); err != nil {
		return fmt.Errorf("kill PostgreSQL: %w%s", err, s.said())
	}
	return nil
}

// stop leaves a server that does not end in time running.
func (s *Server) stop(how Mode) error {
	if s.running == nil {
		return errors.New("it does not run")
	}
	if err := s.running.signal(string(how)); err != nil {
		return err
	}
	if !s.running.over(patience) {
		return errors.New("it goes on")
	}
	p := s.running
	s.running = nil
	err := p.wait()
	if how == "KILL" || how == Immediate {
		return nil // that it failed is what was wanted
	}
	return err
}

// Restart starts a stopped server again, with the same port, and stops a
// running one (Fast) before that. It returns when the server can be used.
func (s *Server) Restart() error {
	if s.running != nil {
		if err := s.Stop(Fast); err != nil {
			return err
		}
	}
	if err := s.run(); err != nil {
		return fmt.Errorf("restart PostgreSQL: %w", err)
	}
	return nil
}

// Close ends the server and removes all that it wrote.
func (s *Server) Close() error {
	var err error
	if s.running != nil {
		err = s.Stop(Immediate)
	}
	if s.running != nil {
		s.running.abandon()
		s.running = nil
	}
	releaseMemory(filepath.Join(s.data(), "postmaster.pid"))
	return errors.Join(err, os.RemoveAll(s.folder))
}

// freePort chooses a port that nobody listens on. It is below those that
// systems use for outgoing connections, which could take it while the server
// is stopped.
func freePort() (int, error) {
	var l net.ListenConfig
	for tries := 100; ; tries-- {
		port := 20000 + mathrand.IntN(12000)
		listener, err := l.Listen(context.Background(), "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
		if tries == 1 {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
	}
}
