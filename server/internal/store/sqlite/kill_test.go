package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// victimDir names the data folder of the process that is to be killed.
const victimDir = "ERRAND_TEST_VICTIM"

// victim writes tasks without end and prints the id of each that was
// acknowledged.
func victim(dir string) int {
	s, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() { // the test is gone: so is its victim
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	var out sync.Mutex
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("t-%d-%d-%d", os.Getpid(), i, n)
				for _, fn := range []func(lifecycle.Tx) error{
					func(tx lifecycle.Tx) error { return create(tx, id) },
					func(tx lifecycle.Tx) error {
						return apply(tx, id, task.Append{Events: []task.Event{{Type: task.AgentMessage, Own: []byte(`"x"`)}}})
					},
				} {
					if err := s.Write(context.Background(), about(id), fn); err != nil {
						fmt.Fprintln(os.Stderr, err)
						os.Exit(1)
					}
				}
				out.Lock()
				fmt.Fprintln(os.Stdout, id)
				out.Unlock()
			}
		})
	}
	all.Wait()
	return 0
}

// kill -9 at any moment loses nothing that was acknowledged, and the store
// opens again as if it had been closed.
func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var acknowledged []string
	for round := range 4 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), victimDir+"="+dir)
		var said strings.Builder
		cmd.Stderr = &said
		if _, err := cmd.StdinPipe(); err != nil { // its end is the victim's, see there
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 100+77*round && lines.Scan(); n++ {
			acknowledged = append(acknowledged, lines.Text())
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it had printed before
			if id := lines.Text(); strings.Count(id, "-") == 3 {
				acknowledged = append(acknowledged, id)
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the process ended by itself")
		} else if said.Len() > 0 {
			t.Fatalf("the process failed: %s", said.String())
		}
	}
	s := open(t, dir)
	if check := texts(t, s, "PRAGMA integrity_check"); len(check) != 1 || check[0] != "ok" {
		t.Fatalf("integrity: %v", check)
	}
	for _, id := range acknowledged[:len(acknowledged)-1] { // the last line may be cut
		found, err := s.Task(t.Context(), auth.All("o"), id)
		if err != nil {
			t.Fatalf("acknowledged: %v", err)
		}
		if found.Task.LastSeq != 2 {
			t.Errorf("%s has %d events, want 2", id, found.Task.LastSeq)
		}
	}
	for what, query := range map[string]string{
		"tasks that are stored in part": `SELECT id FROM tasks t WHERE last_seq <> (SELECT count(*) FROM events e WHERE e.org = t.org AND e.task = t.id)
			OR NOT EXISTS (SELECT 1 FROM turns u WHERE u.org = t.org AND u.task = t.id)`,
		"tasks that the feed tells in part": `SELECT id FROM tasks t
			WHERE last_seq <> (SELECT sum(last_seq - first_seq + 1) FROM feed f WHERE f.org = t.org AND f.task = t.id)`,
		"entries of the feed without a task": `SELECT task FROM feed f WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.org = f.org AND t.id = f.task)`,
	} {
		if torn := texts(t, s, query); len(torn) > 0 {
			t.Errorf("%s: %v", what, torn)
		}
	}
	t.Logf("%d acknowledged tasks survived", len(acknowledged))
}
