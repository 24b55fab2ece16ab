package crash

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/errand-dev/errand/server/internal/testkit/teststore"
)

const (
	// binaryEnv names the program under test; without it, it is built.
	binaryEnv = "ERRAND_CRASH_BINARY"
	// helperEnv makes the test binary a process of some kind instead.
	helperEnv = "ERRAND_CRASH_HELPER"
	// soakEnv makes the tests long.
	soakEnv = "ERRAND_SOAK"
)

// onSQLiteOnly are the tests that are about SQLite's files, or about a server that
// has its data folder, or its clock, to itself. They are no part of the run on
// PostgreSQL, so that none counts as passed there. The nodes' tests (server/test/nodes)
// have what stands for them.
func onSQLiteOnly() []string {
	return []string{
		"TestBackup",           // errand backup copies SQLite's file; PostgreSQL has pg_dump
		"TestDiskFull",         // the disk that is full is the folder's
		"TestUnwritableFolder", // likewise
		"TestSecondServer",     // a second server on the folder is refused, on PostgreSQL it is wanted
		"TestClockJumps",       // the clock is the database's, which no test can set
		"TestClock",            // likewise
	}
}

// onPostgresOnly are the tests for which a database beside the server is needed.
func onPostgresOnly() []string { return []string{"TestKillDatabase", "TestKillNodes", "TestFaults"} }

// leaveOut leaves out what is not for the store that the tests run on.
func leaveOut() error {
	left := onPostgresOnly()
	if teststore.OnPostgres() {
		left = onSQLiteOnly()
	}
	if asked := flag.Lookup("test.skip").Value.String(); asked != "" {
		left = append(left, asked)
	}
	return flag.Set("test.skip", "^("+strings.Join(left, "|")+")$")
}

// TestMain builds the program once, and is the entry of the helper process.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if kind := os.Getenv(helperEnv); kind != "" {
		return helper(kind)
	}
	flag.Parse()
	if err := leaveOut(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if !testing.Short() && os.Getenv(binaryEnv) == "" {
		dir, err := os.MkdirTemp("", "errand-crash-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir) //nolint:errcheck // it lies in the temporary folder anyway
		binary := filepath.Join(dir, "errand")
		build := exec.Command("go", "build", "-o", binary, "github.com/errand-dev/errand/server/cmd/errand") //nolint:noctx // as long as the compiler needs
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build errand:", err)
			return 1
		}
		if err := os.Setenv(binaryEnv, binary); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	code := m.Run()
	if tolls.rounds.Load() > 0 {
		fmt.Fprintln(os.Stdout, &tolls)
	}
	return code
}
