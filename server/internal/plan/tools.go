package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
)

// The ids of the tools: the Python client knows them by name.
const (
	Create   = "xpcreate_agent_plan"
	Get      = "xpget_agent_plan"
	Complete = "xpcomplete_agent_plan_items"
	Add      = "xpadd_new_agent_plan_item"
	Update   = "xpupdate_agent_plan_item"
	Delete   = "xpdelete_agent_plan_item"
	Start    = "xpstart_execution_plan"
	Ask      = "xpask_for_information"
)

// Tool is a tool of an agent that plans. Its answer is the plan.
type Tool struct {
	ID          string
	Description string
	// Arguments is the JSON Schema of its arguments.
	Arguments json.RawMessage
	// Reads marks the one tool that changes nothing.
	Reads bool

	// edit changes a plan whose items are the call's own.
	edit func(p *Plan, args json.RawMessage, newID func() string) error
}

// Tools lists every tool.
func Tools() []Tool {
	return []Tool{
		{
			ID:          Create,
			Description: "Makes the plan: all steps of the work, in order, each with a title of a few words. auto_start also starts it. Answers the plan with the id of each item.",
			Arguments: json.RawMessage(`{"type": "object", "required": ["tasks"], "properties": {
				"tasks": {"type": "array", "description": "The steps, in order.", "items": {"type": "object", "required": ["title"], "properties": {"title": {"type": "string", "description": "What is to be done, in 3 to 6 words."}}}},
				"auto_start": {"type": "boolean", "description": "Start the plan at once."}}}`),
			edit: edit(create),
		},
		{
			ID:          Get,
			Description: "Answers the plan: its items with their ids and what is completed.",
			Arguments:   json.RawMessage(`{"type": "object", "properties": {}}`),
			Reads:       true,
			edit:        edit(get),
		},
		{
			ID:          Complete,
			Description: "Marks items as completed, several in one call. plan_complete in the answer says whether all are.",
			Arguments: json.RawMessage(`{"type": "object", "required": ["ids"], "properties": {
				"ids": {"type": "array", "description": "Ids of the items, whole and exact.", "items": {"type": "string"}}}}`),
			edit: edit(complete),
		},
		{
			ID:          Add,
			Description: "Adds an item at the end of the plan.",
			Arguments: json.RawMessage(`{"type": "object", "required": ["title"], "properties": {
				"title": {"type": "string", "description": "What is to be done, in 3 to 6 words."},
				"completed": {"type": "boolean", "description": "Whether it is done already."}}}`),
			edit: edit(add),
		},
		{
			ID:          Update,
			Description: "Changes an item's title, or whether it is completed.",
			Arguments: json.RawMessage(`{"type": "object", "required": ["id"], "properties": {
				"id": {"type": "string", "description": "The item's id, whole and exact."},
				"title": {"type": "string", "description": "Its new title."},
				"completed": {"type": "boolean", "description": "Whether it is done."}}}`),
			edit: edit(update),
		},
		{
			ID:          Delete,
			Description: "Takes an item out of the plan.",
			Arguments: json.RawMessage(`{"type": "object", "required": ["id"], "properties": {
				"id": {"type": "string", "description": "The item's id, whole and exact."}}}`),
			edit: edit(remove),
		},
		{
			ID:          Start,
			Description: "Starts the plan: from now on the work is not over before every item is completed.",
			Arguments:   json.RawMessage(`{"type": "object", "properties": {}}`),
			edit:        edit(begin),
		},
		{
			ID:          Ask,
			Description: "Notes that the work cannot go on without an answer of the user. End the run afterwards, with the question as your final answer.",
			Arguments: json.RawMessage(`{"type": "object", "required": ["question"], "properties": {
				"question": {"type": "string", "description": "The question for the user."}}}`),
			edit: edit(ask),
		},
	}
}

// Find finds a tool by its id.
func Find(id string) (Tool, bool) {
	tools := Tools()
	at := slices.IndexFunc(tools, func(t Tool) bool { return t.ID == id })
	if at < 0 {
		return Tool{}, false
	}
	return tools[at], true
}

