package task

import "time"

// Limits on what a task may carry. Each is answered with a 4xx that names the
// field, and nothing is stored.
const (
	MaxInternalStatus = 255       // code points
	MaxPrompt         = 1 << 20   // bytes
	MaxFiles          = 100       // URLs
	MaxEvent          = 256 << 10 // bytes of one event's data
	MaxResult         = 16 << 20  // bytes
	MaxUsedTools      = 1000      // names
	MaxTags           = 32
	MaxTag            = 64 // bytes
	MaxID             = 128
	MaxStepKind       = 64  // bytes
	MaxTitle          = 255 // code points of an approval's title
	MaxApprovers      = 100
	MaxReply          = 64 << 10 // bytes of the value of an answer
	MaxNote           = 4 << 10  // bytes of what is said beside it
	MaxPriority       = 100      // and -100
	MaxAskedName      = 255      // code points of a model's, provider's or harness's name
	MaxToolCalls      = 1_000_000

	maxWhy           = 1 << 10  // bytes of what became of an attempt, for those who ask why its task waits
	maxRefusedResult = 64 << 10 // bytes of a refused result that its event shows
)

// Defaults of a turn.
const (
	// DefaultLease is the length of a lease where the agent names none (L2).
	DefaultLease = 30 * time.Second
	// DefaultMaxAttempts is how many attempts of a turn may start (L4).
	DefaultMaxAttempts = 3
	// UnfencedTimeout ends an attempt that cannot be stopped otherwise (S7).
	UnfencedTimeout = 24 * time.Hour

	// FirstBackoff is the wait before the second attempt of a turn, MaxBackoff the
	// longest before any other: each is twice the one before.
	FirstBackoff = time.Second
	// MaxDelay bounds how long a worker may ask that no other attempt begins.
	MaxDelay = 24 * time.Hour
	// MaxGivenBack is how often in a row a turn may be given back (L4).
	MaxGivenBack = 20
	MaxBackoff   = 5 * time.Minute
)

// Backoff is the wait before the next attempt after so many have started: 1 s,
// doubled each time, at most 5 minutes.
func Backoff(starts int) time.Duration {
	wait := FirstBackoff
	for range starts - 1 {
		wait = min(2*wait, MaxBackoff)
	}
	return wait
}
