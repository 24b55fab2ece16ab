package crash

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// halfOpen is how many connections never finish their first request.
	halfOpen = 10_000
	// headerLimit is how long the server waits for a request's header.
	headerLimit = 10 * time.Second
	// memoryLimit bounds what they may cost: 30 KiB each, in KiB.
	memoryLimit = halfOpen * 30
)

// Ten thousand clients that connect, begin a request and fall silent cost little
// memory and only ten seconds; everybody else is served meanwhile.
func TestHalfOpenConnectionsCostLittle(t *testing.T) {
	t.Parallel()
	s := prepareServer(t)
	needFiles(t, halfOpen+1000)
	s.start(t)
	c := s.client()
	c.putWorkerAgent(t, "busy", 30)
	usual := s.creates(t, c, 100)
	before := s.memory(t)

	begun := time.Now()
	conns := make([]net.Conn, halfOpen)
	var dialers sync.WaitGroup
	for worker := range 32 {
		dialers.Go(func() {
			for i := worker; i < halfOpen; i += 32 {
				conns[i] = s.begin(t, "POST /v1/tasks HTTP/1.1\r\nHost: h\r\nX-Api-Key: ")
			}
		})
	}
	dialers.Wait()
	opened := time.Since(begun)
	if t.Failed() {
		return
	}
	besieged := s.creates(t, c, 100)
	cost := s.memory(t) - before

	cut := 0
	for _, conn := range conns {
		if isCut(conn, begun.Add(opened+headerLimit+10*time.Second)) {
			cut++
		}
		_ = conn.Close() // it is cut, or counted as one that was not
	}
	t.Logf("%d connections in %v: %d KiB more memory; a create takes %v, without them %v; %d cut after %v",
		halfOpen, opened.Round(time.Millisecond), cost, besieged, usual, cut, time.Since(begun).Round(time.Millisecond))
	if cut != halfOpen {
		t.Errorf("%d connections were not cut", halfOpen-cut)
	}
	if cost > memoryLimit {
		t.Errorf("they cost %d KiB, more than %d", cost, memoryLimit)
	}
	if besieged > max(10*usual, 500*time.Millisecond) {
		t.Errorf("a create takes %v beside them, without them %v", besieged, usual)
	}
	s.quiet(t)
}

// A header without end is refused at 64 KiB, and a body without end at 20 MiB,
// or at once if there is no good key; neither fills the memory. What a sender
// gets rid of is more by the buffers on the way, 32 MiB at most on Linux.
func TestRequestsWithoutEndAreCut(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.client().putWorkerAgent(t, "busy", 30)
	before := s.memory(t)
	const chunked = "POST /v1/tasks HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nX-Api-Key: "
	chunk := "100000\r\n" + strings.Repeat(" ", 1<<20) + "\r\n"
	for _, c := range []struct {
		name, head, more string
		most             int // bytes that it may take
	}{
		{"header", "GET /v1/tasks HTTP/1.1\r\n", "X-A: " + strings.Repeat("a", 1000) + "\r\n", 48 << 20},
		{"header line", "GET /v1/tasks HTTP/1.1\r\nX-A: ", strings.Repeat("a", 1000), 48 << 20},
		{"request line", "GET /", strings.Repeat("a", 1000), 48 << 20},
		{"body", chunked + adminKey + "\r\n\r\n", chunk, 64 << 20},
		{"body without a key", chunked + "nobody's-key\r\n\r\n", chunk, 48 << 20},
	} {
		if sent, err := s.pour(t, c.head, c.more, c.most); err != nil || sent > c.most {
			t.Errorf("%s: the server took %d bytes, %v", c.name, sent, err)
		}
	}
	// The sockets' buffers on both sides take megabytes of what is sent; the
	// server's memory takes one body of 20 MiB and what growing it costs.
	if cost := s.memory(t) - before; cost > 150<<10 {
		t.Errorf("they cost %d KiB", cost)
	}
	s.quiet(t)
}

