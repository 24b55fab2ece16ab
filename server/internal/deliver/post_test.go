package deliver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/errand-dev/errand/server/internal/outbound"
)

// Why a target has failed is a short text that can be kept, whatever the target has put in.
func TestFailuresAreBrief(t *testing.T) {
	t.Parallel()
	c := NewCourier(Options{Guard: outbound.Guard{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}})
	t.Cleanup(c.client.CloseIdleConnections)
	ill := func(head string) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, head) // the courier may have gone
			_ = conn.Close()
		}))
	}
	strange := httptest.NewUnstartedServer(http.NotFoundHandler())
	strange.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	strange.TLS = &tls.Config{Certificates: []tls.Certificate{certificateFor(t, "a\x00\nb")}, MinVersion: tls.VersionTLS12}
	strange.StartTLS()
	for what, s := range map[string]*httptest.Server{
		"no HTTP":               ill("\xff\x00" + strings.Repeat("x", 5000) + "\r\n\r\n"),
		"a long head":           ill("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"),
		"a strange certificate": strange,
	} {
		t.Cleanup(s.Close)
		got := c.post(t.Context(), strings.Replace(s.URL, "127.0.0.1", "localhost", 1), http.Header{}, []byte("{}"))
		if got == nil || got.why == "" || len(got.why) > 3*maxFailure || !utf8.ValidString(got.why) || strings.Contains(got.why, "\x00") {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

// A target says in seconds or by a moment for how long it wants to be left alone; a day is
// the longest that is heard (H20).
func TestAsked(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-5": 0, "7": 7 * time.Second, "86401": 24 * time.Hour, "9999999999999": 24 * time.Hour,
		now.Add(time.Minute).Format(http.TimeFormat):        time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat):       0,
		now.Add(7 * 24 * time.Hour).Format(http.TimeFormat): 24 * time.Hour,
	} {
		if got := asked(header, now); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

// The waits double up to an hour, by half of it sooner at most (H20).
func TestBackoff(t *testing.T) {
	t.Parallel()
	whole := 200 * time.Millisecond
	for failures := 1; failures < 100; failures++ {
		for range 20 {
			if got := backoff(failures); got < whole/2 || got >= whole {
				t.Errorf("after %d: %s, want %s or half of it", failures, got, whole)
			}
		}
		whole = min(2*whole, time.Hour)
	}
}

// certificateFor makes a certificate that no one has signed but itself.
func certificateFor(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	made, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{made}, PrivateKey: key}
}
