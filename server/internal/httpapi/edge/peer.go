package edge

import (
	"context"
	"net"
	"time"
)

// WithConnection notes the connection by which requests come; it has the form
// of http.Server's ConnContext.
func WithConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey, c)
}

// Connection is the connection by which a request has come, nil if that is not known.
func Connection(ctx context.Context) net.Conn {
	c, _ := ctx.Value(connectionKey).(net.Conn)
	return c
}

// GiveUpPeer lets the connection of a request break when its peer has not
// acknowledged for so long what was sent: a machine that has vanished closes
// nothing. Where the system has no such setting, write deadlines have to do.
func GiveUpPeer(ctx context.Context, after time.Duration) error {
	c := Connection(ctx)
	if above, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = above.NetConn()
	}
	plain, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	return limitUnacknowledged(plain, after)
}