// A body that comes drop by drop is cut after a minute, with a key and without,
// and so is an upload that does not go on.
func TestDrippingBodiesAreCutInTime(t *testing.T) {
	t.Parallel()
	if os.Getenv(soakEnv) == "" {
		t.Skip("takes a minute: make soak (TestABodyThatDripsIsCut is its short form)")
	}
	s := newServer(t)
	for _, c := range []struct{ path, key string }{
		{"/v1/tasks", adminKey},
		{"/v1/tasks", "nobody's-key"},
		{"/v1/files?name=a", adminKey},
		{"/healthz", ""},
	} {
		t.Run(c.path+" "+c.key, func(t *testing.T) {
			t.Parallel()
			conn := s.begin(t, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nX-Api-Key: %s\r\nContent-Length: 200000\r\n\r\n", c.path, c.key))
			defer conn.Close() //nolint:errcheck // the server has cut it
			begun, gone := time.Now(), make(chan bool)
			go func() { gone <- isCut(conn, begun.Add(3*time.Minute)) }()
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case cut := <-gone:
					if took := time.Since(begun); !cut || took > 130*time.Second {
						t.Errorf("cut: %v, after %v", cut, took)
					}
					return
				case <-tick.C:
					_, _ = io.WriteString(conn, " ") // who is cut may not be told yet
				}
			}
		})
	}
}

// begin connects and sends the beginning of a request.
func (s *server) begin(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 20 * time.Second}).DialContext(t.Context(), "tcp", s.addr)
	if err == nil {
		_, err = io.WriteString(conn, text)
	}
	if err != nil {
		t.Errorf("connect: %v", err)
	}
	return conn
}

// pour sends a request that does not end, until the server cuts the connection
// or has taken too much. It is an error when the server does neither.
func (s *server) pour(t *testing.T, head, more string, most int) (sent int, err error) {
	t.Helper()
	conn := s.begin(t, head)
	defer conn.Close() //nolint:errcheck // the server has cut it
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, err
	}
	for sent <= most {
		n, err := io.WriteString(conn, more)
		if sent += n; errors.Is(err, os.ErrDeadlineExceeded) {
			return sent, err
		}
		if err != nil {
			return sent, nil // cut, as it should be
		}
	}
	return sent, nil
}

// isCut reads until the server has cut a connection, and reports whether it has
// in time.
func isCut(conn net.Conn, until time.Time) bool {
	if conn == nil || conn.SetReadDeadline(until) != nil {
		return false
	}
	_, err := io.Copy(io.Discard, conn)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// creates makes some tasks, one after the other, and returns how long the one
// in the middle took.
func (s *server) creates(t *testing.T, c *client, n int) time.Duration {
	t.Helper()
	took := make([]time.Duration, n)
	for i := range took {
		begun := time.Now()
		c.must(t, http.StatusCreated, http.MethodPost, "/v1/tasks", obj{"agent_id": "busy", "input": obj{"text": "x"}})
		took[i] = time.Since(begun)
	}
	slices.Sort(took)
	return took[n/2].Round(10 * time.Microsecond)
}

// memory is what the server's process holds, in KiB.
func (s *server) memory(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.proc.cmd.Process.Pid))
	if err != nil {
		t.Skipf("memory is measured on Linux: %v", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib := 0
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatalf("read VmRSS: %v", err)
	}
	return kib
}

// needFiles makes sure that this process, and the server that it starts, may
// have so many files open.
func needFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < n {
		if os.Getenv("CI") == "true" {
			t.Fatalf("may open %d files at most, and needs %d: raise `ulimit -Hn`", limit.Max, n)
		}
		t.Skipf("SKIPPED: may open %d files at most, and needs %d: raise `ulimit -Hn`", limit.Max, n)
	}
	if limit.Cur = max(limit.Cur, n); limit.Cur > limit.Max {
		limit.Cur = limit.Max
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}
