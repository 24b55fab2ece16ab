package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How far the heap may grow before garbage is collected: by heapRoom, in bytes,
// or by a quarter of what is held if that is more. A server holds little but turns over much: by
// Go's own rule, which lets the heap double, a busy one collected dozens of times
// a second, a fifth of its work; and one with thousands of idle viewers, whose
// stacks count too, took twice the memory that it needed.
const (
	heapRoom  = 48 << 20
	heapShare = 4
)

// giveHeapRoom keeps to that from now on, unless the operator has set GOGC. It is
// for the whole process.
func giveHeapRoom() {
	if os.Getenv("GOGC") != "" {
		return
	}
	seen := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	// The runtime knows a percentage only, of all that it looks through, so it is
	// set anew after each collection, which a value that dies in it tells.
	var adjust func(*[16]byte)
	adjust = func(*[16]byte) {
		metrics.Read(seen)
		live, all := seen[0].Value.Uint64(), uint64(1<<20)
		for _, part := range seen {
			all += part.Value.Uint64()
		}
		debug.SetGCPercent(int(100 * max(heapRoom, live/heapShare) / all)) //nolint:gosec // 4,800 at most
		runtime.SetFinalizer(new([16]byte), adjust)
	}
	adjust(nil)
}
