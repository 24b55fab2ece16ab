package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// attackers is how many callers write beside the creators.
const attackers = 4

// sent is one request of an attacker.
type sent struct {
	path string
	body string
}

// victims are what the attackers write to.
type victims struct {
	running []claim
	key     string // the id of one
	file    string // the id of one that a task uses
}

const mib = 1 << 20

func long(n int) string { return strings.Repeat("x", n) }

// many makes a JSON list of the same element.
func many(n int, element string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
}

// assaults are, for each write route of the API, its largest legal input that can be
// sent again and again, one that is refused, and one that meets a conflict (or finds
// nothing, where nothing can be in conflict).
func assaults(v victims) map[string][3]sent {
	const agents, tasks = "/v1/agents/", "/v1/tasks/"
	one, two, three := v.running[0], v.running[1], v.running[2]
	task := `{"agent_id":"` + agentID + `","input":{"text":"` + long(4<<10) + `"}}`
	ask, wrong, again := `{"input":{"text":"`+long(mib-1)+`"}}`, `{"input":{"text":"x"},"priority":1000}`, `{"id":"`+one.task+`","input":{"text":"x"}}`
	create := func(body string) string { return `{"agent_id":"` + agentID + `",` + body[1:] }
	record := `{"name":"other","runtime":"worker","description":"` + long(64<<10) + `"}`
	under := func(c claim, more string) string { return `{"lease_token":"` + c.token + `"` + more + `}` }
	none, foreign := `{"lease_token":""}`, `{"lease_token":"none"}`
	verb := func(name string) [3]sent {
		return [3]sent{{tasks + one.task + name, ""}, {tasks + one.task + name + "?nonsense=1", ""}, {tasks + "nobody" + name, ""}}
	}
	return map[string][3]sent{
		"POST /v1/agents":                 {{"/v1/agents", record}, {"/v1/agents", `{"name":"other","runtime":"none"}`}, {"/v1/agents", `{"name":""}`}},
		"PUT /v1/agents/{agent_id}":       {{agents + "other", record}, {agents + "other", `{"name":"other","runtime":"none"}`}, {agents + "..", record}},
		"DELETE /v1/agents/{agent_id}":    {{agents + "nobody", ""}, {agents + "nobody?nonsense=1", ""}, {agents + agentID, ""}},
		"POST /v1/tasks":                  {{"/v1/tasks", create(ask)}, {"/v1/tasks", create(wrong)}, {"/v1/tasks", create(again)}},
		"POST /v1/tasks/batch":            {{"/v1/tasks/batch", `{"tasks":` + many(1000, task) + `}`}, {"/v1/tasks/batch", `{"tasks":` + many(1001, "{}") + `}`}, {"/v1/tasks/batch", `{"all":true,"tasks":` + many(1000, create(again)) + `}`}},
		"POST /v1/tasks/stop":             {{"/v1/tasks/stop", `{"filter":{"agent_id":"` + agentID + `"},"dry_run":true}`}, {"/v1/tasks/stop", `{}`}, {"/v1/tasks/stop", `{"filter":{"agent_id":"nobody"}}`}},
		"PATCH /v1/tasks/{task_id}":       {{tasks + one.task, `{"payload_extension":{"a":"` + long(64<<10) + `"}}`}, {tasks + one.task, `{"internal_status":"` + long(mib) + `"}`}, {tasks + one.task, `{"payload_extension":{"a":1},"priority":5}`}},
		"DELETE /v1/tasks/{task_id}":      {{tasks + three.task, ""}, {tasks + "nobody?nonsense=1", ""}, {tasks + "nobody", ""}},
		"POST /v1/tasks/{task_id}/stop":   verb("/stop"),
		"POST /v1/tasks/{task_id}/pause":  verb("/pause"),
		"POST /v1/tasks/{task_id}/resume": verb("/resume"),
		"POST /v1/tasks/{task_id}/events": {
			{tasks + one.task + "/events", under(one, `,"events":`+many(1000, `{"type":"chunk","data":"`+long(1<<10)+`"}`))},
			{tasks + one.task + "/events", under(one, `,"events":`+many(1000, `{"type":"task_finished","data":null}`))},
			{tasks + one.task + "/events", `{"lease_token":"none","events":` + many(1000, `{"type":"chunk","data":"x"}`) + `}`},
		},
		"POST /v1/tasks/{task_id}/steps": {
			{tasks + one.task + "/steps", under(one, `,"id":"one","body":"`+long(250<<10)+`"`)},
			{tasks + one.task + "/steps", under(one, `,"id":"","body":"`+long(250<<10)+`"`)},
			{tasks + one.task + "/steps", `{"lease_token":"none","id":"other","body":"` + long(250<<10) + `"}`},
		},
		"POST /v1/tasks/{task_id}/wait": {{tasks + one.task + "/wait", under(one, `,"sub_tasks":`+many(100, `"gone"`))}, {tasks + one.task + "/wait", under(one, `,"sub_tasks":`+many(101, `"gone"`))}, {tasks + one.task + "/wait", `{"lease_token":"none","sub_tasks":` + many(100, `"gone"`) + `}`}},
		"PUT /v1/tasks/{task_id}/outputs/{name}": {
			{tasks + one.task + "/outputs/a.txt", long(4 * mib)},
			{tasks + one.task + "/outputs/a.txt?nonsense=1", long(mib)},
			{tasks + two.task + "/outputs/a.txt", long(mib)},
		},
		"POST /v1/tasks/{task_id}/approvals":           {{tasks + one.task + "/approvals", under(one, `,"key":"k","stay":true,"message":"m","payload":"`+long(200<<10)+`"`)}, {tasks + one.task + "/approvals", under(one, `,"key":"","message":"m","payload":"`+long(200<<10)+`"`)}, {tasks + one.task + "/approvals", `{"lease_token":"none","key":"k","message":"m","payload":"` + long(200<<10) + `"}`}},
		"POST /v1/approvals/{approval_id}/answer":      {{"/v1/approvals/nobody/answer", `{"value":"` + long(60<<10) + `"}`}, {"/v1/approvals/nobody/answer", `{"answer":"perhaps"}`}, {"/v1/approvals/nobody/answer?nonsense=1", `{"answer":"approve"}`}},
		"POST /v1/tasks/{task_id}/heartbeat":           {{tasks + one.task + "/heartbeat", under(one, `,"internal_status":"`+long(255)+`"`)}, {tasks + one.task + "/heartbeat", none}, {tasks + one.task + "/heartbeat", foreign}},
		"POST /v1/tasks/{task_id}/finish":              {{tasks + two.task + "/finish", under(two, `,"status":"completed","result":"`+long(mib)+`"`)}, {tasks + one.task + "/finish", under(one, `,"status":"done"`)}, {tasks + one.task + "/finish", `{"lease_token":"none","status":"completed","result":"` + long(mib) + `"}`}},
		"POST /v1/tasks/{task_id}/release":             {{tasks + three.task + "/release", under(three, "")}, {tasks + one.task + "/release", none}, {tasks + one.task + "/release", foreign}},
		"POST /v1/claim":                               {{"/v1/claim", `{"agent_ids":` + many(100, `"other"`) + `,"worker_id":"a","slots":100}`}, {"/v1/claim", `{"agent_ids":[],"worker_id":"a"}`}, {"/v1/claim", `{"agent_ids":["other"],"worker_id":"a","finished":` + many(100, `{"task_id":"`+one.task+`","lease_token":"none","status":"completed","result":"`+long(10<<10)+`"}`) + `}`}},
		"POST /v1/files":                               {{"/v1/files?name=a.txt", long(4 * mib)}, {"/v1/files?nonsense=1", long(mib)}, {"/v1/files?name=a.txt", "x"}},
		"POST /v1/files/preview":                       {{"/v1/files/preview", `{"url":"http://127.0.0.1:1/x","agent_id":"` + agentID + `"}`}, {"/v1/files/preview", `{"url":"x","agent_id":"` + agentID + `"}`}, {"/v1/files/preview?nonsense=1", `{}`}},
		"DELETE /v1/files/{file_id}":                   {{"/v1/files/nobody", ""}, {"/v1/files/nobody?nonsense=1", ""}, {"/v1/files/" + v.file, ""}},
		"POST /v1/agents/{agent_id}/report":            {{agents + agentID + "/report", `{"id":"told","result":"` + long(mib) + `"}`}, {agents + agentID + "/report", `{"duration":-1}`}, {agents + agentID + "/report", `{"id":"` + one.task + `"}`}},
		"POST /v1/agents/{agent_id}/invoke":            {{agents + agentID + "/invoke?wait=0", ask}, {agents + agentID + "/invoke", wrong}, {agents + agentID + "/invoke", again}},
		"POST /v1/agents/{agent_id}/invoke/async":      {{agents + agentID + "/invoke/async", ask}, {agents + agentID + "/invoke/async", wrong}, {agents + agentID + "/invoke/async", again}},
		"POST /v1/agents/{agent_id}/invoke/stream":     {{agents + "profile/invoke/stream", ask}, {agents + agentID + "/invoke/stream", wrong}, {agents + agentID + "/invoke/stream", again}},
		"POST /v1/keys":                                {{"/v1/keys", `{"name":"` + long(255) + `","role":"worker","agents":` + many(100, `"other"`) + `}`}, {"/v1/keys", `{"name":"x","role":"none"}`}, {"/v1/keys", `{"name":"","role":"user"}`}},
		"POST /v1/webhooks":                            {{"/v1/webhooks", `{"url":"https://192.0.2.1/","agents":` + many(100, `"other"`) + `,"enabled":false}`}, {"/v1/webhooks", `{"url":"ftp://example.org/"}`}, {"/v1/webhooks", `{"url":"http://127.0.0.1:1/"}`}},
		"PATCH /v1/webhooks/{webhook_id}":              {{"/v1/webhooks/nobody", `{"enabled":true}`}, {"/v1/webhooks/nobody", `{"types":["none"]}`}, {"/v1/webhooks/nobody?nonsense=1", `{}`}},
		"DELETE /v1/webhooks/{webhook_id}":             {{"/v1/webhooks/nobody", ""}, {"/v1/webhooks/nobody?nonsense=1", ""}, {"/v1/webhooks/nobody", ""}},
		"POST /v1/webhooks/{webhook_id}/test":          {{"/v1/webhooks/nobody/test", ""}, {"/v1/webhooks/nobody/test?nonsense=1", ""}, {"/v1/webhooks/nobody/test", ""}},
		"POST /v1/session":                             {{"/v1/session", `{"key":"` + long(1024) + `"}`}, {"/v1/session", `{}`}, {"/v1/session", `{"key":""}`}},
		"POST /v1/session/links":                       {{"/v1/session/links", `{"next":"/ui/` + long(1000) + `"}`}, {"/v1/session/links", `{"next":"elsewhere"}`}, {"/v1/session/links?nonsense=1", `{}`}},
		"DELETE /v1/session":                           {{"/v1/session", ""}, {"/v1/session?nonsense=1", ""}, {"/v1/session", ""}},
		"PATCH /v1/keys/{key_id}":                      {{"/v1/keys/" + v.key, `{"caps":{"day":{"tokens":1e15},"month":{"cost":0.5},"at_limit":"end"}}`}, {"/v1/keys/" + v.key, `{"caps":{"day":{"tokens":-1}}}`}, {"/v1/keys/nobody", `{"caps":null}`}},
		"DELETE /v1/keys/{key_id}":                     {{"/v1/keys/" + v.key, ""}, {"/v1/keys/nobody?nonsense=1", ""}, {"/v1/keys/nobody", ""}},
		"POST /v1/tasks/{task_id}/tokens":              {{tasks + one.task + "/tokens", `{"expires_in":1}`}, {tasks + one.task + "/tokens", `{"expires_in":0}`}, {tasks + "nobody/tokens", `{}`}},
		"DELETE /v1/tasks/{task_id}/tokens/{token_id}": {{tasks + one.task + "/tokens/nobody", ""}, {tasks + one.task + "/tokens/nobody?nonsense=1", ""}, {tasks + "nobody/tokens/x", ""}},
	}
}

