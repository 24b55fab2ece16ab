package sdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"iter"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errand-dev/errand"
)

// Everything that a creator may give comes back.
func TestCreateGivesEverything(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	parent := create(t, c, errand.TaskRequest{Prompt: "parent"})
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	request := errand.TaskRequest{
		AgentID: agentID, Prompt: "Analyze", FileURLs: []string{"https://example.com/a.csv", "https://example.com/b.png"},
		User: &errand.User{ID: "u-1", Email: "u@example.com", FirstName: "U", AdditionalAttributes: map[string]any{"team": "sales"}},
		ID:   "task-456", IdempotencyKey: "order-66", Title: "Sales", Priority: 7, RunAt: at, Timeout: 90 * time.Second,
		ExpiresIn: 2 * time.Hour, MaxAttempts: 5, WorkerID: "w-1", Tags: []string{"a", "b"}, AgentVersion: "1",
		ParentTaskID: parent.ID, OnParentEnd: errand.KeepOnParentEnd, TriggeringAgentID: "boss", Source: "test", OutputFormat: "json",
		OutputSchema: map[string]string{"type": "object"}, ExpectedOutput: "a table", Instructions: "be brief",
		AdditionalContext: "it is Monday", ThinkMode: "harder", DisableAttachmentInjection: true,
		PayloadExtension: map[string]any{"headers": map[string]any{"x": "y"}},
		MCPServers:       []errand.MCPServer{{Name: "m", URL: "https://mcp.example.com", APIKey: "secret-1"}},
		UserTokens:       map[string]any{"github": "secret-2"}, UserOIDCToken: "secret-3", NoPythonStreaming: true,
		ModelProvider: "anthropic", ModelName: "claude", ReasoningEffort: "high", ToolCallLimit: 9, HarnessCLI: "codex", PermissionMode: "gated",
	}
	task, err := c.Tasks.Create(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	want := errand.Task{
		ID: "task-456", AgentID: agentID, AgentVersion: "1", OrganizationID: "default", Turn: 1, Status: errand.Pending,
		Input: errand.Input{Text: "Analyze", Files: request.FileURLs, User: request.User}, Title: "Sales", Priority: 7, RunAt: at,
		Timeout: request.Timeout, ExpiresIn: request.ExpiresIn, MaxAttempts: 5, PinnedWorkerID: "w-1", Tags: request.Tags,
		ParentTaskID: parent.ID, OnParentEnd: errand.KeepOnParentEnd, TriggeringAgentID: "boss", Source: "test", OutputFormat: "json", OutputSchema: json.RawMessage(`{"type":"object"}`),
		ExpectedOutput: "a table", InstructionsOverride: "be brief", AdditionalContext: "it is Monday", ThinkMode: "harder",
		DisableAttachmentInjection: true, PayloadExtension: json.RawMessage(`{"headers":{"x":"y"}}`), IdempotencyKey: "order-66",
		ModelProvider: "anthropic", ModelName: "claude", ReasoningEffort: "high", ToolCallLimit: 9, HarnessCLI: "codex", PermissionMode: "gated",
	}
	got, whole := reflect.ValueOf(*task), reflect.ValueOf(want)
	for field := range whole.Type().Fields() {
		if w := whole.FieldByName(field.Name); field.IsExported() && !w.IsZero() && !reflect.DeepEqual(got.FieldByName(field.Name).Interface(), w.Interface()) {
			t.Errorf("%s is %v, want %v", field.Name, got.FieldByName(field.Name), w)
		}
	}
	if bytes.Contains(task.JSON(), []byte("secret-")) || task.EventsStreaming {
		t.Errorf("answered: %s", task.JSON())
	}
	again, err := c.Tasks.Create(t.Context(), request)
	if err != nil || again.ID != task.ID || again.LastEventSeq != task.LastEventSeq {
		t.Errorf("the same key: %v, %v", again, err)
	}
}

// TestCreateMany: what the server refuses hinders no other, or, where all is asked
// for, is the answer.
func TestCreateMany(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	requests := []errand.TaskRequest{
		{AgentID: agentID, Prompt: "a", ID: "mine", Tags: []string{"x"}},
		{AgentID: "nobody", Prompt: "b"},
		{AgentID: agentID, Prompt: "c", IdempotencyKey: "k"},
		{AgentID: agentID, Prompt: "c", IdempotencyKey: "k"},
	}
	made, err := c.Tasks.CreateAll(t.Context(), requests)
	if e := new(errand.Error); !errors.As(err, &e) || e.Code != errand.CodeNotFound || e.Field != "tasks[1]" {
		t.Errorf("all: %v, %v", made, err)
	}
	if made, err = c.Tasks.CreateBatch(t.Context(), requests); err != nil {
		t.Fatal(err)
	}
	if made[0].ID != "mine" || made[0].Err != nil || made[0].Repeated {
		t.Errorf("a good one: %v", made[0])
	}
	if !errors.Is(made[1].Err, errand.ErrNotFound) || made[1].ID != "" {
		t.Errorf("a refused one: %v", made[1])
	}
	if made[2].ID != made[3].ID || made[2].Repeated || !made[3].Repeated {
		t.Errorf("a key twice: %v, %v", made[2], made[3])
	}
	task, err := c.Tasks.Get(t.Context(), "mine")
	if err != nil || task.Input.Text != "a" || !slices.Equal(task.Tags, []string{"x"}) {
		t.Errorf("got %v, %v", task, err)
	}
	if made, err = c.Tasks.CreateAll(t.Context(), requests[2:]); err != nil || !made[0].Repeated {
		t.Errorf("all once more: %v, %v", made, err)
	}
	raw := []json.RawMessage{
		[]byte(`{"agent_id": "` + agentID + `", "input": {"text": "d"}, "idempotency_key": "k2"}`),
		[]byte(` { } `),
	}
	if made, err = c.Tasks.CreateRaw(t.Context(), raw, false); !errors.Is(err, errand.ErrInvalid) {
		t.Errorf("one of a wrong shape: %v, %v", made, err)
	}
	raw[1] = raw[0]
	if made, err = c.Tasks.CreateRaw(t.Context(), raw, false); err != nil || made[0].ID == "" || made[0].Repeated || !made[1].Repeated {
		t.Errorf("raw: %v, %v", made, err)
	}
	if made, err = c.Tasks.CreateRaw(t.Context(), []json.RawMessage{[]byte(`1`)}, false); err == nil {
		t.Errorf("no object: %v", made)
	}
}

// Save sends what was changed, and only that; Reload, SetStatus and Stop bring
// the value up to date.
func TestTaskMethods(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	ctx := t.Context()
	task := create(t, c, errand.TaskRequest{Prompt: "x", RunLocally: true})
	if _, err := c.Tasks.Update(ctx, task.ID, errand.TaskUpdate{Priority: new(5)}); err != nil {
		t.Fatal(err)
	}
	task.Title, task.InternalStatus = "Sales", "thinking"
	task.Tokens, task.UsedTools, task.Duration = &errand.Tokens{Prompt: 3, Completion: 4}, []string{"sql"}, 1500*time.Millisecond
	task.PayloadExtension = json.RawMessage(`{"a":1}`)
	task.ModelProvider, task.ModelName, task.ReasoningEffort, task.ToolCallLimit = "openai", "gpt", "low", 3
	task.HarnessCLI, task.PermissionMode = "claude-code", "full"
	if err := task.Save(ctx); err != nil {
		t.Fatal(err)
	}
	check := func(task *errand.Task) {
		t.Helper()
		if task.Title != "Sales" || task.InternalStatus != "thinking" || task.Priority != 5 || *task.Tokens != (errand.Tokens{Prompt: 3, Completion: 4}) ||
			!slices.Equal(task.UsedTools, []string{"sql"}) || task.Duration != 1500*time.Millisecond || string(task.PayloadExtension) != `{"a":1}` || task.ModelProvider != "openai" || task.ModelName != "gpt" || task.ReasoningEffort != "low" ||
			task.ToolCallLimit != 3 || task.HarnessCLI != "claude-code" || task.PermissionMode != "full" {
			t.Errorf("saved: %s", task.JSON())
		}
	}
	check(task)
	before := task.LastEventSeq
	if err := errors.Join(task.Save(ctx), task.Reload(ctx)); err != nil || task.LastEventSeq != before {
		t.Errorf("saved without a change: %d events, %v", task.LastEventSeq-before, err)
	}
	check(task)
	if task.Waiting == nil || task.Waiting.Reason != "run_locally" {
		t.Errorf("waiting: %+v", task.Waiting)
	}
	if err := errors.Join(task.SetStatus(ctx, errand.Executing, ""), task.SetStatus(ctx, errand.Completed, "42")); err != nil {
		t.Fatal(err)
	}
	if task.Status != errand.Completed || task.Result != "42" || !task.Ended() {
		t.Errorf("ended: %s", task.JSON())
	}
	if err := task.Stop(ctx); err != nil || task.Status != errand.Completed {
		t.Errorf("a stop of an ended task: %s, %v", task.Status, err)
	}
	task.Status, task.Result = errand.Failed, "not 42"
	if err := task.Save(ctx); !errors.Is(err, errand.ErrConflict) {
		t.Errorf("an end was changed: %v", err)
	}
	corrected, err := c.Tasks.Update(ctx, task.ID, errand.TaskUpdate{Status: errand.Failed, Result: new("not 42"), Override: true})
	if err != nil || corrected.Status != errand.Failed || corrected.Result != "not 42" {
		t.Errorf("corrected: %+v, %v", corrected, err)
	}
	measured, err := c.Tasks.ReportMetrics(ctx, task.ID, errand.Metrics{Tokens: &errand.Tokens{Prompt: 9}, Duration: time.Minute})
	if err != nil || measured.Tokens.Prompt != 9 || measured.Duration != time.Minute {
		t.Errorf("measured: %+v, %v", measured, err)
	}
	var loose errand.Task
	if err := loose.Reload(ctx); err == nil {
		t.Error("a task without a client was reloaded")
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	ctx := t.Context()
	parent := create(t, c, errand.TaskRequest{Prompt: "parent"})
	var want []string
	for i := range 5 {
		task := create(t, c, errand.TaskRequest{Prompt: "x", Title: strconv.Itoa(i), ParentTaskID: parent.ID, User: &errand.User{ID: "u", Email: "u@example.com"}})
		want = append([]string{task.ID}, want...)
	}
	if _, err := c.Tasks.Stop(ctx, want[0]); err != nil {
		t.Fatal(err)
	}
	all := func(o errand.ListOptions) (ids []string) {
		for item, err := range c.Tasks.All(ctx, o) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, item.ID)
		}
		return ids
	}
	if got := all(errand.ListOptions{UserID: "u", PerPage: 2}); !slices.Equal(got, want) {
		t.Errorf("of the user %v, want %v", got, want)
	}
	if got := all(errand.ListOptions{Status: errand.Stopped}); !slices.Equal(got, want[:1]) {
		t.Errorf("stopped: %v", got)
	}
	if got := all(errand.ListOptions{AgentID: agentID, To: parent.CreatedAt}); got != nil {
		t.Errorf("before all: %v", got)
	}
	for item, err := range c.Tasks.All(ctx, errand.ListOptions{PerPage: 1}) {
		if err != nil || item.ID != want[0] {
			t.Errorf("first: %v, %v", item, err)
		}
		break
	}
	page, err := c.Tasks.ListByUser(ctx, "u", errand.ListOptions{PerPage: 3})
	if err != nil || page.Total != 5 || len(page.Items) != 3 || page.NextCursor == "" || page.Items[0].Title != "4" || page.Items[0].UserID != "u" {
		t.Errorf("page: %+v, %v", page, err)
	}
	children, err := c.Tasks.Children(ctx, parent.ID, errand.ListOptions{})
	if err != nil || children.Total != 5 || children.Items[0].ParentTaskID != parent.ID {
		t.Errorf("children: %+v, %v", children, err)
	}
	bad := 0
	for _, err := range c.Tasks.All(ctx, errand.ListOptions{Cursor: "nonsense"}) {
		if bad++; !errors.Is(err, errand.ErrMalformed) {
			t.Errorf("a bad cursor: %v", err)
		}
	}
	if bad != 1 {
		t.Errorf("%d errors", bad)
	}
}

