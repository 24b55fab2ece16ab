package nodes

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"sync"
	"syscall"
	"testing"
	"time"
)

// balancer sends requests to nodes in turn, as a proxy before them or a Kubernetes service
// does.
type balancer struct {
	http    http.Transport
	mu      sync.Mutex
	nodes   []*node
	turn    int
	pending map[*node]int // requests of which nothing was answered yet
}

// set says which nodes get requests from now on.
func (b *balancer) set(nodes ...*node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes = nodes
}

// idle reports whether a node has begun to answer all that was sent to it. Streams go on.
func (b *balancer) idle(n *node) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pending[n] == 0
}

// RoundTrip implements http.RoundTripper.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	b.turn++
	n := b.nodes[b.turn%len(b.nodes)]
	b.pending[n]++
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.pending[n]--
	}()
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", n.addr
	return b.http.RoundTrip(r)
}

// Two nodes are restarted one after the other under load, without one failed request.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a, b := c.start(t), c.start(t)
	front := &balancer{pending: map[*node]int{}}
	front.http.MaxIdleConnsPerHost = 16
	defer front.http.CloseIdleConnections()
	front.set(a, b)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}, Transport: front, FlushInterval: -1})
	defer proxy.Close()
	l := &load{nodes: []*node{{api: newAPI(t, proxy.URL)}}}
	l.nodes[0].agent(t, "worker", 5)
	l.nodes[0].agent(t, "talker", 60)
	l.begin(t)
	for range 2 {
		l.more(t, 50, time.Now())
		front.set(b)
		eventually(t, "the node is at rest", func() bool { return front.idle(a) })
		a.signal(t, syscall.SIGTERM)
		if code := a.ended(t); code != 0 {
			t.Errorf("a node ends with %d", code)
		}
		a.quiet(t)
		a = c.start(t)
		front.set(a, b)
		a, b = b, a // now the other one
	}
	l.more(t, 50, time.Now())
	l.end(t)
	l.check(t, c.database)
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d requests have failed, the last one: %v", n, l.last.Load())
	}
}