// writeRoutes are those of the document: whoever adds one adds its assault.
func (s *server) writeRoutes(ctx context.Context) ([]string, error) {
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	text, err := c.call(http.MethodGet, "/v1/openapi.json", nil)
	if err != nil {
		return nil, err
	}
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	var routes []string
	for path, operations := range document.Paths {
		for method := range operations {
			switch method = strings.ToUpper(method); method {
			case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
				routes = append(routes, method+" "+path)
			}
		}
	}
	slices.Sort(routes)
	return routes, nil
}

// attacks creates tasks, alone and beside callers of each write route in turn.
func attacks(ctx context.Context, b *bench) error {
	s, end, err := b.fresh(ctx)
	if err != nil {
		return err
	}
	routes, err := s.writeRoutes(ctx)
	if err := errors.Join(err, end()); err != nil {
		return err
	}
	known := slices.Sorted(maps.Keys(assaults(victims{running: make([]claim, 3)})))
	if !slices.Equal(routes, known) {
		return fmt.Errorf("the write routes are %q, and there are assaults on %q", routes, known)
	}
	for _, route := range routes {
		var ratios, rates, alone, moved []float64
		for range min(b.runs, 3) {
			got, err := b.attack(ctx, route)
			if err != nil {
				return fmt.Errorf("%s: %w", route, err)
			}
			ratios, rates = append(ratios, got.beside/got.alone), append(rates, got.beside)
			alone, moved = append(alone, got.alone), append(moved, got.bytes)
		}
		b.report(figure{
			section: "32 creators beside 4 callers", name: route + ", " + megabytes(median(moved)) + "/s", value: perSecond(median(rates)),
			raw: perSecond(median(alone)) + " undisturbed", ratio: strconv.FormatFloat(median(ratios), 'f', 2, 64), bar: "ratio 0.9",
			amount: median(rates),
		})
	}
	return nil
}

