package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/tmaxmax/go-sse"
)

type mcpCmd struct {
	connection
}

// Help says what cannot be said in flags.
func (mcpCmd) Help() string {
	return "For MCP clients that start programs, such as desktop applications: the server's /mcp on standard input and output." +
		" Give such a client the whole path of this program, and ERRAND_URL and ERRAND_API_KEY in its environment unless 'errand login' has kept them." +
		" The tasks that it begins go on when it ends. docs/FRONTS.md has the clients' configurations."
}

// Run carries messages between standard input and output and the server, until the input
// ends and all is answered.
func (c *mcpCmd) Run(e *env) error {
	at, err := c.find()
	if err != nil {
		return err
	}
	return e.interruptible(func(ctx context.Context) error {
		b := bridge{place: at, out: e.Out, running: map[string]context.CancelFunc{}}
		return b.carry(ctx, e.In)
	})
}

// bridge carries an MCP client's messages to a server, and back what it answers. It
// understands as little of them as HTTP has to know.
type bridge struct {
	place

	writing sync.Mutex
	out     io.Writer

	mu sync.Mutex
	// revision is what initialize has agreed on, "" before it and without it.
	revision string
	// running are the requests that are not answered, by their ids.
	running map[string]context.CancelFunc
}

// mcpMessage is what HTTP has to know of a message.
type mcpMessage struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name      string          `json:"name"`
		URI       string          `json:"uri"`
		TaskID    string          `json:"taskId"`
		RequestID json.RawMessage `json:"requestId"`
		Meta      struct {
			Revision string `json:"io.modelcontextprotocol/protocolVersion"`
		} `json:"_meta"`
	} `json:"params"`
	Result struct {
		Revision string `json:"protocolVersion"`
	} `json:"result"`
}

// maxMCPEvent bounds one event of an answer, in bytes.
const maxMCPEvent = 20 << 20

// cancelled is the notice that nobody waits for the answer to a request any more.
const cancelled = "notifications/cancelled"

func (b *bridge) carry(ctx context.Context, in io.Reader) error {
	var requests sync.WaitGroup
	defer requests.Wait()
	lines, failed := make(chan []byte), make(chan error, 1)
	go func() { failed <- read(ctx, in, lines) }() // nobody can end a reading of standard input: it may outlive this
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case line, more := <-lines:
			if !more {
				return <-failed
			}
			b.take(ctx, &requests, line)
		}
	}
}

// read reads lines until the input ends, or ctx has and another line comes.
func read(ctx context.Context, in io.Reader, lines chan<- []byte) error {
	defer close(lines)
	for from := bufio.NewReader(in); ; {
		line, err := from.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			select {
			case lines <- line:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("standard input: %w", err)
		}
	}
}

// take passes on a message of the client's. Requests do not wait for one another.
func (b *bridge) take(ctx context.Context, requests *sync.WaitGroup, line []byte) {
	var m mcpMessage
	wrong := json.Unmarshal(line, &m)
	switch {
	case !json.Valid(line):
		b.refuse(nil, -32700, wrong)
	case m.Method == cancelled:
		b.cancel(m.Params.RequestID)
	case m.ID == nil, m.Method == "initialize": // what follows goes by it
		b.pass(ctx, m, line)
	default:
		asking, done := context.WithCancel(ctx)
		b.mu.Lock()
		b.running[string(m.ID)] = done
		b.mu.Unlock()
		requests.Go(func() {
			defer b.cancel(m.ID)
			b.pass(asking, m, line)
		})
	}
}

// cancel ends a request, if it has not ended: the server stops waiting, and nothing else.
func (b *bridge) cancel(id json.RawMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if done := b.running[string(id)]; done != nil {
		done()
		delete(b.running, string(id))
	}
}

// pass sends a message, and passes on what is answered.
func (b *bridge) pass(ctx context.Context, m mcpMessage, body []byte) {
	err := b.send(ctx, m, body)
	if err != nil && m.ID != nil && ctx.Err() == nil { // whoever has cancelled gets no answer
		b.refuse(m.ID, -32603, err)
	}
}

func (b *bridge) send(ctx context.Context, m mcpMessage, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.URL+"/mcp", bytes.NewReader(body))
	if err != nil {
		return err
	}
	b.mu.Lock()
	revision := cmp.Or(m.Params.Meta.Revision, b.revision)
	b.mu.Unlock()
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Authorization": "Bearer " + b.Key,
		"Mcp-Protocol-Version": revision, "Mcp-Method": m.Method, "Mcp-Name": headerText(cmp.Or(m.Params.Name, m.Params.URI, m.Params.TaskID)),
	} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the server cannot be reached: %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind == "text/event-stream" {
		for e, err := range sse.Read(res.Body, &sse.ReadConfig{MaxEventSize: maxMCPEvent}) {
			if err != nil {
				return fmt.Errorf("the server's answer broke off: %w", err)
			}
			if err := b.say([]byte(e.Data)); err != nil {
				return err
			}
		}
		return nil
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("the server's answer broke off: %w", err)
	}
	var answer struct {
		mcpMessage
		Version string `json:"jsonrpc"`
		Detail  string `json:"detail"`
	}
	_ = json.Unmarshal(text, &answer) // what is no JSON has no version
	switch {
	case answer.Version != "":
		if m.Method == "initialize" {
			b.mu.Lock()
			b.revision = answer.Result.Revision
			b.mu.Unlock()
		}
		return b.say(text)
	case m.ID == nil && res.StatusCode < http.StatusMultipleChoices: // a notice is not answered
		return nil
	default:
		return errors.New(cmp.Or(answer.Detail, strings.TrimSpace(string(text)), res.Status))
	}
}

// say writes a message as the line that it is.
func (b *bridge) say(message []byte) error {
	var line bytes.Buffer
	if err := json.Compact(&line, message); err != nil {
		return fmt.Errorf("the server's answer is not JSON: %w", err)
	}
	line.WriteByte('\n')
	b.writing.Lock()
	defer b.writing.Unlock()
	_, err := b.out.Write(line.Bytes())
	return err
}

// refuse answers a request with an error.
func (b *bridge) refuse(id json.RawMessage, code int, err error) {
	type fault struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	text, _ := json.Marshal(struct { // texts
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   fault           `json:"error"`
	}{"2.0", id, fault{code, err.Error()}})
	_ = b.say(text) // who does not read is told nothing
}

// headerText is a text as MCP writes it into headers.
func headerText(text string) string {
	if plain := !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || '~' < r }) && strings.TrimSpace(text) == text; plain {
		return text
	}
	return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(text)) + "?="
}
