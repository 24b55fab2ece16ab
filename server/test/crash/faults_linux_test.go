package crash

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// network is one of its own for a server: a namespace that has a line to those who call it
// and another to its database, each of which can be cut.
type network struct {
	name  string
	there string // its address on the line of callers
	base  string // that of the other end of the database's line
}

// namespace begins the names of networks; the process that has made one follows.
const namespace = "errand-test-"

// dropNetworks removes the networks of processes that have ended without doing so.
func dropNetworks(t *testing.T) {
	t.Helper()
	names, err := filepath.Glob("/run/netns/" + namespace + "*")
	check(t, err)
	for _, path := range names {
		name := filepath.Base(path)
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, namespace), "-")
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, fs.ErrNotExist) {
			_ = ip("netns", "del", name) // another run may be at it
		}
	}
}

// newNetwork makes the nth network of this process, or returns why that is not allowed.
func newNetwork(t *testing.T, n int) (*network, error) {
	t.Helper()
	unique := fmt.Sprintf("e%d-%d", os.Getpid()%100000, n)
	high, low := 1+os.Getpid()%250, 2*n
	w := &network{name: namespace + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(n), there: fmt.Sprintf("10.%d.%d.2", high, low), base: fmt.Sprintf("10.%d.%d.1", high, low+1)}
	if err := ip("netns", "add", w.name); err != nil {
		return nil, err
	}
	t.Cleanup(func() { check(t, ip("netns", "del", w.name)) }) // its lines go with it
	failed := []error{ip("-n", w.name, "link", "set", "lo", "up")}
	for i, far := range []string{"callers", "data"} {
		near, between := unique+far[:1], fmt.Sprintf("10.%d.%d.", high, low+i)
		failed = append(failed,
			ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", w.name),
			ip("addr", "add", between+"1/24", "dev", near), ip("link", "set", near, "up"),
			ip("-n", w.name, "addr", "add", between+"2/24", "dev", far), ip("-n", w.name, "link", "set", far, "up"))
	}
	return w, errors.Join(failed...)
}

// check fails a test for an error of what it needs.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// ip runs a command of iproute2.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput() //nolint:noctx // it is short
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// cut takes a line down and mends it: what is sent meanwhile is lost, and nobody is told.
func (w *network) cut(t *testing.T, line string, goOn func()) {
	t.Helper()
	check(t, ip("-n", w.name, "link", "set", line, "down"))
	goOn()
	check(t, ip("-n", w.name, "link", "set", line, "up"))
}

// node is one of several servers, and what lies between it and the database.
type node struct {
	*server

	network *network // nil is that of the tests
	relay   *balancer
}

// newNode starts the nth node of a database, on a network of its own if it may have one.
func newNode(t *testing.T, n int, data, database string) *node {
	t.Helper()
	m := &node{server: prepareServer(t)}
	if m.onDatabase(database); data != "" {
		m.data = data
	}
	base, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	near := "127.0.0.1"
	w, err := newNetwork(t, n)
	if err == nil {
		_, port, _ := net.SplitHostPort(m.addr)
		m.network, m.netns, m.addr, near = w, w.name, net.JoinHostPort(w.there, port), w.base
	} else {
		t.Logf("node %d has no network of its own, so its lines are not cut: %v", n, err)
	}
	m.relay = newBalancer(t, net.JoinHostPort(near, "0"), base.Host)
	base.Host = m.relay.listener.Addr().String()
	m.database = base.String()
	m.start(t)
	return m
}

// fault is something that happens to a node, or to what it needs, until goOn returns.
type fault struct {
	name   string
	line   bool // it cuts a line
	strike func(m *node, goOn func())
}

// faultsOf are all faults of nodes on a database whose callers come by a front.
func faultsOf(t *testing.T, db *pgtest.Server, front *balancer) []fault {
	t.Helper()
	return []fault{
		{"killed", false, func(m *node, goOn func()) { m.kill(t); goOn(); m.start(t) }},
		{"stopped", false, func(m *node, goOn func()) { m.proc.stop(t); goOn(); m.proc.goOn(t) }},
		{"cut off its database", true, func(m *node, goOn func()) { m.network.cut(t, "data", goOn) }},
		{"cut off its callers", true, func(m *node, goOn func()) { m.network.cut(t, "callers", goOn) }},
		{"slow to its database", false, func(m *node, goOn func()) { m.relay.slow(100*time.Millisecond, goOn) }},
		{"slow to its callers, with the others", false, func(_ *node, goOn func()) { front.slow(100*time.Millisecond, goOn) }},
		{"there when the database was killed", false, func(_ *node, goOn func()) { check(t, db.Kill()); goOn(); check(t, db.Restart()) }},
		{"there when the database was restarted", false, func(_ *node, goOn func()) { goOn(); check(t, db.Stop(pgtest.Fast)); check(t, db.Restart()) }},
	}
}

// TestFaults runs three nodes and does to them, to their lines and to their database what
// may happen to each, under load. What the clients saw is then checked to be possible one
// after another, as in every storm.
func TestFaults(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts real servers")
	}
	dropNetworks(t)
	db := pgtest.Start(t, pgtest.Options{}) // what it acknowledges is on the disk
	nodes, addrs, data := make([]*node, 3), make([]string, 3), ""
	for i := range nodes {
		nodes[i] = newNode(t, i, data, db.URL("postgres"))
		addrs[i], data = nodes[i].addr, nodes[i].data
	}
	front := newBalancer(t, freeAddr(t), addrs...)
	x := newStorm(t, nodes[0].server, "http://"+front.listener.Addr().String())
	faults := faultsOf(t, db, front)
	if slices.ContainsFunc(nodes, func(m *node) bool { return m.network == nil }) {
		faults = slices.DeleteFunc(faults, func(f fault) bool { return f.line })
	}
	x.chance.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	for range rounds(3, 10*len(faults)) {
		if t.Failed() {
			break
		}
		f, n := faults[x.round%len(faults)], x.chance.IntN(len(nodes))
		moment, lasts := x.between(100*time.Millisecond, 600*time.Millisecond), x.between(500*time.Millisecond, 2500*time.Millisecond)
		x.blow(t, func() {
			await(moment)
			f.strike(nodes[n], func() { await(lasts) })
			tolls.faults.Add(1)
		})
		for _, m := range nodes {
			m.awaitReady(t)
		}
		checked := x.settle(t)
		t.Logf("round %d: node %d was %s after %v, for %v; %v; %d tasks checked",
			x.round, n, f.name, moment.Round(time.Millisecond), lasts.Round(time.Millisecond), x.book.counts, checked)
	}
	provoked := []string{"the store cannot write", "sweep", "read the feed"}
	x.end(t, provoked...)
	for _, m := range nodes[1:] {
		m.quiet(t, provoked...)
	}
}