// Call carries out a call and returns the plan as it is afterwards; the given
// plan is left as it is. newID makes the ids of new items. Errors are words for
// a model: they say what to do instead.
func (t Tool) Call(p Plan, args json.RawMessage, newID func() string) (Plan, error) {
	if !p.Enabled {
		return Plan{}, fault.New(fault.Conflict, "deep planning is not enabled for this task: work without a plan")
	}
	p.Items = slices.Clone(p.Items)
	if !t.Reads {
		p.QuestionRaised = false // whoever changes the plan goes on
	}
	if err := t.edit(&p, args, newID); err != nil {
		return Plan{}, err
	}
	return p, room(len(p.Items))
}

// edit makes a tool's edit of a function with arguments of a type.
func edit[A any](change func(*Plan, A, func() string) error) func(*Plan, json.RawMessage, func() string) error {
	return func(p *Plan, raw json.RawMessage, newID func() string) error {
		var args A
		if len(raw) > 0 {
			err := json.Unmarshal(raw, &args)
			var wrong *json.UnmarshalTypeError
			if errors.As(err, &wrong) && wrong.Field != "" {
				return fault.Field(wrong.Field, "has the wrong type: it is %s", wrong.Value)
			}
			if err != nil {
				return fault.New(fault.Invalid, "the arguments must be a JSON object")
			}
		}
		return change(p, args, newID)
	}
}

func create(p *Plan, args struct {
	Items []struct {
		Title string `json:"title"`
	} `json:"tasks"`
	AutoStart bool `json:"auto_start"`
}, newID func() string,
) error {
	if p.Unfinished() {
		return fault.New(fault.Conflict, "there is a plan and it has started: change it with %s, %s and %s", Add, Update, Delete)
	}
	if len(args.Items) == 0 {
		return fault.Field("tasks", "must hold at least one item with a title")
	}
	if err := room(len(args.Items)); err != nil {
		return err
	}
	p.Items, p.Started = make([]Item, 0, len(args.Items)), args.AutoStart
	for i, given := range args.Items {
		t, err := title(fmt.Sprintf("tasks[%d].title", i), given.Title)
		if err != nil {
			return err
		}
		p.Items = append(p.Items, Item{ID: newID(), Title: t})
	}
	return nil
}

func get(*Plan, struct{}, func() string) error { return nil }

func complete(p *Plan, args struct {
	IDs []string `json:"ids"`
}, _ func() string,
) error {
	if len(args.IDs) == 0 {
		return fault.Field("ids", "must name at least one item")
	}
	for i, id := range args.IDs {
		at, err := p.find(fmt.Sprintf("ids[%d]", i), id)
		if err != nil {
			return err
		}
		p.Items[at].Completed = true
	}
	return nil
}

func add(p *Plan, args struct {
	Title     string `json:"title"`
	Completed bool   `json:"completed"`
}, newID func() string,
) error {
	t, err := title("title", args.Title)
	if err != nil {
		return err
	}
	p.Items = append(p.Items, Item{ID: newID(), Title: t, Completed: args.Completed})
	return nil
}

func update(p *Plan, args struct {
	ID        string  `json:"id"`
	Title     *string `json:"title"`
	Completed *bool   `json:"completed"`
}, _ func() string,
) error {
	at, err := p.find("id", args.ID)
	if err != nil {
		return err
	}
	if args.Title == nil && args.Completed == nil {
		return fault.New(fault.Invalid, "nothing to change: give a title, or completed")
	}
	if args.Title != nil {
		if p.Items[at].Title, err = title("title", *args.Title); err != nil {
			return err
		}
	}
	if args.Completed != nil {
		p.Items[at].Completed = *args.Completed
	}
	return nil
}

func remove(p *Plan, args struct {
	ID string `json:"id"`
}, _ func() string,
) error {
	at, err := p.find("id", args.ID)
	if err != nil {
		return err
	}
	p.Items = slices.Delete(p.Items, at, at+1)
	return nil
}

func begin(p *Plan, _ struct{}, _ func() string) error {
	if len(p.Items) == 0 {
		return noPlan()
	}
	p.Started = true
	return nil
}

func ask(p *Plan, args struct {
	Question string `json:"question"`
}, _ func() string,
) error {
	if strings.TrimSpace(args.Question) == "" {
		return fault.Field("question", "must not be empty")
	}
	p.QuestionRaised = true
	return nil
}
