package main

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// langgraphVersion is the release of the npm package that has the server.
const langgraphVersion = "1.5.1"

// langgraphLibrary is the release of the graphs that go with it.
const langgraphLibrary = "1.7.3"

// langgraphFiles are the server's program and its agent.
//
//go:embed langgraph/*.mjs
var langgraphFiles embed.FS

// langgraphPeer is a server that executes a graph of one step in its own process, of Node.
// It has no client in Go, but is spoken to over HTTP.
type langgraphPeer struct {
	site   *site
	server *exec.Cmd
	url    string
	client http.Client
	begun  net.PacketConn // on which the graph tells that it has begun
}

// installLanggraph installs the server's packages, once for all runs, and returns their folder.
func installLanggraph(ctx context.Context, cache string) (string, error) {
	folder := filepath.Join(cache, "langgraph")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return "", err
	}
	said, err := exec.CommandContext(ctx, "npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts",
		"@langchain/langgraph-api@"+langgraphVersion, "@langchain/langgraph@"+langgraphLibrary, "typescript@5.9.3").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("npm install: %w: %s", err, said)
	}
	return filepath.Join(folder, "node_modules"), nil
}

func (p *langgraphPeer) start(ctx context.Context, s *site, begun func(string)) error {
	p.site = s
	addr, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	if err := p.listen(ctx, begun); err != nil {
		return err
	}
	if err := errors.Join(os.CopyFS(s.dir, langgraphFiles), os.Symlink(s.program, filepath.Join(s.dir, "node_modules"))); err != nil {
		return err
	}
	p.url, p.client.Transport = "http://"+addr, &http.Transport{MaxIdleConnsPerHost: callers}
	host, port, _ := strings.Cut(addr, ":")
	options := fmt.Sprintf(`{"host": %q, "port": %s, "nWorkers": %d, "cwd": %q, "graphs": {"work": "./langgraph/graph.mjs:graph"}}`, host, port, slots, s.dir)
	p.server = exec.Command("node", filepath.Join(s.dir, "langgraph", "server.mjs"), options) //nolint:noctx // stop ends it
	_, told, _ := net.SplitHostPort(p.begun.LocalAddr().String())
	p.server.Env = append(os.Environ(), "BEGUN_PORT="+told, "LOG_LEVEL=error")
	p.server.Dir = s.dir
	if err := s.spawn(p.server); err != nil {
		return err
	}
	return ready(ctx, p.url+"/ok")
}

// listen hears of tasks that have begun.
func (p *langgraphPeer) listen(ctx context.Context, begun func(string)) (err error) {
	if p.begun, err = (&net.ListenConfig{}).ListenPacket(ctx, "udp4", "127.0.0.1:0"); err != nil {
		return err
	}
	go func() {
		told := make([]byte, 1024)
		for {
			n, _, err := p.begun.ReadFrom(told)
			if err != nil {
				return // it is closed
			}
			begun(strings.TrimPrefix(string(told[:n]), prompt+" "))
		}
	}()
	return nil
}

// run asks for a run in a new thread, and returns the answer.
func (p *langgraphPeer) run(ctx context.Context, how, id string) (io.ReadCloser, error) {
	return p.ask(ctx, "/threads/"+uuid.NewString()+"/runs"+how, map[string]any{
		"assistant_id": "work", "input": map[string]string{"asked": prompt + " " + id}, "if_not_exists": "create", "stream_mode": []string{"custom"},
	})
}

func (p *langgraphPeer) ask(ctx context.Context, path string, body any) (io.ReadCloser, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s: %s", path, res.Status), res.Body.Close())
	}
	return res.Body, nil
}

// done reads an answer to its end.
func done(answer io.ReadCloser, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(answer)
	return text, errors.Join(err, answer.Close())
}

func (p *langgraphPeer) create(ctx context.Context, id string) error {
	_, err := done(p.run(ctx, "", id))
	return err
}

func (p *langgraphPeer) idle(ctx context.Context) (bool, error) {
	text, err := done(p.ask(ctx, "/threads/search", map[string]any{"status": "busy", "limit": 1}))
	if err != nil {
		return false, err
	}
	var busy []any
	err = json.Unmarshal(text, &busy)
	return err == nil && len(busy) == 0, err
}

func (p *langgraphPeer) invoke(ctx context.Context, id string) error {
	_, err := done(p.run(ctx, "/wait", id))
	return err
}

// firstWord reads the one word of a graph, which is the time in milliseconds.
func (p *langgraphPeer) firstWord(ctx context.Context, id string) (took time.Duration, err error) {
	answer, err := p.run(ctx, "/stream", id)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, answer.Close()) }()
	lines := bufio.NewScanner(answer)
	for said := false; lines.Scan(); {
		word, is := strings.CutPrefix(lines.Text(), "data: ")
		if is && said {
			at, err := strconv.ParseFloat(word, 64)
			took = time.Since(time.UnixMicro(int64(1000 * at)))
			_, rest := io.Copy(io.Discard, answer) // so that the connection can be used again
			return took, errors.Join(err, rest)
		}
		said = said || lines.Text() == "event: custom"
	}
	return 0, errors.Join(lines.Err(), errors.New("the stream ended without a word"))
}

func (p *langgraphPeer) stop() error {
	err := p.site.end(p.server)
	if p.begun != nil {
		err = errors.Join(err, p.begun.Close())
	}
	p.client.CloseIdleConnections()
	return err
}
