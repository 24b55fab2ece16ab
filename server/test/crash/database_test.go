package crash

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand/server/internal/testkit/pgtest"
)

// TestKillDatabase kills PostgreSQL, and at times the server as well, under load.
func TestKillDatabase(t *testing.T) {
	t.Parallel()
	s := prepareServer(t)
	database := pgtest.Start(t, pgtest.Options{}) // what it acknowledges is on the disk
	s.onDatabase(database.URL("postgres"))
	s.start(t)
	x := newStorm(t, s, s.url())
	for range rounds(3, 30) {
		if t.Failed() {
			break
		}
		moment := x.between(250*time.Millisecond, 1150*time.Millisecond)
		x.blow(t, func() {
			await(moment)
			if err := database.Kill(); err != nil {
				t.Error(err)
			}
			if x.round%2 == 0 {
				s.kill(t)
			}
			tolls.faults.Add(1)
		})
		if err := database.Restart(); err != nil {
			t.Fatal(err)
		}
		if x.round%2 == 0 {
			s.start(t)
		}
		s.awaitReady(t)
		checked := x.settle(t)
		t.Logf("round %d: killed after %v; %v; %d tasks checked", x.round, moment.Round(time.Millisecond), x.book.counts, checked)
	}
	x.end(t, "the store cannot write")
}

// balancer carries each connection to one of some addresses that takes it, in turns.
type balancer struct {
	listener net.Listener
	parts    sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
	delay    atomic.Int64 // of what it carries
}

// slow carries everything late until goOn returns.
func (b *balancer) slow(by time.Duration, goOn func()) {
	b.delay.Store(int64(by))
	goOn()
	b.delay.Store(0)
}

// carry carries what comes from one end to the other.
func (b *balancer) carry(to, from net.Conn) {
	part := make([]byte, 32<<10)
	for {
		n, err := from.Read(part)
		if by := time.Duration(b.delay.Load()); by > 0 {
			await(by)
		}
		if _, lost := to.Write(part[:n]); err != nil || lost != nil {
			return
		}
	}
}

func newBalancer(t *testing.T, at string, addrs ...string) *balancer {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: l}
	b.parts.Go(func() {
		for n := 0; ; n++ {
			near, err := l.Accept()
			if err != nil {
				return
			}
			var far net.Conn
			for i := range addrs {
				if far, err = (&net.Dialer{Timeout: time.Second}).Dial("tcp", addrs[(n+i)%len(addrs)]); err == nil {
					break
				}
			}
			if err != nil {
				_ = near.Close()
				continue
			}
			b.mu.Lock()
			b.conns = append(b.conns, near, far)
			b.mu.Unlock()
			for from, to := range map[net.Conn]net.Conn{near: far, far: near} {
				b.parts.Go(func() {
					b.carry(to, from) // the end of either is that of both
					_ = to.Close()
					_ = from.Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		b.mu.Lock()
		for _, c := range b.conns {
			_ = c.Close()
		}
		b.mu.Unlock()
		b.parts.Wait()
	})
	return b
}

// TestKillNodes kills one of two nodes under load, in turns: whoever was at it goes on
// at the other, and nothing that either has acknowledged is lost.
func TestKillNodes(t *testing.T) {
	t.Parallel()
	one := newServer(t)
	two := prepareServer(t)
	two.data, two.database = one.data, one.database
	two.start(t)
	front := newBalancer(t, freeAddr(t), one.addr, two.addr)
	x := newStorm(t, one, "http://"+front.listener.Addr().String())
	for range rounds(4, 60) {
		if t.Failed() {
			break
		}
		doomed := two
		if x.round%2 == 1 {
			doomed = one
		}
		moment := x.between(250*time.Millisecond, 1150*time.Millisecond)
		x.blow(t, func() {
			await(moment)
			doomed.kill(t)
			await(moment) // those at the other go on
		})
		doomed.start(t)
		checked := x.settle(t)
		t.Logf("round %d: killed after %v; %v; %d tasks checked", x.round, moment.Round(time.Millisecond), x.book.counts, checked)
	}
	x.end(t)
	two.quiet(t)
}
