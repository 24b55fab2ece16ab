//go:build !linux

package edge

import (
	"net"
	"time"
)

func limitUnacknowledged(*net.TCPConn, time.Duration) error { return nil }
