package errand

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestMayReach(t *testing.T) {
	t.Parallel()
	f := fetcher{allow: []string{"10.1.0.0/16", "192.168.7.7", "*.corp.example", "files", "fd00::/8"}}
	for addr, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1::1": true,
		"127.0.0.1": false, "::1": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.7.8": false, "fc00::1": false,
		"169.254.169.254": false, "fe80::1%eth0": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "100.64.0.1": false,
		"240.0.0.1": false, "255.255.255.255": false, "198.18.0.1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.1.1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "::127.0.0.1": false,
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "192.168.7.7": true, "fd12::1": true,
	} {
		if got := f.mayReach(netip.MustParseAddr(addr), false); got != want {
			t.Errorf("%s: %t, want %t", addr, got, want)
		}
	}
	for host, want := range map[string]bool{
		"corp.example": true, "a.b.CORP.example.": true, "notcorp.example": false, "files": true, "files.example": false, "": false,
	} {
		if got := f.named(host); got != want {
			t.Errorf("%q: %t, want %t", host, got, want)
		}
	}
	if f.mayReach(netip.MustParseAddr("169.254.169.254"), true) {
		t.Error("a name leads to where clouds keep their secrets")
	}
	if !f.mayReach(netip.MustParseAddr("127.0.0.1"), true) {
		t.Error("an allowed name may not be this machine")
	}
}

// Who reads files with a client of their own decides what it may reach.
func TestFilesByAnotherClient(t *testing.T) {
	t.Parallel()
	private := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("private"))
	}))
	defer private.Close()
	c, err := NewClient(WithURL("http://127.0.0.1:1"), WithKey("k"), WithFileClient(private.Client()))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.files.text(t.Context(), private.URL); got != "private" {
		t.Errorf("a private file: %q", got)
	}
}

// A file's URL leads to no private host, not even by a redirect; the server
// itself may be read from, without the key.
func TestFilesOfPrivateHosts(t *testing.T) {
	t.Parallel()
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("somebody looked into a private host")
	}))
	defer private.Close()
	client := fakeServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, private.URL, http.StatusFound)
		default:
			if r.Header.Get("X-Api-Key") != "" {
				t.Error("a file was asked for with the key")
			}
			_, _ = w.Write([]byte("mine"))
		}
	})
	ctx := t.Context()
	if got := client.files.text(ctx, client.base+"/f"); got != "mine" {
		t.Errorf("the server's own file: %q", got)
	}
	for _, url := range []string{private.URL, client.base + "/away", "file:///etc/passwd", "http://localhost:1/x"} {
		if got := client.files.text(ctx, url); got != fileUnread {
			t.Errorf("%s: %q", url, got)
		}
	}
}
