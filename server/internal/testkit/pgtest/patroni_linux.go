package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Patroni is some servers, one of which takes writes. When that dies Patroni promotes a
// standby that has confirmed its commits.
type Patroni struct {
	Members []*Member
	folder  string // of etcd, by which they agree on who it is
	etcd    *process
}

// Member is a machine with a server and the Patroni that looks after it.
type Member struct {
	server  *Server // which Patroni starts
	address string  // of Patroni
	patroni *process
}

// StartPatroni starts servers for the test alone, which end with it.
//
// Without PostgreSQL, Patroni and etcd the test is skipped, in CI it fails.
func StartPatroni(tb testing.TB, members int) *Patroni {
	tb.Helper()
	p := &Patroni{}
	tb.Cleanup(func() {
		if err := p.close(); err != nil {
			tb.Error(err)
		}
	})
	if err := p.start(members); err != nil {
		giveUp(tb, err)
	}
	return p
}

func (p *Patroni) start(members int) error {
	binaries, err := find()
	if err != nil {
		return err
	}
	etcd, err := exec.LookPath("etcd")
	if err != nil {
		return errNoPatroni
	}
	if _, err := exec.LookPath("patroni"); err != nil {
		return errNoPatroni
	}
	owner, err := unprivileged()
	if err != nil {
		return err
	}
	agreeing, err := p.startEtcd(etcd, owner)
	if err != nil {
		return err
	}
	password := rand.Text()
	for n := range members {
		m := &Member{server: &Server{owner: owner, binaries: binaries}}
		p.Members = append(p.Members, m)
		if err := m.prepare(fmt.Sprint("member", n), agreeing, password); err != nil {
			return err
		}
		if err := m.Start(); err != nil {
			return err
		}
	}
	return nil
}

// startEtcd starts etcd, and returns where it is.
func (p *Patroni) startEtcd(program string, owner *account) (address string, err error) {
	if p.folder, err = folderOf(owner); err != nil {
		return "", err
	}
	if address, err = freeAddress(); err != nil {
		return "", err
	}
	others, err := freeAddress() // there are none, but it listens for them
	if err != nil {
		return "", err
	}
	p.etcd, err = spawn(p.folder, owner, "TERM", program, "--data-dir", filepath.Join(p.folder, "data"),
		"--listen-client-urls", "http://"+address, "--advertise-client-urls", "http://"+address,
		"--listen-peer-urls", "http://"+others, "--initial-advertise-peer-urls", "http://"+others, "--initial-cluster", "default=http://"+others)
	return address, err
}

// folderOf makes a folder that is an account's.
func folderOf(owner *account) (string, error) {
	folder, err := os.MkdirTemp("", "errand-postgres-")
	if err != nil {
		return "", err
	}
	return folder, owner.give(folder)
}

