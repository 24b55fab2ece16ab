package pgtest

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Standby starts a server that has what this one has, and follows it from now on. Whoever
// started this one closes it, before or after it.
func (s *Server) Standby(o Options) (*Server, error) {
	follower := &Server{binaries: s.binaries, owner: s.owner}
	var err error
	if follower.folder, err = os.MkdirTemp("", "errand-postgres-"); err != nil {
		return nil, err
	}
	if err := follower.copyOf(s, o); err != nil {
		return nil, errors.Join(fmt.Errorf("start a standby: %w", err), follower.Close())
	}
	return follower, nil
}

func (s *Server) copyOf(primary *Server, o Options) error {
	if err := s.owner.give(s.folder); err != nil {
		return err
	}
	if err := s.fetch(primary); err != nil {
		return err
	}
	password, _ := primary.url.User.Password()
	return s.begin(o, password)
}

// Rejoin lets a server that was ended begin anew as a standby of another, under the URL
// that it has.
func (s *Server) Rejoin(primary *Server) error {
	if err := os.RemoveAll(s.data()); err != nil {
		return err
	}
	if err := s.fetch(primary); err != nil {
		return err
	}
	return s.run()
}

// fetch makes the server's data that of another.
func (s *Server) fetch(primary *Server) error {
	p, err := s.spawn("pg_basebackup", "-D", s.data(), "-d", primary.conninfo(), "-R", "-X", "stream", "-c", "fast", "--no-sync")
	if err != nil {
		return err
	}
	if err := p.wait(); err != nil {
		return fmt.Errorf("pg_basebackup: %w%s", err, s.said())
	}
	return nil
}

// conninfo is how a standby reaches its primary.
func (s *Server) conninfo() string {
	password, _ := s.url.User.Password()
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s", s.port, superuser, password)
}

// Promote makes a standby a primary, and returns when it takes writes.
func (s *Server) Promote() error { return execute(s.url, "SELECT pg_promote()") }

// Follow lets a standby follow another primary.
func (s *Server) Follow(primary *Server) error {
	return errors.Join(execute(s.url, "ALTER SYSTEM SET primary_conninfo = '"+primary.conninfo()+"'"), execute(s.url, "SELECT pg_reload_conf()"))
}

// URLs is how to connect to that of several servers which takes writes.
func URLs(database string, servers ...*Server) string {
	u := *servers[0].url
	hosts := make([]string, len(servers))
	for i, s := range servers {
		hosts[i] = s.url.Host
	}
	u.Host, u.Path = strings.Join(hosts, ","), "/"+database
	return u.String()
}
