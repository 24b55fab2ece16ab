//go:build unix

package program_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/program"
)

// family is a program with a child and a grandchild that all go on for long.
const family = `(sleep 1000 & echo $! >> $PIDS; sleep 1000) & echo $! >> $PIDS; echo $$ >> $PIDS; wait`

func TestC4StopEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	s := startPIDs(t, shell(`echo said; `+family), 3)
	s.cancel(errTold)
	s.wait(t, time.Second)
	if !errors.Is(s.err, errTold) {
		t.Errorf("C4: %v", s.err)
	}
	allGone(t, s.pids)
}

func TestC4TermThenKill(t *testing.T) {
	t.Parallel()
	t.Run("one that cleans up", func(t *testing.T) {
		t.Parallel()
		mark := filepath.Join(t.TempDir(), "mark")
		s := startPIDs(t, shell(`trap 'echo clean > `+mark+`; exit 0' TERM; echo $$ >> $PIDS; while :; do sleep 0.01; done`), 1)
		s.cancel(errTold)
		s.wait(t, patience)
		if text, err := os.ReadFile(mark); err != nil || string(text) != "clean\n" || !errors.Is(s.err, errTold) {
			t.Errorf("C4: %q, %v, %v", text, err, s.err)
		}
	})
	t.Run("one that does not listen", func(t *testing.T) {
		t.Parallel()
		p := shell(`trap '' TERM; ` + family)
		p.Grace = 200 * time.Millisecond
		s := startPIDs(t, p, 3)
		begun := time.Now()
		s.cancel(errTold)
		s.wait(t, patience)
		if took := time.Since(begun); took < p.Grace {
			t.Errorf("C4: killed after %v", took)
		}
		allGone(t, s.pids)
	})
}

func TestC4LostAttemptIsKilledAtOnce(t *testing.T) {
	t.Parallel()
	lost := errors.New("lost")
	p := shell(`trap '' TERM; ` + family)
	p.Grace = time.Hour
	s := startPIDs(t, p, 3, func(a *program.Attempt) { a.Lost = func(err error) bool { return errors.Is(err, lost) } })
	s.cancel(lost)
	s.wait(t, patience)
	allGone(t, s.pids)
}

func TestC4NothingIsLeftRunning(t *testing.T) {
	t.Parallel()
	// The shell ends at once; what it leaves behind holds standard output open.
	s := startPIDs(t, shell(`sleep 1000 & echo $! >> $PIDS`), 1)
	s.wait(t, patience)
	if s.err != nil {
		t.Error(s.err)
	}
	allGone(t, s.pids)
}

func TestC4NothingEscapes(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux lets a supervisor adopt what leaves its group")
	}
	if _, err := exec.LookPath("setsid"); err != nil { // part of util-linux, which every distribution has
		t.Fatal(err)
	}
	const leaves = `setsid sh -c 'echo $$ >> '$PIDS'; setsid sleep 1000 & echo $! >> '$PIDS'; wait' & echo $$ >> $PIDS; wait`
	s := startPIDs(t, shell(leaves), 3)
	s.cancel(errTold)
	s.wait(t, patience)
	allGone(t, s.pids)
}

func TestC4GroupDiesWithItsParent(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{parentEnv, talkerEnv} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "pids")
			parent := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
			parent.Env = append(os.Environ(), kind+"=trap '' TERM; PIDS="+file+"; "+family, "TMPDIR="+dir)
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			pids := pidsIn(t, file, 3)
			if err := parent.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = parent.Wait() // it was killed
			eventually(t, "C4: the group has died", func() bool {
				return !alive(pids[0]) && !alive(pids[1]) && !alive(pids[2])
			})
			eventually(t, "C1: its folder is gone", func() bool {
				left, err := filepath.Glob(filepath.Join(dir, "errand-task-*"))
				return err == nil && len(left) == 0
			})
		})
	}
}

// A program that is talked with ends with what it reads, is told to if it does not, and
// is killed if that does not help either.
func TestC4WhoIsTalkedWithEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script string
		grace        time.Duration
		want         string
	}{
		{"at the end of its input", `read line; echo "$line"; cat; exit 3`, time.Hour, "exit code 3"},
		{"when it is told", `read line; echo "$line"; exec sleep 600`, time.Second / 5, "terminated"},
		{"killed", `trap '' TERM; read line; echo "$line"; while :; do sleep 600; done`, time.Second / 5, "KILL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := shell(c.script)
			p.Grace = c.grace
			peer, err := p.Talk()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(peer.In, "hello\n"); err != nil {
				t.Fatal(err)
			}
			said := make([]byte, 6)
			if _, err := io.ReadFull(peer.Out, said); err != nil || string(said) != "hello\n" {
				t.Errorf("it said %q, %v", said, err)
			}
			peer.End()
			for _, stream := range []io.Reader{peer.Out, peer.Err} {
				if _, err := io.Copy(io.Discard, stream); err != nil {
					t.Error(err)
				}
			}
			if err := peer.Wait(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ended with %v, want %s", err, c.want)
			}
		})
	}
}

func TestC4GroupDiesWithItsSupervisor(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("it looks into /proc")
	}
	s := startPIDs(t, shell(`echo $PPID >> $PIDS; `+family), 4)
	eventually(t, "the supervisor has told of the group, after which it lets go of its streams", func() bool {
		stream, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/1", s.pids[0]))
		return err == nil && stream == os.DevNull
	})
	supervisor, err := os.FindProcess(s.pids[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Kill(); err != nil {
		t.Fatal(err)
	}
	s.wait(t, patience)
	if s.err == nil || !strings.Contains(s.err.Error(), "supervisor was killed") {
		t.Errorf("C4: %v", s.err)
	}
	eventually(t, "C4: the group has died", func() bool {
		return !alive(s.pids[1]) && !alive(s.pids[2]) && !alive(s.pids[3])
	})
}
