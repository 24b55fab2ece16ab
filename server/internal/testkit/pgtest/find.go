package pgtest

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// ErrNotInstalled is answered on machines without a PostgreSQL server.
var ErrNotInstalled = errors.New("PostgreSQL is not installed: these tests need the programs postgres and initdb " +
	"(Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql@17), " +
	"or " + Env + " with the URL of a running server")

// errNoPatroni is answered on machines without what looks after several servers.
var errNoPatroni = errors.New("Patroni is not installed: this test needs the programs patroni and etcd (Debian, Ubuntu: apt-get install patroni etcd-server)")

// find returns the folder of postgres and initdb: that of the PATH or, as most
// systems have no server in there, the newest where systems have it.
func find() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil && complete(filepath.Dir(real)) { // the other programs are there
			return filepath.Dir(real), nil
		}
	}
	return newest(
		"/usr/lib/postgresql/*/bin", // Debian
		"/usr/pgsql-*/bin",          // the packages of PostgreSQL's own for Fedora
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/usr/local/pgsql/bin",
	)
}

// newest returns the folder with the highest version in its name.
func newest(patterns ...string) (string, error) {
	var folders []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		folders = append(folders, slices.DeleteFunc(found, func(f string) bool { return !complete(f) })...)
	}
	if len(folders) == 0 {
		return "", ErrNotInstalled
	}
	return slices.MaxFunc(folders, func(a, b string) int { return cmp.Compare(version(a), version(b)) }), nil
}

// complete tells whether a folder has what is needed.
func complete(folder string) bool {
	for _, program := range []string{"postgres", "initdb"} {
		if info, err := os.Stat(filepath.Join(folder, program)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

// version is the number in the name of a folder's parent: "15", "9.6",
// "postgresql@17", or 0.
func version(folder string) float64 {
	number := regexp.MustCompile(`[0-9.]+$`).FindString(filepath.Base(filepath.Dir(folder)))
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	return v
}
