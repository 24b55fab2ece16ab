package v1

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// Usage is what was spent for one owner, group, agent or key.
type Usage struct {
	Of    task.CapOf  `json:"of" enum:"agent,group,key,owner" doc:"What it was spent for: each task counts for its owner, its group, its agent and the key that began its turn."`
	ID    string      `json:"id" doc:"Which of them: an owner is key:ID or user:NAME."`
	Day   UsageOfTime `json:"day" doc:"What was spent in the day."`
	Month UsageOfTime `json:"month" doc:"What was spent in the month."`
}

// UsageOfTime is what was spent in a day or a month.
type UsageOfTime struct {
	From   task.Stamp         `json:"from" doc:"When it has begun, in UTC."`
	Until  task.Stamp         `json:"until" doc:"When the next one begins."`
	Tokens int64              `json:"tokens" doc:"Model tokens, read and written."`
	Cost   float64            `json:"cost" doc:"Money, in the currency of the configured prices."`
	Cap    orNone[CapInForce] `json:"cap" doc:"What may be spent; null for no cap."`
}

// CapInForce is a cap as it is now.
type CapInForce struct {
	Tokens  int64        `json:"tokens" doc:"The most model tokens; 0 is no limit."`
	Cost    float64      `json:"cost" doc:"The most money; 0 is no limit."`
	WarnAt  float64      `json:"warn_at" doc:"The part of a limit at which logs warn."`
	AtLimit task.AtLimit `json:"at_limit" enum:"pause,end" doc:"What a limit does that is reached."`
	Over    []string     `json:"over" doc:"The limits that are reached."`
}

// UsageList is a part of a list of usage.
type UsageList struct {
	Items      []Usage `json:"items" doc:"Sorted by what it was spent for."`
	NextCursor *string `json:"next_cursor" doc:"Give it as cursor for what follows; null at the end."`
}

// UsageQuery says whose usage is wanted.
type UsageQuery struct {
	Part
	Of task.CapOf `query:"of" enum:"agent,group,key,owner" doc:"Only what was spent for these."`
	ID string     `query:"id" maxLength:"256" doc:"Only this one; with of. It is there although nothing was spent."`
	At time.Time  `query:"at" doc:"A moment in the day and the month that are wanted; now when left out."`
}

func usageOfTime(u lifecycle.PeriodUsage) UsageOfTime {
	x := UsageOfTime{From: u.From, Until: u.Until, Tokens: u.Tokens, Cost: u.Cost}
	if c := u.Cap; c != nil {
		x.Cap.Value = &CapInForce{Tokens: c.Most.Tokens, Cost: c.Most.Cost, WarnAt: c.WarnAt, AtLimit: c.AtLimit, Over: c.Over()}
	}
	return x
}

func (r *routes) registerUsage() {
	add(r, operation{roles: users(), errors: []fault.Code{fault.Malformed}, Operation: huma.Operation{
		OperationID: "list-usage", Method: http.MethodGet, Path: "/v1/usage", Tags: []string{"usage"},
		Summary: "What was spent in a day and a month, beside the caps",
		Description: "Lists the owners, groups, agents and keys for whom something was spent in the month. A key that does not see all sees what counts for itself, for its owner" +
			" and, if it sees its group, for that.",
	}}, r.listUsage)
}

func (r *routes) listUsage(ctx context.Context, in *UsageQuery) (*struct{ Body UsageList }, error) {
	if in.ID != "" && in.Of == "" {
		return nil, fault.Field("id", "needs of, which says what it is the id of")
	}
	f := lifecycle.UsageFilter{Spender: task.Spender{Of: in.Of, ID: in.ID}, At: task.StampOf(in.At), Limit: in.Limit + 1}
	if in.Cursor != "" {
		plain, err := base64.RawURLEncoding.DecodeString(in.Cursor)
		of, id, ok := strings.Cut(string(plain), " ")
		if err != nil || !ok {
			return nil, edge.BadCursor()
		}
		f.After = task.Spender{Of: task.CapOf(of), ID: id}
	}
	found, err := r.Service.Usage(ctx, edge.Caller(ctx), f)
	if err != nil {
		return nil, err
	}
	list := UsageList{Items: make([]Usage, 0, len(found))}
	for i, u := range found {
		if i == in.Limit {
			last := found[i-1]
			next := base64.RawURLEncoding.EncodeToString([]byte(string(last.Of) + " " + last.ID))
			list.NextCursor = &next
			break
		}
		list.Items = append(list.Items, Usage{Of: u.Of, ID: u.ID, Day: usageOfTime(u.Day), Month: usageOfTime(u.Month)})
	}
	return &struct{ Body UsageList }{list}, nil
}
