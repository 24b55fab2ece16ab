package responses

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// list is a page. Clients page on as long as has_more is not false.
type list struct {
	Object string  `json:"object"`
	Data   []any   `json:"data"`
	First  *string `json:"first_id"`
	Last   *string `json:"last_id"`
	More   bool    `json:"has_more"`
}

const usualPage, longestPage = 20, 100

// listed is a member of a list with its id.
type listed struct {
	id    string
	shown any
}

// paging is which page of a list a request asks for.
type paging struct {
	limit int
	asc   bool
	after string
}

func pagingOf(r *http.Request) (paging, error) {
	query := r.URL.Query()
	p := paging{asc: query.Get("order") == "asc", after: query.Get("after")}
	if order := query.Get("order"); !slices.Contains([]string{"", "asc", "desc"}, order) {
		return p, fault.Field("order", "must be asc or desc")
	}
	var err error
	p.limit, err = limitOf(query)
	return p, err
}

// turned puts members that are in the order in which they came in that of the page.
func (p paging) turned(all []listed) []listed {
	if !p.asc {
		slices.Reverse(all)
	}
	return all
}

// answer writes a page of members in its order.
func (p paging) answer(w http.ResponseWriter, all iter.Seq2[listed, error]) error {
	page, err := p.page(all)
	if err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, page)
	return nil
}

// page takes a page from members in its order, no more than it needs.
func (p paging) page(all iter.Seq2[listed, error]) (list, error) {
	page, behind := list{Object: "list", Data: []any{}}, p.after == ""
	for x, err := range all {
		switch {
		case err != nil:
			return list{}, err
		case !behind:
			behind = x.id == p.after
		case len(page.Data) == p.limit:
			page.More = true
			return page, nil
		default:
			page.add(x)
		}
	}
	if !behind {
		return list{}, p.notThere()
	}
	return page, nil
}

func (p paging) notThere() error {
	return fault.Field("after", "must be the id of an item of this list")
}

func (l *list) add(x listed) {
	l.Data = append(l.Data, x.shown)
	l.Last = &x.id
	if l.First == nil {
		l.First = &x.id
	}
}

// limitOf is how many members a page may have.
func limitOf(query url.Values) (int, error) {
	given := query.Get("limit")
	if given == "" {
		return usualPage, nil
	}
	limit, err := strconv.Atoi(given)
	if err != nil || limit < 1 || limit > longestPage {
		return 0, fault.Field("limit", "must be from 1 to %d", longestPage)
	}
	return limit, nil
}

// inputPrefix begins the ids of input items: a turn and a number follow.
const inputPrefix = "in_"

// inputs are what a turn was asked, as items with ids.
func (x *fold) inputs() ([]listed, error) {
	all := make([]listed, len(x.request.Input))
	for i, raw := range x.request.Input {
		var item map[string]json.RawMessage
		if err := json.Unmarshal(raw, &item); err != nil {
			return nil, fmt.Errorf("decode input: %w", err)
		}
		id := fmt.Sprintf("%s%d_%d", inputPrefix, x.of.turn, i+1)
		item["id"] = json.RawMessage(strconv.Quote(id))
		if item["status"] == nil && string(item["type"]) == `"message"` {
			item["status"] = json.RawMessage(`"completed"`)
		}
		all[i] = listed{id, item}
	}
	return all, nil
}

func (f *face) inputItems(w http.ResponseWriter, r *http.Request) error {
	p, err := pagingOf(r)
	if err != nil {
		return err
	}
	x, err := f.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	fold, err := f.read(r.Context(), x)
	if err != nil {
		return err
	}
	all, err := fold.inputs()
	if err != nil {
		return err
	}
	return p.answer(w, func(yield func(listed, error) bool) {
		for _, x := range p.turned(all) {
			if !yield(x, nil) {
				return
			}
		}
	})
}

// model is an agent.
type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Owner   string `json:"owned_by"`
}

func modelOf(a agent.Agent) model {
	return model{a.ID, "model", a.CreatedAt.Time().Unix(), a.OrganizationID}
}

// agentsRead is how many agents one read asks for.
const agentsRead = 200

// models lists all agents: clients know no pages of it.
func (f *face) models(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	org := edge.Principal(ctx).Organization
	found, err := f.Service.AgentsAfter(ctx, org, "", agentsRead)
	if err != nil {
		return err
	}
	edge.WriteList(ctx, w, f.Log, `{"object":"list","data":[`, "]}", func(yield func(any, error) bool) {
		for len(found) > 0 {
			for _, a := range found {
				if !yield(modelOf(a), nil) {
					return
				}
			}
			if found, err = f.Service.AgentsAfter(ctx, org, found[len(found)-1].ID, agentsRead); err != nil {
				yield(nil, err)
				return
			}
		}
	})
	return nil
}

func (f *face) model(w http.ResponseWriter, r *http.Request) error {
	a, err := f.Service.Agent(r.Context(), edge.Principal(r.Context()).Organization, r.PathValue("id"), 0)
	if err != nil {
		return err
	}
	edge.WriteJSON(w, http.StatusOK, modelOf(a))
	return nil
}
