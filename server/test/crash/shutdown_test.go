package crash

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// drainFlag is the drain limit that the servers of these tests are given.
const drainFlag = 6 * time.Second

// tapped is a file server whose CSV ends only when it is told to.
type tapped struct {
	*httptest.Server
	begun  chan struct{} // a reader has the first half
	finish chan struct{} // closed: readers get the rest
}

func newTapped(t *testing.T) *tapped {
	t.Helper()
	x := &tapped{begun: make(chan struct{}, 8), finish: make(chan struct{})}
	x.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/csv")
		_, _ = io.WriteString(w, "region,amount\n"+strings.Repeat("north,1\n", 500)) // a reader that goes is no matter
		_ = http.NewResponseController(w).Flush()
		x.begun <- struct{}{}
		select {
		case <-x.finish:
			_, _ = io.WriteString(w, strings.Repeat("south,2\n", 500))
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() {
		x.CloseClientConnections()
		x.Close()
	})
	return x
}

// profileTask starts a task of the built-in profiler and waits until it reads.
func profileTask(t *testing.T, c *client, files *tapped) string {
	t.Helper()
	return profileTaskOf(t, c, "profile", files)
}

// profileTaskOf is profileTask with an agent of its own.
func profileTaskOf(t *testing.T, c *client, agent string, files *tapped) string {
	t.Helper()
	made := c.create(t, obj{"agent_id": agent, "input": obj{"text": "profile it", "files": []string{files.URL + "/sales.csv"}}})
	select {
	case <-files.begun:
	case <-time.After(10 * time.Second):
		t.Fatal("the profiler did not begin to read")
	}
	eventually(t, 5*time.Second, "the task executes", func() bool { return c.task(t, made.ID).Status == "executing" })
	return made.ID
}

// parting is what open requests got when the server went.
type parting struct {
	who string
	err error
	at  time.Time
}

// TestTerm asks a busy server to end: streams and long polls end properly,
// running work is finished, and what was acknowledged meanwhile is there.
func TestTerm(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--drain", drainFlag.String(), "--allow-private", "127.0.0.0/8")
	c := s.client()
	c.putWorkerAgent(t, "idle", 30)
	files := newTapped(t)
	id := profileTask(t, c, files)

	a := newAudience(t)
	partings := make(chan parting, 8)
	leave := func(who string, do func() error) {
		a.all.Go(func() {
			err := do()
			partings <- parting{who, err, time.Now()}
		})
	}
	leave("the v1 stream", func() error {
		stream, err := s.client().open(a.ctx, "/v1/tasks/"+id+"/events", "")
		if err != nil {
			return err
		}
		defer stream.close()
		for err == nil {
			_, err = stream.next()
		}
		return notEOF(err)
	})
	leave("the Python stream", func() error {
		_, err := pythonView(a, s.client(), id)
		return err
	})
	leave("the Python worker", func() error {
		stream, err := s.client().open(a.ctx, "/default/events/idle", "")
		if err != nil {
			return err
		}
		defer stream.close()
		_, err = io.Copy(io.Discard, stream.body)
		return err
	})
	polling := make(chan struct{})
	traced := httptrace.WithClientTrace(a.ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { close(polling) },
	})
	leave("the long poll", func() error {
		got, ans, err := s.client().claims(traced, "idle", "poller", 30)
		if err == nil && (ans.status != http.StatusOK || len(got) != 0) {
			err = errors.New(ans.String())
		}
		return err
	})
	eventually(t, 10*time.Second, "everybody is there", func() bool {
		return openStreams(t, s) >= 3 && strings.Contains(s.log(t), "worker connected") // the pool watches its task too
	})
	<-polling
	hammered := hammer(a, s)
	told := time.Now()
	s.term(t)
	for range 4 {
		p := <-partings
		if p.err != nil {
			t.Errorf("%s did not end properly: %v", p.who, p.err)
		}
		if late := p.at.Sub(told); late > 2*time.Second {
			t.Errorf("%s ended %v after SIGTERM", p.who, late)
		}
	}
	await(200 * time.Millisecond) // the server still answers while its work goes on
	close(files.finish)           // now that can end
	if code := s.proc.ended(t, drainFlag+6*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	took := time.Since(told)
	if took > drainFlag {
		t.Errorf("it took %v to end, though nothing ran any more", took)
	}
	a.all.Wait()
	s.start(t)
	c = s.client()
	if now := c.task(t, id); now.Status != "completed" || now.Attempt != 1 || now.Result == nil || !strings.Contains(*now.Result, "south") {
		t.Errorf("the running task was not finished: %s, attempt %d", now.Status, now.Attempt)
	}
	for _, made := range hammered.made {
		if now := c.task(t, made); now.Status != "pending" {
			t.Errorf("created while the server went: %s is %s", made, now.Status)
		}
	}
	var list struct {
		Total int `json:"total"`
	}
	c.must(t, 200, http.MethodGet, "/v1/tasks?agent_id=idle", nil).into(t, &list)
	if list.Total != len(hammered.made) {
		t.Errorf("%d creates were stored, and only %d of them answered", list.Total, len(hammered.made))
	}
	t.Logf("ended %v after SIGTERM; meanwhile %d creates were acknowledged, %d refused by an answer, %d by no connection",
		took.Round(time.Millisecond), len(hammered.made), hammered.answered, hammered.refused)
	if hammered.refused == 0 {
		t.Error("nobody called a server that was gone")
	}
	s.quiet(t)
}

