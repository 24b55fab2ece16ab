package a2a

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/invoke"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// maxLooked is how many turns one page looks at: fewer than fit may match, and then its
// token goes on.
const maxLooked = 500

// pageBytes ends a page with the task by which it is so long, in bytes.
const pageBytes = 1 << 20

// taskList is a page of tasks.
type taskList struct {
	Tasks     []json.RawMessage `json:"tasks"`
	Next      string            `json:"nextPageToken"`
	PageSize  int               `json:"pageSize"`
	TotalSize int               `json:"totalSize"`
}

// lister makes a page.
type lister struct {
	*call
	want   listParams
	size   int
	after  time.Time
	page   taskList
	looked int
	bytes  int  // of the tasks in it
	last   spot // the turn that was looked at last
}

// spot is the place of a turn in a list.
type spot struct {
	thread lifecycle.Cursor
	turn   int
}

func (s spot) String() string {
	text := strconv.FormatInt(int64(s.thread.CreatedAt), 36) + " " + strconv.Itoa(s.turn) + " " + s.thread.ID
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

func spotOf(token string) (s spot, err error) {
	if token == "" {
		return spot{}, nil
	}
	raw, _ := base64.RawURLEncoding.DecodeString(token)
	parts := strings.SplitN(string(raw), " ", 3)
	if len(parts) == 3 {
		var at int64
		if at, err = strconv.ParseInt(parts[0], 36, 64); err == nil {
			s.turn, err = strconv.Atoi(parts[1])
		}
		s.thread = lifecycle.Cursor{CreatedAt: task.Stamp(at), ID: parts[2]}
	}
	if len(parts) != 3 || err != nil || s.turn < 1 {
		return spot{}, invalid.errorf("pageToken: must be the nextPageToken of a page")
	}
	return s, nil
}

// list writes the agent's tasks: the threads that began last first, and of each its
// last turn first.
func (c *call) list(params json.RawMessage) error {
	l := lister{call: c, size: usualPage, page: taskList{Tasks: []json.RawMessage{}}}
	if err := l.read(params); err != nil {
		return err
	}
	more, err := l.fill()
	if err != nil {
		return err
	}
	l.page.PageSize = len(l.page.Tasks)
	l.page.TotalSize = max(l.page.TotalSize, l.page.PageSize)
	switch {
	case more:
		l.page.Next = l.last.String()
	case l.want.PageToken == "": // these are all
		l.page.TotalSize = l.page.PageSize
	}
	return c.answer(l.page)
}

// read reads what is wanted.
func (l *lister) read(params json.RawMessage) error {
	if err := decode(params, &l.want); err != nil {
		return err
	}
	if size := l.want.PageSize; size != nil {
		var err error
		if l.size, err = sizeOf(strconv.Itoa(*size)); err != nil {
			return err
		}
	}
	if l.want.Status != "" && !l.want.Status.valid() {
		return invalid.errorf("status: %q is no state of a task", l.want.Status)
	}
	if l.want.After != "" {
		var err error
		if l.after, err = time.Parse(time.RFC3339Nano, l.want.After); err != nil {
			return invalid.errorf("statusTimestampAfter: must be a time like 2026-11-28T10:00:00Z")
		}
	}
	var err error
	if l.last, err = spotOf(l.want.PageToken); err != nil {
		return err
	}
	return checkHistory(l.want.HistoryLength)
}

// fill finds the tasks of the page. It reports whether others may follow.
func (l *lister) fill() (more bool, err error) {
	f := lifecycle.Filter{Agent: l.agent.ID}
	if l.want.ContextID != "" {
		if f.Only, err = l.context(f); err != nil {
			return false, err
		}
	}
	if l.last.turn > 1 { // the thread in which the page before has ended
		if more, err = l.thread(l.last.thread, l.last.turn-1); more || err != nil {
			return more, err
		}
	}
	ctx := l.r.Context()
	for behind := l.last.thread; ; {
		page, err := l.Service.List(ctx, edge.Scope(ctx), f, lifecycle.Page{Cursor: behind, Number: 1, Size: l.size, Count: l.looked == 0})
		if err != nil {
			return false, err
		}
		l.page.TotalSize = max(l.page.TotalSize, page.Total)
		for _, x := range page.Items {
			behind = lifecycle.Cursor{CreatedAt: x.CreatedAt, ID: x.ID}
			if more, err := l.thread(behind, 0); more || err != nil {
				return more, err
			}
		}
		if page.Next == (lifecycle.Cursor{}) {
			return false, nil
		}
	}
}

// context are the ids of the tasks that may be of the context that is wanted.
func (l *lister) context(f lifecycle.Filter) (*[]string, error) {
	ids := []string{l.want.ContextID}
	found, err := l.Service.Beginning(l.r.Context(), edge.Scope(l.r.Context()), f, l.want.ContextID+":")
	if fault.CodeOf(err) == fault.Invalid {
		return nil, unsupported.errorf("context %s has more tasks than can be listed by it: list without it", l.want.ContextID)
	}
	if err != nil {
		return nil, err
	}
	first, err := l.Service.RowsOf(l.r.Context(), edge.Scope(l.r.Context()), f, ids)
	ids = nil
	for _, x := range append(first, found...) {
		ids = append(ids, x.Task.ID)
		l.page.TotalSize += x.Task.Terms.Turn
	}
	return &ids, err
}

// thread adds the turns of a thread from one on downwards, 0 for its last. It reports
// whether the page is full before the end.
func (l *lister) thread(at lifecycle.Cursor, from int) (full bool, err error) {
	ctx := l.r.Context()
	for n := from; ; n-- {
		t, err := l.Turns.Find(ctx, edge.Scope(ctx), at.ID, n)
		if fault.CodeOf(err) == fault.NotFound { // deleted meanwhile
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if len(l.page.Tasks) == l.size || l.bytes >= pageBytes || l.looked == maxLooked {
			return true, nil
		}
		l.looked, l.last = l.looked+1, spot{at, t.Number}
		if err := l.add(t); err != nil {
			return false, err
		}
		if n = t.Number; n == 1 {
			return false, nil
		}
	}
}

// add adds a turn if it is wanted.
func (l *lister) add(t invoke.Turn) error {
	ctx := l.r.Context()
	f, err := l.outline(ctx, t)
	if err != nil || !l.wants(f) {
		return err
	}
	f.Artifacts = nil
	if l.want.IncludeArtifacts {
		if f, err = l.whole(ctx, t); err != nil {
			return err
		}
	}
	f.cut(l.want.HistoryLength)
	text, err := json.Marshal(f.Task)
	l.page.Tasks, l.bytes = append(l.page.Tasks, text), l.bytes+len(text)
	return err
}

// wants reports whether a turn is one of those that are asked for.
func (l *lister) wants(f *fold) bool {
	return (l.want.ContextID == "" || f.ContextID == l.want.ContextID) && (l.want.Status == "" || f.Status.State == l.want.Status) &&
		(l.after.IsZero() || f.Status.Timestamp.Time().After(l.after))
}
