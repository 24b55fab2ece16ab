package edge

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Rule L5: the connection of a worker's stream, plain or encrypted, breaks when
// its peer has vanished.
func TestGiveUpPeer(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){"plain": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := 0
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if err := GiveUpPeer(r.Context(), 20*time.Second); err != nil {
					t.Error(err)
				}
				limit = limitOf(t, r)
			}))
			s.Config.ConnContext = WithConnection
			start(s)
			defer s.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			res, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if err := res.Body.Close(); err != nil {
				t.Error(err)
			}
			if limit != 20_000 {
				t.Errorf("the limit is %d ms", limit)
			}
		})
	}
}

func limitOf(t *testing.T, r *http.Request) int {
	t.Helper()
	c, _ := r.Context().Value(connectionKey).(net.Conn)
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn()
	}
	plain, ok := c.(*net.TCPConn)
	if !ok {
		t.Errorf("the connection is a %T", c)
		return 0
	}
	raw, err := plain.SyscallConn()
	if err != nil {
		t.Error(err)
		return 0
	}
	limit := 0
	failed := raw.Control(func(fd uintptr) {
		limit, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	})
	if failed != nil || err != nil {
		t.Error(failed, err)
	}
	return limit
}
