package xpander

import (
	"errors"
	"net/http"
	"strings"

	"github.com/errand-dev/errand/server/internal/auth"
	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// Defaults are what the operator has decided for agents that leave it open
// (rule A2). The zero value is nothing.
type Defaults struct {
	// Model is the model_name, LLMAPIBase the llm_api_base.
	Model, LLMAPIBase string
	// Database is the URL of a PostgreSQL database in which the agents of the
	// default organization keep their sessions: one with a password that others
	// must not see. It is never the server's own.
	Database string
}

// databaseOf is the database of an organization's agents, "" for none.
func (d Defaults) databaseOf(organization string) string {
	if organization != auth.DefaultOrganization {
		return ""
	}
	return d.Database
}

const databaseScheme = "postgresql"

// CheckDatabase says what is wrong with a Database. The client replaces every
// occurrence of the scheme in it, so the word must not come again.
func CheckDatabase(url string) error {
	rest, ok := strings.CutPrefix(url, databaseScheme+"://")
	switch {
	case url == "":
		return nil
	case !ok:
		return errors.New("must begin with " + databaseScheme + "://")
	case strings.Contains(rest, databaseScheme):
		return errors.New("must not hold the word " + databaseScheme + " again: the Python client replaces it everywhere")
	}
	return nil
}

// connection is R8's answer.
type connection struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	OrganizationID string `json:"organization_id"`
	URI            struct {
		URI string `json:"uri"`
	} `json:"connection_uri"`
}

// database is R8: where an agent keeps its sessions. Each has a schema of its
// own there, which the client makes.
func (r *routes) database(w http.ResponseWriter, req *http.Request) error {
	p, id := edge.Principal(req.Context()), req.PathValue("agent")
	if err := edge.RequireAgent(p, id); err != nil {
		return err
	}
	if _, err := r.Service.Agent(req.Context(), p.Organization, id, 0); err != nil {
		return err
	}
	url := r.defaults.databaseOf(p.Organization)
	if url == "" {
		return fault.New(fault.NotFound, "no database for agent sessions is configured on this server")
	}
	answer := connection{ID: "sessions", Name: "sessions", OrganizationID: p.Organization}
	answer.URI.URI = url
	edge.WriteJSON(w, http.StatusOK, answer)
	return nil
}
