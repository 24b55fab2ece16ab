package crash

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// disk is where a server's data folder lies, and how it is filled.
type disk interface {
	// place makes the folder's parent.
	place(t *testing.T) string
	// fill takes all room from the running server, free gives it back.
	fill(t *testing.T, s *server)
	free(t *testing.T, s *server)
	// reason is what clients are told.
	reason() string
}

// small is a file system of its own that is really full: every write behind
// the last free block fails.
type small struct{ dir, ballast string }

func (d *small) place(t *testing.T) string {
	t.Helper()
	d.dir = t.TempDir()
	d.ballast = filepath.Join(d.dir, "ballast")
	if err := unix.Mount("errand-test", d.dir, "tmpfs", 0, "size=48m"); err != nil {
		t.Skipf("no file system can be mounted here (%v); TestDiskFull/ReadOnly shows the same without one", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d.dir
}

func (d *small) fill(t *testing.T, _ *server) {
	t.Helper()
	f, err := os.Create(d.ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it is there to be in the way
	for size := 1 << 20; size >= 4096; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, unix.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func (d *small) free(t *testing.T, _ *server) {
	t.Helper()
	if err := os.Remove(d.ballast); err != nil {
		t.Fatal(err)
	}
}

func (*small) reason() string { return "the server's disk is full" }

// quota forbids the server to write to any file, as a file system does that the
// kernel has made read-only under a running program. It needs no rights.
type quota struct{}

func (quota) place(t *testing.T) string {
	t.Helper()
	return t.TempDir()
}

func (quota) fill(t *testing.T, s *server) {
	t.Helper()
	s.limitFiles(t, 0)
}

func (quota) free(t *testing.T, s *server) {
	t.Helper()
	s.limitFiles(t, unix.RLIM_INFINITY)
}

func (quota) reason() string { return "the server's disk cannot be written" }

// limitFiles says how large files may be that the server writes.
func (s *server) limitFiles(t *testing.T, size uint64) {
	t.Helper()
	pid := s.proc.cmd.Process.Pid
	var now unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &now); err != nil {
		t.Fatal(err)
	}
	now.Cur = min(size, now.Max)
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &now, nil); err != nil {
		t.Fatal(err)
	}
}

// TestDiskFull takes the server's disk away under load and gives it back: what
// cannot be stored is answered 503 with the reason, what was acknowledged is
// there, and the server goes on by itself.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]disk{"Full": &small{}, "ReadOnly": quota{}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := prepareServer(t)
			s.data, s.unlogged = filepath.Join(d.place(t), "data"), true
			s.start(t)
			x := newStorm(t, s, s.url())
			for range rounds(1, 8) {
				if t.Failed() {
					break
				}
				x.blow(t, func() {
					await(x.between(200*time.Millisecond, 500*time.Millisecond))
					d.fill(t, s)
					tolls.faults.Add(1)
					turnedAway(t, s, d)
					await(x.between(0, 2*loadLease*time.Second)) // leases do not run out meanwhile
					d.free(t, s)
					eventually(t, 5*time.Second, "the server is ready again", func() bool { return s.ready(t) == "" })
					await(300 * time.Millisecond)
				})
				checked := x.settle(t)
				t.Logf("round %d: %v; %d tasks checked", x.round, x.book.counts, checked)
				if x.book.counts.turnedAway == 0 {
					t.Error("nobody was turned away")
				}
			}
			x.end(t, "the store cannot write")
			// A small write may fit where a large one does not; but the log is not
			// told by everybody who is turned away.
			for _, line := range []string{"the store cannot write", "the store can write again"} {
				if n := strings.Count(s.log(t), line); n < x.round || n > 30*x.round {
					t.Errorf("the log says %d times that %s, in %d rounds", n, line, x.round)
				}
			}
		})
	}
}