// Threads, activity, pushed events, turns and their streams.
func TestTurns(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	turn := func(prompt, result string) *errand.Task {
		task := create(t, c, errand.TaskRequest{ID: "thread", Prompt: prompt, RunLocally: true})
		if err := task.SetStatus(t.Context(), errand.Executing, ""); err != nil {
			t.Fatal(err)
		}
		ids, err := c.Tasks.PushEvents(t.Context(), task.ID,
			errand.NewEvent{Type: errand.Chunk, Data: "…", ClientID: "1"}, errand.NewEvent{Type: errand.Chunk, Data: "…", ClientID: "1"},
			errand.NewEvent{Type: errand.ToolCallRequest, Data: errand.ToolCall{RequestID: "r", OperationID: "o", ToolName: "sql"}},
			errand.NewEvent{Type: errand.ToolCallResult, Data: errand.ToolCall{RequestID: "r", OperationID: "o", ToolName: "sql", Result: "3"}})
		if err != nil || len(ids) != 4 || ids[0] != ids[1] || ids[2] != ids[0]+1 {
			t.Fatalf("pushed as %v, %v", ids, err)
		}
		if err := task.SetStatus(t.Context(), errand.Completed, result); err != nil {
			t.Fatal(err)
		}
		return task
	}
	ctx := t.Context()
	turn("one?", "1")
	task := turn("two?", "2")
	if task.Turn != 2 {
		t.Errorf("turn %d", task.Turn)
	}
	seen := func(options ...errand.StreamOption) (turns []int, last int64) {
		for e, err := range task.Events(ctx, options...) {
			if err != nil {
				t.Fatal(err)
			}
			if len(turns) == 0 || turns[len(turns)-1] != e.Turn {
				turns = append(turns, e.Turn)
			}
			if e.ID != last+1 && last != 0 {
				t.Errorf("event %d follows %d", e.ID, last)
			}
			last = e.ID
		}
		return turns, last
	}
	if turns, last := seen(); !slices.Equal(turns, []int{2}) || last != task.LastEventSeq {
		t.Errorf("the present turn: %v to %d", turns, last)
	}
	if turns, last := seen(errand.AllTurns()); !slices.Equal(turns, []int{1, 2}) || last != task.LastEventSeq {
		t.Errorf("all turns: %v to %d", turns, last)
	}
	if turns, last := seen(errand.After(task.LastEventSeq - 1)); !slices.Equal(turns, []int{2}) || last != task.LastEventSeq {
		t.Errorf("the last event: %v to %d", turns, last)
	}
	if turns, _ := seen(errand.After(task.LastEventSeq)); turns != nil {
		t.Errorf("behind the last event: %v", turns)
	}
	thread, err := collect(c.Tasks.Thread(ctx, task.ID))
	if err != nil || len(thread) != 4 || thread[3].ID != "thread_agent_2" || thread[3].Content != "2" || thread[2].Role != "user" || thread[2].CreatedAt.IsZero() {
		t.Errorf("thread: %+v, %v", thread, err)
	}
	full, err := collect(c.Tasks.FullThread(ctx, task.ID))
	if err != nil || !slices.ContainsFunc(full, func(m errand.Message) bool { return m.Role == "tool" && m.ToolName == "sql" && m.TaskID == task.ID }) {
		t.Errorf("full thread: %+v, %v", full, err)
	}
	activity, err := collect(c.Tasks.Activity(ctx, task.ID))
	if err != nil || !slices.ContainsFunc(activity, func(e errand.ActivityEntry) bool { return e.ToolName == "sql" }) {
		t.Errorf("activity: %+v, %v", activity, err)
	}
	if err := c.Tasks.Delete(ctx, task.ID); err != nil {
		t.Fatal(err)
	}
	if err := task.Reload(ctx); !errors.Is(err, errand.ErrNotFound) || errand.CodeOf(err) != errand.CodeNotFound {
		t.Errorf("after the delete: %v", err)
	}
}