// freeAddress is one that nobody listens on.
func freeAddress() (string, error) {
	port, err := freePort()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// settings are those of docs/OPERATIONS.md, on which the members agree when the first of them starts.
func settings() map[string]any {
	return map[string]any{
		"synchronous_mode": true, "synchronous_mode_strict": true, "primary_start_timeout": 0,
		"ttl": 20, "loop_wait": 2, "retry_timeout": 5,
		"postgresql": map[string]any{
			"use_pg_rewind": true, "use_slots": false,
			"parameters": map[string]any{"wal_keep_size": "1GB", "wal_retrieve_retry_interval": "200ms"},
		},
	}
}

// prepare chooses addresses and writes what Patroni reads.
func (m *Member) prepare(name, agreeing, password string) (err error) {
	s := m.server
	if s.folder, err = folderOf(s.owner); err != nil {
		return err
	}
	if s.port, err = freePort(); err != nil {
		return err
	}
	if m.address, err = freeAddress(); err != nil {
		return err
	}
	at := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	s.url = &url.URL{Scheme: "postgres", User: url.UserPassword(superuser, password), Host: at, Path: "/postgres", RawQuery: "sslmode=disable"}
	login := map[string]any{"username": superuser, "password": password}
	text, err := json.Marshal(map[string]any{ // which is YAML, too
		"scope": "errand", "name": name,
		"etcd3":     map[string]any{"host": agreeing},
		"restapi":   map[string]any{"listen": m.address, "connect_address": m.address},
		"bootstrap": map[string]any{"dcs": settings(), "initdb": []any{map[string]any{"encoding": "UTF8"}, map[string]any{"locale": "C"}, "data-checksums"}},
		"postgresql": map[string]any{
			"listen": at, "connect_address": at, "data_dir": s.data(), "bin_dir": s.binaries, "pgpass": filepath.Join(s.folder, "pgpass"),
			"authentication": map[string]any{"superuser": login, "replication": login, "rewind": login},
			"parameters":     map[string]any{"unix_socket_directories": s.folder, "dynamic_shared_memory_type": "mmap"},
			"pg_hba": []any{
				"local all all scram-sha-256", "host all all 127.0.0.1/32 scram-sha-256", "host replication all 127.0.0.1/32 scram-sha-256",
			},
		},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(m.config(), text, 0o600); err != nil {
		return err
	}
	return s.owner.give(m.config())
}

func (m *Member) config() string { return filepath.Join(m.server.folder, "patroni.yml") }

// URL is how to connect to that of the servers which takes writes.
func (p *Patroni) URL(database string) string {
	servers := make([]*Server, len(p.Members))
	for i, m := range p.Members {
		servers[i] = m.server
	}
	return URLs(database, servers...)
}

// Settled tells whether one server takes writes, the others follow, and Patroni has noted which of
// these has confirmed all: before that it promotes nobody.
func (p *Patroni) Settled() bool {
	var told struct {
		Members []struct {
			Role     string
			Timeline int
		}
	}
	if err := p.Members[0].ask("/cluster", &told); err != nil || len(told.Members) != len(p.Members) {
		return false
	}
	roles := map[string]int{}
	for _, m := range told.Members {
		if m.Timeline == told.Members[0].Timeline { // one that has been a primary has yet to be rewound
			roles[m.Role]++
		}
	}
	return roles["leader"] == 1 && roles["sync_standby"] == 1 && roles["replica"] == len(p.Members)-2
}

// Confirms tells whether commits wait for this member's server.
func (m *Member) Confirms() bool {
	var told any
	return m.ask("/synchronous", &told) == nil
}

// ask asks the Patroni of a member.
func (m *Member) ask(path string, to any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.address+path, http.NoBody)
	if err != nil {
		return err
	}
	req.Close = true // no connection is left for a test to find
	got, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer got.Body.Close() //nolint:errcheck // it was only read
	if got.StatusCode != http.StatusOK {
		return errors.New(got.Status)
	}
	return json.NewDecoder(got.Body).Decode(to)
}

// URL is how to connect to one of the member's databases, as a superuser.
func (m *Member) URL(database string) string { return m.server.URL(database) }

// Kill ends the server and its Patroni, as if the machine had no power any more.
func (m *Member) Kill() error {
	err := errors.Join(m.patroni.signal("KILL"), killIn(m.server.data()))
	_ = m.patroni.wait() // that it failed is what was wanted
	m.patroni = nil
	return errors.Join(err, killIn(m.server.data())) // what Patroni has started meanwhile
}

// KillServer ends the server, and not the Patroni that looks after it.
func (m *Member) KillServer() error { return killIn(m.server.data()) }

// Start starts the Patroni of a member that was killed, which starts the server when it knows as what.
func (m *Member) Start() error {
	if m.patroni != nil {
		return nil
	}
	patroni, err := exec.LookPath("patroni")
	if err != nil {
		return err
	}
	m.patroni, err = spawn(m.server.folder, m.server.owner, "TERM", patroni, m.config())
	return err
}

// killIn kills whoever works in a folder, as all processes of a server do.
func killIn(folder string) error {
	found, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return err
	}
	for _, entry := range found {
		if at, err := os.Readlink(entry); err != nil || at != folder {
			continue // or it has just ended
		}
		pid, err := strconv.Atoi(strings.Split(entry, "/")[2])
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// close ends all and removes what they have written.
func (p *Patroni) close() (err error) {
	for _, m := range p.Members {
		if m.patroni != nil {
			err = errors.Join(err, m.Kill())
		}
		err = errors.Join(err, m.server.Close())
	}
	if p.etcd != nil {
		err = errors.Join(err, p.etcd.signal("KILL"))
		_ = p.etcd.wait() // as above
	}
	return errors.Join(err, os.RemoveAll(p.folder))
}