// attacked is how many tasks a second were created, and what the attackers moved
// meanwhile, in bytes a second.
type attacked struct{ alone, beside, bytes float64 }

// attack measures the creators before, during and after an attack on a route.
func (b *bench) attack(ctx context.Context, route string) (got attacked, err error) {
	s, end, err := b.fresh(ctx)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, end()) }()
	v, err := s.victims(ctx)
	if err != nil {
		return got, err
	}
	creating := subject{maker: s.creator(ctx), server: s}
	const creators = 32
	before, err := b.speed(ctx, creators, creating)
	if err != nil {
		return got, err
	}
	method, _, _ := strings.Cut(route, " ")
	over, stop := context.WithCancel(ctx)
	defer stop()
	var moved atomic.Int64
	var group errgroup.Group
	for i := range attackers {
		group.Go(func() error { return s.assault(over, v.running[0].token, method, assaults(v)[route], i, &moved) })
	}
	begun := time.Now()
	during, err := b.speed(ctx, creators, creating)
	got.bytes = float64(moved.Load()) / time.Since(begun).Seconds()
	stop()
	if err := errors.Join(err, group.Wait()); err != nil {
		return got, err
	}
	after, err := b.speed(ctx, creators, creating)
	got.alone, got.beside = (before.rate+after.rate)/2, during.rate
	return got, err
}