// turnedAway looks at what those are told who want to store something.
func turnedAway(t *testing.T, s *server, d disk) {
	t.Helper()
	c := s.client()
	eventually(t, 5*time.Second, "the server is not ready", func() bool { return strings.Contains(s.ready(t), d.reason()) })
	large := pad(2 << 20)
	for path, body := range map[string]any{
		"/v1/tasks":                obj{"agent_id": loadAgent, "input": obj{"text": large[:1<<20]}},
		"/v1/files?name=sales.csv": large,
	} {
		a := c.must(t, http.StatusServiceUnavailable, http.MethodPost, path, body, "Content-Type", "application/octet-stream")
		if got := string(a.body); !strings.Contains(got, `"unavailable"`) || !strings.Contains(got, "the server's disk ") || a.header.Get("Retry-After") == "" {
			t.Errorf("%s was answered %s", path, a)
		}
	}
	c.must(t, http.StatusOK, http.MethodGet, "/v1/tasks?per_page=5", nil) // what is there can be read
	c.must(t, http.StatusOK, http.MethodGet, "/healthz", nil)
	if left, err := filepath.Glob(filepath.Join(s.data, "files", "upload-*")); err != nil || len(left) > 0 {
		t.Errorf("left of the uploads: %v, %v", left, err)
	}
}

// ready returns why the server says that it is not ready, "" if it is.
func (s *server) ready(t *testing.T) string {
	t.Helper()
	a, err := s.client().call(t.Context(), http.MethodGet, "/readyz", nil)
	switch {
	case err != nil:
		t.Fatal(err)
	case a.status != http.StatusOK && a.status != http.StatusServiceUnavailable:
		t.Errorf("/readyz: %s", a)
	case a.status == http.StatusOK:
		return ""
	}
	return a.String()
}

// TestUnwritableFolder starts servers that cannot write to their data folder:
// each says so in one line, and ends. Afterwards the folder serves as before.
func TestUnwritableFolder(t *testing.T) {
	t.Parallel()
	for name, protect := range map[string]func(*testing.T, *server) (undo func()){
		"ReadOnly": readOnly,
		"Full": func(t *testing.T, s *server) func() {
			t.Helper()
			s.full = true
			return func() { s.full = false }
		},
	} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/first start %v", name, first), func(t *testing.T) {
				t.Parallel()
				s := prepareServer(t)
				if err := os.MkdirAll(s.data, 0o700); err != nil {
					t.Fatal(err)
				}
				id := ""
				if !first {
					s.start(t)
					s.client().putWorkerAgent(t, "x", 30)
					id = s.client().create(t, obj{"agent_id": "x", "input": obj{"text": "before"}}).ID
					s.kill(t)
				}
				undo := protect(t, s)
				said := len(s.log(t))
				s.launch(t)
				if code := s.proc.ended(t, 15*time.Second); code != 1 {
					t.Errorf("exit code %d", code)
				}
				line := strings.TrimSpace(s.log(t)[said:])
				t.Log(line)
				if strings.Contains(line, "\n") || !strings.HasPrefix(line, "errand: ") || !strings.Contains(line, s.data) {
					t.Errorf("it said:\n%s", line)
				}
				undo()
				s.start(t)
				if id != "" && s.client().task(t, id).Input.Text != "before" {
					t.Error("the task is lost")
				}
				s.quiet(t)
			})
		}
	}
}

// readOnly makes the data folder read-only: by a mount, or, where that is not
// possible, by its mode, which binds everybody but root.
func readOnly(t *testing.T, s *server) (undo func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		if err := os.Chmod(s.data, 0o500); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.Chmod(s.data, 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := unix.Mount(s.data, s.data, "", unix.MS_BIND, "")
	if err != nil {
		t.Skipf("root without the right to mount cannot have a read-only folder (%v); TestUnwritableFolder/Full shows the rest", err)
	}
	mounted := true
	undo = func() {
		if mounted {
			mounted = false
			if err := unix.Unmount(s.data, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(undo)
	if err := unix.Mount("", s.data, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	return undo
}
