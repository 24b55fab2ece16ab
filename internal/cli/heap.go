package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapFloor is how large the heap may grow before garbage is collected, in
// bytes. A server holds little but turns over much: with Go's own rule, twice
// what it holds, a busy one collected dozens of times a second, a fifth of its
// work. An idle server never reaches the floor, and one that holds more than
// half of it is ruled by Go as ever.
const heapFloor = 64 << 20

// raiseHeapFloor keeps to heapFloor from now on, unless the operator has set
// GOGC. It is for the whole process.
func raiseHeapFloor() {
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	// The runtime knows a percentage only, so it is set anew after each
	// collection, which a value that dies in it tells.
	var adjust func(*[16]byte)
	adjust = func(*[16]byte) {
		metrics.Read(live)
		percent := 100
		if held := max(live[0].Value.Uint64(), 1<<20); held < heapFloor/2 {
			percent = int(100 * (heapFloor - held) / held) //nolint:gosec // 6,300 at most
		}
		debug.SetGCPercent(percent)
		runtime.SetFinalizer(new([16]byte), adjust)
	}
	adjust(nil)
}