// assault sends requests in turn until ctx ends. Whatever is answered is right, but
// for a failure of the server's own. The lease token is for what takes it in a header.
func (s *server) assault(ctx context.Context, token, method string, requests [3]sent, turn int, moved *atomic.Int64) error {
	var c *conn
	for cut := 0; ctx.Err() == nil; turn++ {
		r := requests[turn%len(requests)]
		body := []byte(r.body)
		var err error
		if c == nil {
			if c, err = s.dial(context.WithoutCancel(ctx)); err != nil {
				return err
			}
		}
		var status int
		if err = c.send(method, r.path, body, "X-Errand-Lease-Token", token); err == nil {
			status, err = c.receive()
		}
		if err != nil { // who is refused before their body has come loses the connection
			if cut++; cut > 3 {
				return fmt.Errorf("%s %s: %w", method, r.path, err)
			}
			c = nil
			continue
		}
		if cut = 0; status >= http.StatusInternalServerError {
			return fmt.Errorf("%s %s: %d: %s", method, r.path, status, c.body)
		}
		moved.Add(int64(len(body) + len(c.body)))
	}
	return nil
}

// fileInUse uploads a file and makes a task that uses it.
func fileInUse(c *conn) (id string, err error) {
	answer, err := c.post("/v1/files?name=used.txt", []byte("used"))
	if err != nil {
		return "", err
	}
	var made struct {
		ID  string `json:"id"`
		URL string `json:"url"`
	}
	if err := json.Unmarshal(answer, &made); err != nil {
		return "", err
	}
	_, err = c.post("/v1/tasks", []byte(`{"agent_id":"other","input":{"files":["`+made.URL+`"]}}`))
	return made.ID, err
}

// victims makes what the attackers write to.
func (s *server) victims(ctx context.Context) (v victims, err error) {
	c, err := s.dial(ctx)
	if err != nil {
		return v, err
	}
	if _, err := c.call(http.MethodPut, "/v1/agents/other", []byte(`{"name":"other","runtime":"worker"}`)); err != nil {
		return v, err
	}
	answer, err := c.post("/v1/keys", []byte(`{"name":"one","role":"user"}`))
	if err != nil {
		return v, err
	}
	var made struct {
		ID string `json:"id"`
	}
	if err := json.NewDecoder(bytes.NewReader(answer)).Decode(&made); err != nil {
		return v, err
	}
	v.key = made.ID
	if v.file, err = fileInUse(c); err != nil {
		return v, err
	}
	v.running, err = s.running(ctx, 3)
	return v, err
}