// notEOF is nil for the clean end of a stream.
func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// refused reports whether no server took a call. The kernel resets the connections
// that wait when nobody listens any more, which a client that writes at that moment
// may see as the end of what it reads.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)
}

// hammering is what calls got while the server went.
type hammering struct {
	made              []string
	answered, refused int
}

// hammer creates tasks, each over a new connection, until there is no server
// any more.
func hammer(a *audience, s *server) *hammering {
	h := &hammering{}
	begun := make(chan struct{})
	var once sync.Once
	a.all.Go(func() {
		defer once.Do(func() { close(begun) })
		for h.refused < 20 && a.ctx.Err() == nil {
			c := s.client()
			c.http.Transport = &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}
			ans, err := c.call(a.ctx, http.MethodPost, "/v1/tasks", obj{"agent_id": "idle", "worker_id": "nobody", "input": obj{"text": "late"}})
			once.Do(func() { close(begun) })
			var body struct {
				ID   string `json:"id"`
				Code string `json:"code"`
			}
			switch {
			case refused(err):
				h.refused++
			case err != nil:
				a.t.Errorf("a call while the server went: %v", err)
				return
			case json.Unmarshal(ans.body, &body) != nil:
				a.t.Errorf("a call while the server went: %s", ans)
			case ans.status == http.StatusCreated:
				h.made = append(h.made, body.ID)
			case ans.status == http.StatusServiceUnavailable && body.Code == "unavailable":
				h.answered++
			default:
				a.t.Errorf("a call while the server went: %s", ans)
			}
			select {
			case <-a.ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	<-begun
	return h
}

// TestTermGivesBack ends a server whose running work outlasts the drain limit:
// the work is given back, and done after the next start.
func TestTermGivesBack(t *testing.T) {
	t.Parallel()
	const drain = time.Second
	s := newServer(t, "--drain", drain.String(), "--allow-private", "127.0.0.0/8")
	c := s.client()
	files := newTapped(t)
	id := profileTask(t, c, files)
	told := time.Now()
	s.term(t)
	if code := s.proc.ended(t, drain+10*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	took := time.Since(told)
	if took < drain || took > drain+4*time.Second {
		t.Errorf("it took %v to end with a drain limit of %v", took, drain)
	}
	close(files.finish)
	s.start(t)
	c = s.client()
	eventually(t, 15*time.Second, "the task is done by the next start", func() bool { return c.task(t, id).ended() })
	now := c.task(t, id)
	if now.Status != "completed" || now.Attempt != 2 {
		t.Errorf("the task is %s by attempt %d", now.Status, now.Attempt)
	}
	events, _ := c.mustLog(t, id)
	lost := 0
	for _, e := range events {
		if e.Type == "attempt_lost" {
			lost++
		}
	}
	if lost != 1 {
		t.Errorf("the log has %d attempt_lost", lost)
	}
	t.Logf("given back %v after SIGTERM, done by attempt %d", took.Round(time.Millisecond), now.Attempt)
	s.quiet(t)
}

// TestSecondServer starts another server on a data folder in use, and another
// one on an address in use.
func TestSecondServer(t *testing.T) {
	t.Parallel()
	first := newServer(t)
	c := first.client()
	c.putWorkerAgent(t, "idle", 30)
	made := c.create(t, obj{"agent_id": "idle", "input": obj{"text": "before"}})

	for name, change := range map[string]func(*server){
		"data folder": func(s *server) { s.data = first.data },
		"address":     func(s *server) { s.addr = first.addr },
	} {
		second := prepareServer(t)
		change(second)
		second.launch(t)
		if code := second.proc.ended(t, 15*time.Second); code != 1 {
			t.Errorf("same %s: exit code %d", name, code)
		}
		said := strings.TrimSpace(second.log(t))
		lines := strings.Split(said, "\n")
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "errand: ") {
			t.Errorf("same %s: it said\n%s", name, said)
		}
		if name == "address" {
			if left, err := os.ReadDir(second.data); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a server that never served has left %v, %v", left, err)
			}
		}
		if name == "data folder" && !strings.Contains(said, first.data) {
			t.Errorf("it does not name the folder: %s", said)
		}
		t.Logf("same %s: %s", name, said)
	}
	c.must(t, http.StatusOK, http.MethodGet, "/readyz", nil)
	if got := c.task(t, made.ID); got.Input.Text != "before" {
		t.Errorf("the task is %+v", got)
	}
	c.create(t, obj{"agent_id": "idle", "input": obj{"text": "after"}})
	address, err := os.ReadFile(filepath.Join(first.data, "address"))
	if err != nil || strings.TrimSpace(string(address)) != first.url() {
		t.Errorf("the address file says %q, %v", address, err)
	}
	first.term(t)
	if code := first.proc.ended(t, 10*time.Second); code != 0 {
		t.Errorf("the first one's exit code is %d", code)
	}
	first.quiet(t)
}
