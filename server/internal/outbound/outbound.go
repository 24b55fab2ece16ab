// Package outbound makes the connections that the server opens because somebody
// else has named the address: files' URLs, models' endpoints, webhooks. Whether an address
// may be dialled is decided on the address itself, at the moment of dialling, so
// also through redirects and changing DNS answers (rule A4).
package outbound

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"code.dny.dev/ssrf"
)

// Guard says which addresses may be dialled beside the public ones. The zero value
// allows none.
type Guard struct {
	// Networks may be dialled although they are private.
	Networks []netip.Prefix
	// Hosts may be dialled wherever they lead to: names or addresses, each with its
	// port, as they stand in a URL.
	Hosts []string
}

const (
	connectTimeout = 10 * time.Second
	tlsTimeout     = 10 * time.Second
	idleTimeout    = 90 * time.Second
)

// Transport makes a transport that dials what the guard allows, and uses no proxy.
// An address that is refused is an error for which [Refused] holds.
func (g Guard) Transport() *http.Transport {
	guarded := &net.Dialer{Timeout: connectTimeout, Control: g.safe().Safe}
	trusted := &net.Dialer{Timeout: connectTimeout}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if slices.Contains(g.Hosts, address) {
				return trusted.DialContext(ctx, network, address)
			}
			return guarded.DialContext(ctx, network, address)
		},
		TLSHandshakeTimeout: tlsTimeout,
		IdleConnTimeout:     idleTimeout,
		ForceAttemptHTTP2:   true,
	}
}

// safe decides about addresses.
func (g Guard) safe() *ssrf.Guardian {
	var v4, v6 []netip.Prefix
	for _, p := range g.Networks {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
}

// Refused reports whether an error says that an address may not be dialled.
func Refused(err error) bool {
	return errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork)
}

// Check reports why an address, a host with its port, may not be dialled. What it finds is
// decided anew when it is dialled: until then a name may lead elsewhere.
func (g Guard) Check(ctx context.Context, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || slices.Contains(g.Hosts, address) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout/2)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil // a name that nobody knows yet
	}
	for _, ip := range found {
		if err = g.safe().SafeAddr(ip.Unmap()); err == nil {
			return nil
		}
	}
	return err
}

// Loopback reports whether a host, a name or an address without its port, is this machine.
func Loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
