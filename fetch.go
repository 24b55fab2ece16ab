package errand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// fetcher reads the files of tasks. Their URLs are other people's words, so it
// connects to public addresses only: what a name resolves to is checked at the
// moment of connecting, and again after each redirect. It sends no key, no
// cookie and no referrer.
type fetcher struct {
	http *http.Client
	// own is the server's host and port, from which it may always read.
	own string
	// allow lists what else may be private: networks, addresses, host names.
	allow []string
}

const (
	// maxRedirects bounds how often a file may be elsewhere.
	maxRedirects = 5
	// maxTextFile and maxMediaFile bound a file's size.
	maxTextFile  = 15 << 20
	maxMediaFile = 30 << 20
	// textLimit and mediaLimit bound how long reading one may take.
	textLimit  = 10 * time.Second
	mediaLimit = 15 * time.Second
)

// fetched is a file that was read.
type fetched struct {
	content []byte
	// kind is its content type as the host says.
	kind string
}

// get reads a file.
func (f fetcher) get(ctx context.Context, target string, most int64, limit time.Duration) (fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return fetched{}, errors.New("this is not a URL")
	}
	res, err := f.http.Do(req)
	if err != nil {
		if e, ok := as[*url.Error](err); ok {
			err = e.Err // without the URL, which may be signed
		}
		return fetched{}, err
	}
	defer res.Body.Close() //nolint:errcheck // it has been read, or is not wanted
	if res.StatusCode >= http.StatusBadRequest {
		return fetched{}, fmt.Errorf("the host answered %s", res.Status)
	}
	content, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil {
		return fetched{}, err
	}
	if int64(len(content)) > most {
		return fetched{}, fmt.Errorf("the file is longer than %d bytes", most)
	}
	return fetched{content: content, kind: res.Header.Get("Content-Type")}, nil
}

// guarded makes the client that reads files. It uses no proxy: behind one,
// nobody could check where a connection ends.
func (f fetcher) guarded() *http.Client {
	dialer := &net.Dialer{Timeout: mediaLimit}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if addr == f.own {
					return dialer.DialContext(ctx, network, addr)
				}
				host, _, err := net.SplitHostPort(addr)
				if err != nil {
					return nil, err
				}
				named := f.named(host)
				checked := *dialer
				checked.Control = func(_, resolved string, _ syscall.RawConn) error {
					to, err := netip.ParseAddrPort(resolved)
					if err != nil || !f.mayReach(to.Addr(), named) {
						return errPrivate
					}
					return nil
				}
				return checked.DialContext(ctx, network, addr)
			},
			TLSHandshakeTimeout: mediaLimit, MaxIdleConns: 16, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errors.New("too many redirects")
			}
			req.Header.Del("Referer") // it may be a signed URL
			return nil
		},
	}
}

var errPrivate = errors.New("its host has a private address: WithPrivateFiles or ERRAND_FETCH_ALLOW can allow that")

// named reports whether a host is allowed by its name, or by that of a domain above.
func (f fetcher) named(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return slices.ContainsFunc(f.allow, func(entry string) bool {
		entry = strings.Trim(strings.TrimPrefix(strings.ToLower(entry), "*."), ".")
		return entry != "" && (host == entry || strings.HasSuffix(host, "."+entry))
	})
}

// mayReach reports whether an address may be connected to.
func (f fetcher) mayReach(a netip.Addr, named bool) bool {
	a = a.Unmap().WithZone("")
	switch {
	case a.IsLinkLocalUnicast(), a.IsMulticast(), a.IsUnspecified(): // also where clouds keep their secrets
		return false
	case !a.IsLoopback() && !a.IsPrivate() && !special(a):
		return true
	case named:
		return true
	}
	return slices.ContainsFunc(f.allow, func(entry string) bool {
		if p, err := netip.ParsePrefix(entry); err == nil {
			return p.Contains(a)
		}
		one, err := netip.ParseAddr(entry)
		return err == nil && one == a
	})
}

// special reports whether an address is in a range that is not the public
// internet beside the well-known private ones. Ranges that carry an IPv4
// address inside are among them.
func special(a netip.Addr) bool {
	return slices.ContainsFunc([]string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23",
		"2001:db8::/32", "2002::/16", "fec0::/10",
	}, func(p string) bool { return netip.MustParsePrefix(p).Contains(a) })
}

// splitList reads a list separated by commas.
func splitList(text string) []string {
	var list []string
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			list = append(list, entry)
		}
	}
	return list
}

// hostPort is where a URL leads.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}
