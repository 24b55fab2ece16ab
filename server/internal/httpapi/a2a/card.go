package a2a

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// inputModes are the media types that a message may have. A file that is none of them
// has none, or is application/octet-stream.
func inputModes() []string {
	return []string{
		"text/*", "image/*", "audio/*", "video/*", "application/json", "application/pdf", "application/octet-stream", "application/zip", "application/gzip",
		"application/x-ndjson", "application/xml", "application/yaml", "application/vnd.apache.parquet",
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		"application/vnd.openxmlformats-officedocument.presentationml.presentation", "application/vnd.ms-excel", "application/msword",
	}
}

// base is the address at which the server was asked, or its public one.
func (x *routes) base(r *http.Request) string {
	if x.PublicURL != "" {
		return x.PublicURL
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

func (x *routes) card(r *http.Request, a agent.Agent) Card {
	url := x.base(r) + "/a2a/" + a.ID
	about := "An agent of Errand."
	if a.Record.Description != nil {
		about = cmp.Or(*a.Record.Description, about)
	}
	return Card{
		Name: a.Record.Name, Description: about, Version: strconv.Itoa(a.Version),
		Interfaces: []Interface{{url, "JSONRPC", version}, {url, "HTTP+JSON", version}},
		Capabilities: Capabilities{Streaming: true, PushNotifications: true, Extensions: []Extension{{
			URI: sequence, Description: "Numbers the updates of a stream: SubscribeToTask with Last-Event-ID goes on behind any of them, also when the task has ended.",
		}}},
		InputModes: inputModes(), OutputModes: []string{"text/plain", "application/json"},
		Skills:  []Skill{{ID: a.ID, Name: a.Record.Name, Description: about, Tags: []string{string(a.Record.Runtime)}}},
		Schemes: map[string]any{"bearer": map[string]any{"httpAuthSecurityScheme": map[string]string{"scheme": "Bearer"}}},
		// The protocol writes {"list": []} here. The Go library reads only this, the others take both.
		Requirements: []any{map[string]any{"schemes": map[string]any{"bearer": []string{}}}},
	}
}

// showCard writes an agent's card. It differs with the address that it was asked at.
func (x *routes) showCard(w http.ResponseWriter, r *http.Request) error {
	a, err := x.agentOf(r)
	if err != nil {
		return err
	}
	body, err := json.Marshal(x.card(r, a))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "private, max-age=60")
	w.Header().Set("Vary", "Authorization, X-Api-Key, Host")
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	edge.WriteJSON(w, http.StatusOK, json.RawMessage(body))
	return nil
}

// directory is a page of the cards of an organization's agents.
type directory struct {
	Agents []Card `json:"agents"`
	Next   string `json:"nextPageToken"`
}

// showDirectory writes the cards of all agents that the key may use.
func (x *routes) showDirectory(w http.ResponseWriter, r *http.Request) error {
	size, err := sizeOf(r.URL.Query().Get("pageSize"))
	if err != nil {
		return err
	}
	after := r.URL.Query().Get("pageToken")
	found, err := x.Service.AgentsAfter(r.Context(), edge.Principal(r.Context()).Organization, after, size)
	if err != nil {
		return err
	}
	d := directory{Agents: []Card{}}
	for _, a := range found {
		d.Agents = append(d.Agents, x.card(r, a))
	}
	if n := len(found); n > 0 { // fewer may come when they are long
		d.Next = found[n-1].ID
		more, err := x.Service.AgentsAfter(r.Context(), edge.Principal(r.Context()).Organization, d.Next, 1)
		if err != nil {
			return err
		}
		if len(more) == 0 {
			d.Next = ""
		}
	}
	edge.WriteJSON(w, http.StatusOK, d)
	return nil
}

// The sizes of pages.
const (
	usualPage   = 50
	longestPage = 100
)

// sizeOf reads the size of a page, "" for the usual one.
func sizeOf(text string) (int, error) {
	if text == "" {
		return usualPage, nil
	}
	size, err := strconv.Atoi(text)
	if err != nil || size < 1 || size > longestPage {
		return 0, invalid.errorf("pageSize: must be a whole number from 1 to %d", longestPage)
	}
	return size, nil
}
