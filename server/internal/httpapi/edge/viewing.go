package edge

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/stream"
	"github.com/errand-dev/errand/server/internal/task"
)

// linger is the silence after which a stream rests. It is longer than what lies between
// the words of a model.
const linger = 250 * time.Millisecond

// viewing is a stream on its way. One goroutine at a time runs it, and none while it
// rests.
type viewing struct {
	core *Core
	view View
	w    http.ResponseWriter

	ctx    context.Context //nolint:containedctx // the stream's own life
	cancel func()
	out    *SSE
	log    *stream.Follower
	said   time.Time // when something was sent last

	mu   sync.Mutex // holds back whoever is woken until it is known how he was to be
	calm func()     // takes back what would wake it
}

// run goes on with the stream until it rests, or is over.
func (s *viewing) run(r *http.Request) (rest Rest) {
	defer func() {
		if rest == nil {
			s.close()
		}
	}()
	whole, rests := s.show(r)
	if rests {
		return s.rest
	}
	gone := r.Context().Err() != nil || s.out.Broken() != nil
	switch v := &s.view; {
	case whole:
	case !gone && v.Unfinished != nil:
		v.Unfinished(s.out)
		_ = s.out.Flush() // it is the last that is said
	case gone && v.Unfollowed != nil && s.core.Closing.Err() == nil:
		go v.Unfollowed(s.core.Closing) //nolint:contextcheck // it outlives the request
	}
	return nil
}

// rest has the stream woken when there is something to see, or to say.
func (s *viewing) rest(wake func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var once sync.Once
	up := func() { once.Do(wake) }
	timer := time.AfterFunc(time.Until(s.said.Add(s.keepAlive())), up)
	over := context.AfterFunc(s.ctx, up)
	s.calm = func() {
		timer.Stop()
		over()
		s.log.Wake(nil)
	}
	s.log.Wake(up)
}

func (s *viewing) keepAlive() time.Duration { return cmp.Or(s.view.KeepAlive, s.core.KeepAlive) }

func (s *viewing) close() {
	if s.log != nil {
		s.log.Close()
	}
	if s.cancel != nil {
		s.cancel()
	}
}

// begin answers, and takes the first step.
func (s *viewing) begin(r *http.Request, yield func(stream.Part, error) bool) (more bool) {
	s.ctx, s.cancel = s.core.UntilClosing(r.Context())
	s.said = time.Now()
	s.log = s.core.Source.Open(s.view.Organization, s.view.Task, s.view.After, s.view.Only...)
	var err error
	s.out, err = StartSSE(s.w, r, s.core.WriteTimeout)
	return err == nil && s.log.Step(s.ctx, yield) //nolint:contextcheck // it is the request's
}

// goOn takes the step for which the stream was woken.
func (s *viewing) goOn(yield func(stream.Part, error) bool) (more bool) {
	s.mu.Lock()
	s.calm()
	s.mu.Unlock()
	switch {
	case s.ctx.Err() != nil:
		return false
	case time.Since(s.said) >= s.keepAlive():
		return s.log.Look(s.ctx, yield)
	default:
		return s.log.Step(s.ctx, yield)
	}
}

// show sends what there is to see until the stream rests, or breaks off, or is over,
// which is whole.
func (s *viewing) show(r *http.Request) (whole, rests bool) {
	ended := false // the view has said so, or cannot go on
	yield := func(p stream.Part, err error) bool {
		s.said = time.Now()
		more, err := s.tell(p, err)
		ended, whole = err != nil || !more, err == nil
		return !ended
	}
	step := s.goOn
	if s.log == nil {
		step = func(yield func(stream.Part, error) bool) bool { return s.begin(r, yield) }
	}
	quiet := time.NewTimer(min(linger, s.keepAlive()))
	defer quiet.Stop()
	for more := step(yield); more; quiet.Reset(min(linger, s.keepAlive())) {
		select {
		case <-s.ctx.Done():
			more = false
		case <-s.log.Ready():
			more = s.log.Step(s.ctx, yield)
		case <-quiet.C:
			return false, true
		}
	}
	if !ended {
		whole = s.ctx.Err() == nil && s.out.Broken() == nil && s.view.Unfinished == nil // who has a word for the end has said it by now, or the task is another
	}
	return whole, false
}

// tell sends a part of the log. It returns false when nothing more is to be sent.
func (s *viewing) tell(p stream.Part, err error) (more bool, failed error) {
	more = true
	switch {
	case fault.CodeOf(err) == fault.NotFound: // deleted meanwhile
		return false, err
	case errors.Is(err, stream.ErrIdle) && len(s.view.Only) == 0:
		err = s.out.KeepAlive()
	case errors.Is(err, stream.ErrIdle), err == nil && len(p.Events) == 0:
		err = s.out.Cursor(p.To) // of what it does not show: nobody has to read that again
	case err == nil:
		more, err = s.send(p.Events)
	}
	// A store that cannot be reached has told the log once, not for each viewer.
	if err != nil && s.out.Broken() == nil && fault.CodeOf(err) != fault.Unavailable {
		s.core.Log.ErrorContext(s.ctx, "stream broke off", "task_id", s.view.Task, "seq", p.To, "error", err)
	}
	return more, err
}

// send sends events that came together in one write.
func (s *viewing) send(events []task.Event) (more bool, err error) {
	for _, e := range events {
		if more, err = s.view.Send(s.ctx, s.out, e); err != nil || !more {
			break
		}
	}
	return more, errors.Join(err, s.out.Flush())
}
