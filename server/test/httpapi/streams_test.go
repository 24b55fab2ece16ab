package httpapi_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/app"
)

// wire is a connection by which a test says what it wants, byte by byte.
type wire struct {
	*testing.T
	net.Conn
	in     *bufio.Reader
	method string // of the last request
}

// heard is an answer whose head was read.
type heard struct {
	head   http.Header
	closes bool // the connection
	rest   io.Reader
}

func (s *server) dial(t *testing.T) *wire {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err == nil {
		err = c.SetDeadline(time.Now().Add(patience))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &wire{T: t, Conn: c, in: bufio.NewReader(c)}
}

// ask sends a GET, with the head's further lines.
func (w *wire) ask(path, version string, lines ...string) {
	w.Helper()
	w.send("GET "+path+" HTTP/"+version, lines...)
}

func (w *wire) send(first string, lines ...string) {
	w.Helper()
	w.method, _, _ = strings.Cut(first, " ")
	head := append([]string{first, "Host: errand", "x-api-key: " + adminKey}, lines...)
	if _, err := io.WriteString(w, strings.Join(head, "\r\n")+"\r\n\r\n"); err != nil {
		w.Fatal(err)
	}
}

// answer reads the head of an answer.
func (w *wire) answer() heard {
	w.Helper()
	res, err := http.ReadResponse(w.in, &http.Request{Method: w.method}) //nolint:bodyclose // it is the connection, which is closed
	if err != nil {
		w.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		w.Fatalf("answered %s", res.Status)
	}
	return heard{res.Header, res.Close, res.Body}
}

// all reads an answer to its end.
func (w *wire) all(a heard) string {
	w.Helper()
	text, err := io.ReadAll(a.rest)
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// silent reads a stream until it tells that nothing happens.
func (w *wire) silent(a heard) {
	w.Helper()
	for in := bufio.NewScanner(a.rest); in.Text() != ": ka"; {
		if !in.Scan() {
			w.Fatalf("the stream has ended: %v", in.Err())
		}
	}
}

// isClosed waits until the server has closed the connection.
func (w *wire) isClosed() {
	w.Helper()
	if b, err := w.in.ReadByte(); err != io.EOF {
		w.Errorf("the connection goes on: %q, %v", b, err)
	}
}

const live = "Accept: text/event-stream"

// A stream is sent by its connection alone, which is the server's again behind it.
func TestT7AConnectionGoesOnBehindItsStreams(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	w := s.dial(t)
	for i := range 3 {
		id := fmt.Sprintf("task-%d", i)
		s.task(t, id)
		w.ask("/v1/tasks/"+id+"/events", "1.1", live)
		res := w.answer()
		if i == 1 { // in the midst of it
			w.ask("/v1/tasks/"+id, "1.1")
		}
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/" + id + "/stop"})
		if text := w.all(res); !strings.Contains(text, "event: task_created\n") || !strings.Contains(text, "event: task_finished\n") {
			t.Errorf("the stream was %q", text)
		}
		if i == 0 {
			w.ask("/v1/tasks/"+id, "1.1")
		}
		if i < 2 {
			if text := w.all(w.answer()); !strings.Contains(text, `"id":"`+id+`"`) {
				t.Errorf("answered %s", text)
			}
		}
	}
	if err := s.Stop(); err != nil { // it waits for nobody who has nothing to ask
		t.Error(err)
	}
	w.isClosed()
}

// Whoever wants no more than one answer gets that.
func TestT7TheLastStreamOfAConnection(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	old, closing, silent := s.dial(t), s.dial(t), s.dial(t)
	old.ask("/v1/tasks/one/events", "1.0", live)
	closing.ask("/v1/tasks/one/events", "1.1", live, "Connection: close")
	silent.ask("/v1/tasks/one/events", "1.1", live)
	first, second, third := old.answer(), closing.answer(), silent.answer()
	if !first.closes || !second.closes || third.closes {
		t.Errorf("closed afterwards: %t, %t, %t", first.closes, second.closes, third.closes)
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/stop"})
	for w, res := range map[*wire]heard{old: first, closing: second} {
		if text := w.all(res); !strings.Contains(text, "event: task_finished\n") {
			t.Errorf("the stream was %q", text)
		}
		w.isClosed()
	}
	if text := silent.all(third); !strings.Contains(text, "event: task_finished\n") {
		t.Errorf("the stream was %q", text)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	silent.isClosed()
}

// Whoever wants the head of a stream gets no more than that, and the connection goes on.
func TestT7TheHeadOfAStream(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.agent(t, "agent-1")
	s.task(t, "one")
	w := s.dial(t)
	w.send("HEAD /v1/tasks/one/events HTTP/1.1", live)
	if got := w.answer().head.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("answered a %q", got)
	}
	s.must(t, 200, call{method: "POST", path: "/v1/tasks/one/stop"})
	w.ask("/v1/tasks/one", "1.1")
	if text := w.all(w.answer()); !strings.Contains(text, `"id":"one"`) {
		t.Errorf("answered %s", text)
	}
}

// secure has a server speak TLS, and returns what its clients have to trust.
func secure(t *testing.T, o *app.Options) *x509.CertPool {
	t.Helper()
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	key, err := x509.MarshalPKCS8PrivateKey(other.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o.TLSCert, o.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{
		o.TLSCert: {Type: "CERTIFICATE", Bytes: other.Certificate().Raw},
		o.TLSKey:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(other.Certificate())
	return trusted
}

// With TLS of the server's own a stream comes by HTTP/2 to whom speaks that, and else by
// HTTP/1.1.
func TestT7StreamsByTLS(t *testing.T) {
	t.Parallel()
	var trusted *x509.CertPool
	s := start(t, func(o *app.Options) { trusted = secure(t, o) })
	for version := 1; version <= 2; version++ {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: version == 2}
		s.http.Transport = transport
		t.Cleanup(transport.CloseIdleConnections)
		if version == 1 {
			s.agent(t, "agent-1")
		}
		id := fmt.Sprintf("task-%d", version)
		s.task(t, id)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/tasks/"+id+"/events", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", adminKey)
		req.Header.Set("Accept", "text/event-stream")
		res, err := s.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		s.must(t, 200, call{method: "POST", path: "/v1/tasks/" + id + "/stop"})
		text, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if res.ProtoMajor != version || !strings.Contains(string(text), "event: task_finished\n") {
			t.Errorf("by %s came %q", res.Proto, text)
		}
	}
}
