package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"syscall"
	"testing"
	"time"
)

// A request that its client cancels is ended at the server and not answered; what comes
// as events is passed on line by line, while others are under way.
func TestMCPBridge(t *testing.T) {
	t.Parallel()
	came, gone := make(chan string, 1), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer k" || r.Header.Get("Mcp-Method") != "tools/call" || r.Header.Get("Mcp-Protocol-Version") != "2026-07-28" {
			t.Errorf("a message came with the headers %v", r.Header)
		}
		_, _ = io.Copy(io.Discard, r.Body) // the connection is watched from then on
		name := r.Header.Get("Mcp-Name")
		if name == "waits" {
			came <- name
			<-r.Context().Done()
			close(gone)
			return
		}
		if name != "=?base64?w6A=?=" {
			t.Errorf("the name à came as %q", name)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "event: message\ndata: {\"jsonrpc\": \"2.0\",\ndata: \"method\": \"notifications/progress\"}\n\ndata: {\"jsonrpc\": \"2.0\", \"id\": 2, \"result\": {}}\n\n")
	}))
	defer server.Close()
	in, client := io.Pipe()
	lines, out := io.Pipe()
	b := bridge{place: place{profile: profile{server.URL, "k"}}, out: out, running: map[string]context.CancelFunc{}}
	done := make(chan error, 1)
	go func() { done <- b.carry(t.Context(), in) }()
	say := func(line string) {
		if _, err := io.WriteString(client, line+"\n"); err != nil {
			t.Error(err)
		}
	}
	call := `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`
	say(fmt.Sprintf(call, 1, "waits"))
	<-came
	say(fmt.Sprintf(call, 2, "à"))
	answers := bufio.NewScanner(lines)
	for _, want := range []string{`{"jsonrpc":"2.0","method":"notifications/progress"}`, `{"jsonrpc":"2.0","id":2,"result":{}}`} {
		if answers.Scan(); answers.Text() != want {
			t.Errorf("answered %s, want %s", answers.Text(), want)
		}
	}
	say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	<-gone
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("it ended with %v", err)
	}
	if err := out.Close(); err != nil {
		t.Error(err)
	}
	if answers.Scan() {
		t.Errorf("also answered %s", answers.Text())
	}
}

// A signal ends it while its client says nothing, and with it what is under way.
func TestMCPEndsByASignal(t *testing.T) {
	t.Parallel()
	came := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the connection is watched from then on
		close(came)
		<-r.Context().Done()
	}))
	defer server.Close()
	in, client := io.Pipe()
	defer client.Close() //nolint:errcheck // a pipe has nothing to lose
	signals := make(chan os.Signal, 1)
	e := &env{Streams: Streams{In: in, Out: io.Discard}, ctx: t.Context(), interrupts: signals}
	c := mcpCmd{connection{Server: server.URL, Key: "k"}}
	done := make(chan error, 1)
	go func() { done <- c.Run(e) }()
	if _, err := io.WriteString(client, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	<-came
	signals <- syscall.SIGTERM
	select {
	case err := <-done:
		if exit, is := errors.AsType[exitCodeError](err); !is || exit.code != exitInterrupted {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
}
