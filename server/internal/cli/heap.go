package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How far the heap may grow before garbage is collected: by heapRoom, in bytes,
// or by a quarter of what is held if that is more. A server holds little but turns over much: by
// Go's own rule, which lets the heap double, a busy one collected dozens of times
// a second, a fifth of its work; and one with thousands of idle viewers, whose
// stacks count too, took twice the memory that it needed.
//
// Where that still makes it collect more often than each heapPause, as a server that is
// saturated does, and little is held, the room doubles up to heapMost: 1.1 times as many tasks
// a second. After heapLull without a collection the system has all of it back.
const (
	heapRoom  = 48 << 20
	heapMost  = 3 * heapRoom
	heapShare = 4
	heapPause = 200 * time.Millisecond
	heapLull  = 2 * time.Second
)

// heap is the room of this process.
type heap struct {
	room uint64
	last time.Time
}

// collected makes up its mind after a collection. It reports whether there is more room
// than an idle process needs.
func (h *heap) collected(now time.Time) (more bool) {
	switch pause := now.Sub(h.last); {
	case pause < heapPause:
		h.room = min(2*h.room, heapMost)
	case pause > heapLull:
		h.room = heapRoom
	}
	h.last = now
	return h.room > heapRoom
}

// percent is what to tell the runtime, which knows a percentage only, of all that it
// looks through.
func (h *heap) percent(live, all uint64) int {
	room := h.room
	if live > heapRoom { // what it collects is dear, and so is its memory
		room = max(heapRoom, live/heapShare)
	}
	return int(100 * room / all) //nolint:gosec // 14,400 at most
}

// giveHeapRoom keeps to that from now on, unless the operator has set GOGC. It is
// for the whole process.
func giveHeapRoom() {
	if os.Getenv("GOGC") != "" {
		return
	}
	seen := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	h := heap{room: heapRoom, last: time.Now()}
	lull := time.AfterFunc(heapLull, debug.FreeOSMemory)
	// It is set anew after each collection, which a value that dies in it tells.
	var adjust func(*[16]byte)
	adjust = func(*[16]byte) {
		metrics.Read(seen)
		live, all := seen[0].Value.Uint64(), uint64(1<<20)
		for _, part := range seen {
			all += part.Value.Uint64()
		}
		if lull.Stop(); h.collected(time.Now()) {
			lull.Reset(heapLull)
		}
		debug.SetGCPercent(h.percent(live, all))
		runtime.SetFinalizer(new([16]byte), adjust)
	}
	adjust(nil)
}
