package edge

import (
	"context"
	"net"
	"net/http"

	"github.com/errand-dev/errand/server/internal/fault"
)

// SessionCookie is where a browser keeps its session. Cookies know no ports, so that
// each server has a name of its own.
type SessionCookie struct {
	Name string
	// Secure says that the server is reached by TLS.
	Secure bool
}

// Read is the session that a request shows, "" for none. Two are refused: somebody
// else may have set one of them.
func (c SessionCookie) Read(r *http.Request) (string, error) {
	switch shown := r.CookiesNamed(c.Name); len(shown) {
	case 0:
		return "", nil
	case 1:
		return shown[0].Value, nil
	default:
		return "", fault.Field("Cookie", "%s stands more than once", c.Name)
	}
}

// Write is the cookie that makes a browser show a session, or, for "", none. It names
// no end: the server knows it.
func (c SessionCookie) Write(session string) *http.Cookie {
	cookie := &http.Cookie{Name: c.Name, Value: session, Path: "/", HttpOnly: true, Secure: c.Secure, SameSite: http.SameSiteStrictMode} //nolint:gosec // Secure wherever the address is
	if session == "" {
		cookie.MaxAge = -1
	}
	return cookie
}

// TokenParameter is the parameter that shows a token for one task.
const TokenParameter = "token"

// Peer is the address from which a request came, "" if that is not known.
func Peer(ctx context.Context) string {
	c, ok := ctx.Value(connectionKey).(net.Conn)
	if !ok {
		return ""
	}
	return c.RemoteAddr().String()
}
