//go:build unix

package program_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/errand-dev/errand/server/internal/program"
	"github.com/errand-dev/errand/server/internal/task"
)

// parentEnv makes the test binary a parent that waits for a program, and dies
// when the test kills it.
const parentEnv = "ERRAND_TEST_PARENT"

// talkerEnv makes it a parent that talks with a program, and dies the same.
const talkerEnv = "ERRAND_TEST_TALKER"

func TestMain(m *testing.M) {
	if code, mine := program.Supervise(os.Args[1:]); mine {
		os.Exit(code)
	}
	// Else each supervisor of a race build takes a second to end.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	if script := os.Getenv(parentEnv); script != "" {
		_, err := shell(script).Execute(context.Background(), program.Attempt{
			TaskID: "t", Number: 1, Task: []byte("{}"),
			Emit: func(context.Context, []program.Event) error { return nil },
		})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if script := os.Getenv(talkerEnv); script != "" {
		p, err := shell(script).Talk()
		if err == nil {
			_, err = io.Copy(io.Discard, p.Out)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of a test.
const patience = 20 * time.Second

// shell is a program in shell.
func shell(script string) program.Program {
	return program.Program{Run: []string{"sh", "-c", script}, Env: []string{"GORACE"}}
}

// log keeps what a program said.
type log struct {
	mu      sync.Mutex
	events  []program.Event
	batches int
}

func (l *log) emit(_ context.Context, events []program.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, events...)
	l.batches++
	return nil
}

// texts are the data of all events, by line.
func (l *log) texts() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, e := range l.events {
		all = append(all, string(e.Type)+" "+string(e.Data))
	}
	return all
}

func attempt(l *log) program.Attempt {
	return program.Attempt{
		TaskID: "task-1", Number: 2, Task: []byte(`{"id":"task-1"}`), Message: "Do it\nFiles: u", Emit: l.emit,
	}
}

// run runs a script to its end.
func run(t *testing.T, p program.Program) (string, *log, error) {
	t.Helper()
	l := &log{}
	result, err := p.Execute(t.Context(), attempt(l))
	return result, l, err
}

// started is a program under way, which has written numbers of processes.
type started struct {
	cancel context.CancelCauseFunc
	ended  chan struct{}
	err    error
	log    *log
	pids   []int
}

var errTold = errors.New("told to stop")

// startPIDs starts a program that writes n pids to $PIDS, and waits for them.
func startPIDs(t *testing.T, p program.Program, n int, change ...func(*program.Attempt)) *started {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pids")
	p.Run = []string{"sh", "-c", "PIDS=" + file + "; " + p.Run[2]}
	s := start(t, p, change...)
	s.pids = pidsIn(t, file, n)
	return s
}

// start starts a program.
func start(t *testing.T, p program.Program, change ...func(*program.Attempt)) *started {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	s := &started{cancel: cancel, ended: make(chan struct{}), log: &log{}}
	a := attempt(s.log)
	for _, c := range change {
		c(&a)
	}
	go func() {
		defer close(s.ended)
		_, s.err = p.Execute(ctx, a)
	}()
	t.Cleanup(func() { cancel(nil); <-s.ended })
	return s
}

func pidsIn(t *testing.T, file string, n int) (pids []int) {
	t.Helper()
	eventually(t, "the program has started", func() bool {
		text, _ := os.ReadFile(file)
		lines := strings.Fields(string(text))
		pids = nil
		for _, line := range lines {
			pid, err := strconv.Atoi(line)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
		return len(pids) == n && bytes.HasSuffix(text, []byte("\n"))
	})
	return pids
}

func (s *started) wait(t *testing.T, limit time.Duration) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(limit):
		t.Fatalf("the program still ran after %v", limit)
	}
}

// alive tells whether a process runs; one that has ended and that nobody has
// asked for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil {
		return !strings.Contains(string(stat[bytes.LastIndexByte(stat, ')'):]), " Z ")
	}
	return syscall.Kill(pid, 0) == nil
}

func allGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d still runs", pid)
		}
	}
}

func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(patience)
	defer over.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// concat is the text of all chunks.
func (l *log) concat(t *testing.T) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var text strings.Builder
	for _, e := range l.events {
		if e.Type != task.Chunk {
			t.Fatalf("a %s event", e.Type)
		}
		text.WriteString(unquote(t, e.Data))
	}
	return text.String()
}