// collect gathers what an iterator yields.
func collect[T any](items iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for item, err := range items {
		if err != nil {
			return all, err
		}
		all = append(all, item)
	}
	return all, nil
}

func TestReportExternal(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	ctx := t.Context()
	task, err := c.Tasks.ReportExternal(ctx, agentID, errand.ExternalTask{
		ID: "ext-1", Input: "asked", Result: "answered", Tokens: &errand.Tokens{Prompt: 1}, UsedTools: []string{"t"}, Duration: time.Second,
	})
	if err != nil || task.Status != errand.Completed || task.Input.Text != "asked" || task.Result != "answered" || task.Tokens.Prompt != 1 || task.Duration != time.Second {
		t.Fatalf("reported: %+v, %v", task, err)
	}
	task, err = c.Tasks.ReportExternal(ctx, agentID, errand.ExternalTask{ID: "ext-1", Failed: true, Result: "no"})
	if err != nil || task.Status != errand.Failed || task.Result != "no" || task.Tokens.Prompt != 1 {
		t.Errorf("reported again: %+v, %v", task, err)
	}
}

func TestAgentsAndKeys(t *testing.T) {
	t.Parallel()
	a, c := withAgent(t, 30)
	ctx := t.Context()
	want := errand.Agent{
		Name: "Second", Runtime: "worker", Description: "d", Instructions: &errand.Instructions{Role: []string{"r"}, General: "g"},
		Framework: "agno", ModelProvider: "openai", ModelName: "m", LLMAPIBase: "https://llm.example.com", OutputFormat: "markdown",
		LLMCredentials: &errand.Credentials{Name: "n", Value: "secret"}, LeaseSeconds: 7, MaxAttempts: 2, RetryStarted: true, RetryErrors: true, DeepPlanning: true,
	}
	second, err := c.Agents.Apply(ctx, agentID, want)
	if err != nil || second.Version != 2 || second.ID != agentID || second.LLMCredentials != nil {
		t.Fatalf("applied: %+v, %v", second, err)
	}
	got, err := c.Agents.Get(ctx, agentID)
	if err != nil || got.CreatedAt.IsZero() {
		t.Fatal(got, err)
	}
	got.ID, got.OrganizationID, got.Version, got.CreatedAt, got.UpdatedAt, got.LLMCredentials = "", "", 0, time.Time{}, time.Time{}, want.LLMCredentials
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	versions, err := c.Agents.Versions(ctx, agentID)
	if err != nil || len(versions) != 2 || versions[0].Version != 2 {
		t.Errorf("versions: %+v, %v", versions, err)
	}
	if first, err := c.Agents.GetVersion(ctx, agentID, 1); err != nil || first.Name != "Analyst" {
		t.Errorf("version 1: %+v, %v", first, err)
	}
	_, err = c.Agents.Apply(ctx, "reviewer", errand.Agent{Name: "Reviewer", Runtime: "command", Command: "review"})
	if e, ok := errors.AsType[*errand.Error](err); !ok || e.Field != "command" || !strings.Contains(e.Message, "no commands") {
		t.Errorf("an agent that is a program which the server does not know: %v", err)
	}
	made, err := c.Agents.Create(ctx, errand.Agent{Name: "Made"})
	if err != nil || made.ID == "" {
		t.Fatal(made, err)
	}
	if err := c.Agents.Delete(ctx, made.ID); err != nil {
		t.Error(err)
	}
	list, err := c.Agents.List(ctx)
	if err != nil || slices.ContainsFunc(list, func(x errand.Agent) bool { return x.ID == made.ID }) || len(list) < 2 {
		t.Errorf("agents: %+v, %v", list, err)
	}

	key, err := c.Keys.Create(ctx, errand.KeyRequest{Name: "worker", Role: errand.RoleWorker, Agents: []string{agentID}})
	if err != nil || key.Secret == "" || !slices.Equal(key.Agents, []string{agentID}) || key.Sees != errand.SeesAll {
		t.Fatal(key, err)
	}
	limited := clientOf(t, a, errand.WithKey(key.Secret))
	if _, err := limited.Keys.List(ctx); !errors.Is(err, errand.ErrForbidden) {
		t.Errorf("a worker lists keys: %v", err)
	}
	if err := c.Keys.Revoke(ctx, key.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := limited.Agents.Get(ctx, agentID); !errors.Is(err, errand.ErrUnauthenticated) {
		t.Errorf("a revoked key: %v", err)
	}
	keys, err := c.Keys.List(ctx)
	i := slices.IndexFunc(keys, func(k errand.Key) bool { return k.ID == key.ID })
	if err != nil || i < 0 || keys[i].RevokedAt.IsZero() || keys[i].Secret != "" {
		t.Errorf("keys: %+v, %v", keys, err)
	}
}

// A program acts for its users with one key, and each sees what is theirs.
func TestForUser(t *testing.T) {
	t.Parallel()
	a := serve(t)
	admin := clientOf(t, a)
	ctx := t.Context()
	key, err := admin.Keys.Create(ctx, errand.KeyRequest{
		Name: "desk", Role: errand.RoleUser, Sees: errand.SeesOwn, Group: "red", Trusted: true,
	})
	if err != nil || key.Sees != errand.SeesOwn || key.Group != "red" || !key.Trusted {
		t.Fatal(key, err)
	}
	keys, err := admin.Keys.List(ctx)
	i := slices.IndexFunc(keys, func(k errand.Key) bool { return k.ID == key.ID })
	if err != nil || i < 0 || keys[i].Sees != errand.SeesOwn || keys[i].Group != "red" || !keys[i].Trusted {
		t.Errorf("keys: %+v, %v", keys, err)
	}
	desk := clientOf(t, a, errand.WithKey(key.Secret))
	if _, err := admin.Agents.Apply(ctx, agentID, errand.Agent{Name: "A"}); err != nil {
		t.Fatal(err)
	}
	alice, bob := desk.ForUser("alice"), desk.ForUser("bob")
	task, err := alice.Tasks.Create(ctx, errand.TaskRequest{AgentID: agentID, Prompt: "x"})
	if err != nil || task.Owner != "user:alice" || task.Group != "red" {
		t.Fatal(task, err)
	}
	for name, c := range map[string]*errand.Client{"bob": bob, "the desk": desk, "alice no more": alice.ForUser("")} {
		if _, err := c.Tasks.Get(ctx, task.ID); !errors.Is(err, errand.ErrNotFound) {
			t.Errorf("%s reads alice's task: %v", name, err)
		}
	}
	if err := task.Reload(ctx); err != nil {
		t.Error(err)
	}
	for event, err := range alice.Tasks.Events(ctx, task.ID) {
		if err != nil || event.Type != errand.TaskCreated || event.Author != (errand.Author{By: "key desk"}) || event.Author.String() != "key desk" {
			t.Errorf("%+v, %v", event, err)
		}
		break
	}
	if _, err := admin.ForUser("alice").Tasks.Get(ctx, task.ID); !errors.Is(err, errand.ErrForbidden) {
		t.Errorf("a key that is not trusted names a user: %v", err)
	}
}

func TestInvoke(t *testing.T) {
	t.Parallel()
	a := serve(t)
	c := clientOf(t, a)
	ctx := t.Context()
	file, err := c.Files.Upload(ctx, "sales.csv", strings.NewReader("region,amount\nNorth,10.50\n"))
	if err != nil || file.Size != 26 {
		t.Fatal(file, err)
	}
	request := errand.TaskRequest{Prompt: "Analyze", FileURLs: []string{file.URL}}
	task, err := c.Agents.Invoke(ctx, "profile", request)
	if err != nil || task.Status != errand.Completed || !strings.Contains(task.Result, "10.5") {
		t.Errorf("invoked: %+v, %v", task, err)
	}
	var requests atomic.Int32
	counted := clientOf(t, a, wires(func(_ *http.Request, do func() (*http.Response, error)) (*http.Response, error) {
		requests.Add(1)
		return do()
	}).option())
	if again, err := counted.Agents.Invoke(ctx, "profile", request); err != nil || again.Result != task.Result || requests.Load() != 1 {
		t.Errorf("invoked by %d requests: %+v, %v", requests.Load(), again, err)
	}
	// The message of a task reads uploaded files from the server itself.
	if message, err := task.Message(ctx); err != nil || !strings.Contains(message, `"content": "region,amount\nNorth,10.50\n"`) {
		t.Errorf("message: %q, %v", message, err)
	}
	async, err := c.Agents.InvokeAsync(ctx, "profile", request)
	if err != nil || async.AgentID != "profile" {
		t.Errorf("invoked: %+v, %v", async, err)
	}
	var last errand.Event
	for e, err := range c.Agents.InvokeStream(ctx, "profile", request) {
		if err != nil {
			t.Fatal(err)
		}
		last = e
	}
	if last.Type != errand.TaskFinished {
		t.Errorf("the stream ended with %s", last.Type)
	}
	for _, err := range c.Agents.InvokeStream(ctx, "nobody", request) {
		if !errors.Is(err, errand.ErrNotFound) {
			t.Errorf("an unknown agent: %v", err)
		}
	}
}

// Files are listed, read and deleted, but not while a task uses them.
func TestFiles(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	ctx := t.Context()
	var uploaded []errand.File
	for i := range 3 {
		file, err := c.Files.Upload(ctx, strconv.Itoa(i)+".csv", strings.NewReader("content "+strconv.Itoa(i)))
		if err != nil || time.Since(file.CreatedAt) > time.Minute || file.Tasks != 0 {
			t.Fatal(file, err)
		}
		uploaded = append(uploaded, *file)
	}
	slices.Reverse(uploaded)
	page, err := c.Files.List(ctx, errand.FileListOptions{PerPage: 2})
	if err != nil || !slices.Equal(page.Items, uploaded[:2]) || page.NextCursor == "" {
		t.Errorf("a page: %+v, %v", page, err)
	}
	var all []errand.File
	for file, err := range c.Files.All(ctx, errand.FileListOptions{PerPage: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file)
	}
	if !slices.Equal(all, uploaded) {
		t.Errorf("all: %+v", all)
	}
	file := uploaded[0]
	task := create(t, c, errand.TaskRequest{Prompt: "x", FileURLs: []string{file.URL}})
	if got, err := c.Files.Get(ctx, file.ID); err != nil || got.Tasks != 1 || got.Name != "2.csv" {
		t.Errorf("in use: %+v, %v", got, err)
	}
	if err := c.Files.Delete(ctx, file.ID); !errors.Is(err, errand.ErrConflict) {
		t.Errorf("deleted in use: %v", err)
	}
	if err := errors.Join(c.Tasks.Delete(ctx, task.ID), c.Files.Delete(ctx, file.ID)); err != nil {
		t.Error(err)
	}
	if _, err := c.Files.Get(ctx, file.ID); !errors.Is(err, errand.ErrNotFound) {
		t.Errorf("after its deletion: %v", err)
	}
	for _, err := range c.Files.All(ctx, errand.FileListOptions{Cursor: "x"}) {
		if !errors.Is(err, errand.ErrMalformed) {
			t.Errorf("a wrong cursor: %v", err)
		}
	}
}

// Files of a task by kind: PDFs and pictures with their bytes, texts.
func TestTaskFiles(t *testing.T) {
	t.Parallel()
	var dot bytes.Buffer
	if err := png.Encode(&dot, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
		t.Fatal(err)
	}
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/report.pdf":
			_, _ = w.Write([]byte("%PDF-1.7"))
		case "/data.csv":
			_, _ = w.Write([]byte("a,b\n"))
		case "/chart.png":
			_, _ = w.Write(dot.Bytes())
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(files.Close)
	a, _ := withAgent(t, 30)
	c := clientOf(t, a, errand.WithPrivateFiles("127.0.0.1"))
	urls := make([]string, 0, 5)
	for _, name := range []string{"report.pdf", "chart.png", "data.csv", "gone.pdf", "gone.png"} {
		urls = append(urls, files.URL+"/"+name)
	}
	task := create(t, c, errand.TaskRequest{Prompt: "x", FileURLs: urls})
	ctx := t.Context()
	documents, err := task.Files(ctx)
	if err == nil || !strings.Contains(err.Error(), "gone.pdf") || strings.Contains(err.Error(), files.URL) || len(documents) != 1 || documents[0].Name != "report.pdf" || string(documents[0].Content) != "%PDF-1.7" {
		t.Errorf("PDFs: %+v, %v", documents, err)
	}
	images := task.Images()
	if len(images) != 2 || images[0].URL != urls[1] {
		t.Fatalf("images: %+v", images)
	}
	if content, kind, err := images[0].Fetch(ctx); err != nil || kind != "image/png" || !bytes.Equal(content, dot.Bytes()) {
		t.Errorf("image: %s, %v", kind, err)
	}
	if _, _, err := images[1].Fetch(ctx); err == nil {
		t.Error("an image that is gone was read")
	}
	texts, err := task.HumanReadableFiles(ctx)
	if err != nil || !slices.Equal(texts, []errand.TextFile{{URL: urls[2], Content: "a,b\n"}}) {
		t.Errorf("texts: %+v, %v", texts, err)
	}
}

// Workers are listed, and changes are told from a cursor on.
func TestWorkersAndChanges(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	ctx := t.Context()
	first := create(t, c, errand.TaskRequest{Prompt: "x", Tags: []string{"red"}})
	create(t, c, errand.TaskRequest{Prompt: "y"})
	second := create(t, c, errand.TaskRequest{Prompt: "z", Tags: []string{"red"}})
	var told []string
	after := "0"
	for range 2 { // the second time it goes on
		for change, err := range c.Events(ctx, errand.EventsOptions{Filter: errand.ListOptions{Tag: "red"}, After: after}) {
			if err != nil {
				t.Fatal(err)
			}
			after, told = change.Cursor, append(told, change.TaskID)
			break
		}
	}
	if !slices.Equal(told, []string{first.ID, second.ID}) {
		t.Errorf("told of %v", told)
	}
	for _, err := range c.Events(ctx, errand.EventsOptions{After: "nonsense"}) {
		if errand.CodeOf(err) != errand.CodeMalformed {
			t.Errorf("a cursor that is none: %v", err)
		}
	}
	if err := c.Tasks.Delete(ctx, first.ID); err != nil {
		t.Fatal(err)
	}
	for change, err := range c.Events(ctx, errand.EventsOptions{After: after}) {
		if err != nil || !change.Deleted() || change.TaskID != first.ID {
			t.Errorf("the deletion: %+v, %v", change, err)
		}
		break
	}
	stop := start(t, c, errand.WorkerOptions{ID: "w-1", Slots: 3}, func(context.Context, *errand.Attempt) (string, error) { return "done", nil })
	ended(t, second)
	workers, err := c.Workers(ctx, agentID)
	if err != nil || len(workers) != 1 || workers[0].ID != "w-1" || !workers[0].Connected || workers[0].Slots != 3 {
		t.Errorf("workers: %+v, %v", workers, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	counts, err := c.Tasks.Counts(ctx, errand.ListOptions{AgentID: agentID, PerPage: 1})
	if err != nil || counts.ByStatus[errand.Completed] != 2 || len(counts.Capped) != 0 || !counts.NextDeadline.IsZero() {
		t.Errorf("counts: %+v, %v", counts, err)
	}
	info, err := c.Server(ctx)
	if err != nil || info.Store == "" || len(info.Nodes) != 1 || info.Nodes[0].ID != info.Node {
		t.Errorf("the server: %+v, %v", info, err)
	}
}

func TestStopAll(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	ctx := t.Context()
	var ids []string
	for i := range 3 {
		ids = append(ids, create(t, c, errand.TaskRequest{Prompt: "x", User: &errand.User{ID: strconv.Itoa(i % 2), Email: "u@example.com"}}).ID)
	}
	if _, err := c.Tasks.StopAll(ctx, errand.StopFilter{}); !errors.Is(err, errand.ErrInvalid) {
		t.Errorf("without a filter: %v", err)
	}
	dry, err := c.Tasks.StopAll(ctx, errand.StopFilter{UserID: "0", DryRun: true})
	if err != nil || dry.Matched != 2 || dry.Stopped != 0 || !dry.DryRun {
		t.Errorf("a dry run: %+v, %v", dry, err)
	}
	done, err := c.Tasks.StopAll(ctx, errand.StopFilter{UserID: "0", From: time.Now().Add(-time.Hour), Status: errand.Pending})
	if err != nil || done.Stopped != 2 || len(done.IDs) != 2 {
		t.Errorf("one user's: %+v, %v", done, err)
	}
	if left, err := c.Tasks.List(ctx, errand.ListOptions{Statuses: []errand.Status{errand.Pending, errand.Executing}, Roots: true, WaitingFor: "no_worker"}); err != nil || len(left.Items) != 1 || left.Items[0].ID != ids[1] {
		t.Errorf("what is left: %+v, %v", left, err)
	}
	if counted, err := c.Tasks.StopAll(ctx, errand.StopFilter{IDs: ids, DryRun: true}); err != nil || counted.Matched != 1 || len(counted.Sample) != 1 || counted.Sample[0].Waiting == nil || counted.Before.IsZero() {
		t.Errorf("by ids: %+v, %v", counted, err)
	}
	all, err := c.Tasks.StopAll(ctx, errand.StopFilter{All: true})
	if err != nil || all.Stopped != 1 || !slices.Equal(all.IDs, ids[1:2]) {
		t.Errorf("all: %+v, %v", all, err)
	}
}

// An id that is none, such as a variable that was never set, is refused and
// not taken for the path of something else.
func TestNoID(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	for _, id := range []string{"", ".", ".."} {
		_, got := c.Tasks.Get(t.Context(), id)
		_, stopped := c.Tasks.Stop(t.Context(), id)
		_, ofAgent := c.Agents.Get(t.Context(), id)
		_, file := c.Files.Get(t.Context(), id)
		for _, err := range []error{got, stopped, ofAgent, file, c.Files.Delete(t.Context(), id), c.Tasks.Delete(t.Context(), id)} {
			if !errors.Is(err, errand.ErrInvalid) {
				t.Errorf("id %q: %v", id, err)
			}
		}
		for _, err := range c.Tasks.Events(t.Context(), id) {
			if !errors.Is(err, errand.ErrInvalid) {
				t.Errorf("events of id %q: %v", id, err)
			}
		}
	}
}

// Whoever no longer waits for an invocation has their answer at once, and the task
// goes on.
func TestInvokeIsLeftAtOnce(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	begun, leave := make(chan struct{}), make(chan struct{})
	start(t, c, errand.WorkerOptions{}, func(context.Context, *errand.Attempt) (string, error) {
		close(begun)
		<-leave
		return "done", nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if task, err := c.Agents.Invoke(ctx, agentID, errand.TaskRequest{ID: "one"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", task, err)
	}
	close(leave)
	if task, err := c.Tasks.Wait(t.Context(), "one"); err != nil || task.Status != errand.Completed {
		t.Errorf("%+v, %v", task, err)
	}
}

// All that becomes of a webhook.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	_, c := withAgent(t, 30)
	ctx := t.Context()
	hook, err := c.Webhooks.Create(ctx, errand.WebhookRequest{URL: "https://example.invalid/", Types: []string{"task.stopped"}, Agents: []string{agentID}})
	if err != nil || !strings.HasPrefix(hook.Secret, "whsec_") || !hook.Enabled || hook.CreatedBy == "" || hook.CreatedAt.IsZero() {
		t.Fatal(hook, err)
	}
	if _, err := c.Webhooks.Create(ctx, errand.WebhookRequest{URL: "http://127.0.0.1:1/"}); !errors.Is(err, errand.ErrInvalid) {
		t.Errorf("a private address: %v", err)
	}
	off, all := false, []string{}
	changed, err := c.Webhooks.Update(ctx, hook.ID, errand.WebhookChange{Types: &all, Enabled: &off})
	if err != nil || changed.Enabled || len(changed.Types) != 0 || !slices.Equal(changed.Agents, hook.Agents) || changed.URL != hook.URL {
		t.Errorf("changed: %+v, %v", changed, err)
	}
	list, err := c.Webhooks.List(ctx)
	if err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], *changed) {
		t.Errorf("listed: %+v, %v", list, err)
	}
	if err := c.Webhooks.Delete(ctx, hook.ID); err != nil {
		t.Error(err)
	}
	if _, err := c.Webhooks.Test(ctx, hook.ID); !errors.Is(err, errand.ErrNotFound) {
		t.Errorf("a test of one that is deleted: %v", err)
	}
}
