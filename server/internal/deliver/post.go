package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/errand-dev/errand/server/internal/outbound"
	"github.com/errand-dev/errand/server/internal/task"
)

const (
	// patience is within what time a request has to be answered.
	patience = 20 * time.Second
	// insists is for how long an update is posted again and again, and insistsMore a
	// webhook's message.
	insists, insistsMore = 24 * time.Hour, 5 * 24 * time.Hour
	// soonest and latest are after what time it is at first, and in the end.
	soonest, latest = 200 * time.Millisecond, time.Hour
	// answer is how much of an answer is read, so that its connection may serve again, and of
	// its head.
	answer = 64 << 10
	// maxFailure is how many bytes of why an update was not taken are kept.
	maxFailure = 500
)

// failure is why an update was not taken.
type failure struct {
	why string
	// wait is for how long the target wants to be left alone.
	wait time.Duration
	// final says that it would not be taken later either.
	final bool
}

// backoff is for how long nothing is posted after so many failures. Those that failed
// together are not tried again together.
func backoff(failures int) time.Duration {
	d := latest
	if n := failures - 1; n < 20 {
		d = min(soonest<<n, latest)
	}
	return d/2 + rand.N(d/2) //nolint:gosec // nobody gains by guessing it
}

// post posts a body, and returns nil if it was taken.
func (c *Courier) post(ctx context.Context, to string, headers http.Header, body []byte) *failure {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return &failure{why: "the URL cannot be posted to", final: true}
	}
	request.Header = headers.Clone()
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "errand")
	got, err := c.client.Do(request)
	if err != nil {
		return unanswered(err)
	}
	_, _ = io.CopyN(io.Discard, got.Body, answer) // what it says does not matter
	_ = got.Body.Close()
	if got.StatusCode/100 == 2 {
		return nil
	}
	return &failure{
		why:  fmt.Sprintf("answered %d", got.StatusCode),
		wait: asked(got.Header.Get("Retry-After"), time.Now()), final: got.StatusCode == http.StatusGone,
	}
}

// unanswered is why a request has no answer.
func unanswered(err error) *failure {
	var whole *url.Error
	switch {
	case outbound.Refused(err):
		return &failure{why: refused, final: true}
	case errors.As(err, &whole) && whole.Timeout():
		return &failure{why: fmt.Sprintf("no answer within %s", patience)}
	case errors.As(err, &whole): // without the URL
		err = whole.Err
	}
	text := err.Error() // in which a target may have put anything
	return &failure{why: task.CleanText(text[:min(len(text), maxFailure)])}
}

// asked is for how long a Retry-After wants to be left alone, a day at most.
func asked(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(min(max(seconds, 0), int(insists.Seconds()))) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), insists)
}
