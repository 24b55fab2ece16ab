package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/errand-dev/errand/server/internal/agent"
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/mcp"
	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
	"github.com/errand-dev/errand/server/internal/tool"
)

// toolServers finds the MCP servers of attempts.
type toolServers struct {
	service *lifecycle.Service
	host    *mcp.Host
}

// open reads the tools of the servers that the agent and its task name. A server that is
// not there puts the task off.
func (s *toolServers) open(ctx context.Context, a *runtime.Attempt, who agent.Agent) ([]tool.Tool, func(), error) {
	servers, err := s.ofAgent(ctx, who)
	if err != nil {
		return nil, nil, err
	}
	more, err := s.ofTask(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	if servers = append(servers, more...); len(servers) == 0 {
		return nil, func() {}, nil
	}
	tools, done, err := s.host.Open(ctx, servers)
	if _, is := errors.AsType[*mcp.UnreachableError](err); is && !mcp.IsLasting(err) {
		err = &runtime.Later{Reason: err.Error(), Delay: task.Backoff(a.Number)}
	}
	return tools, done, err
}

func (s *toolServers) ofAgent(ctx context.Context, who agent.Agent) ([]mcp.Server, error) {
	if len(who.Record.MCPServers) == 0 {
		return nil, nil
	}
	headers, err := s.service.AgentHeaders(ctx, who.OrganizationID, who.ID)
	if err != nil {
		return nil, err
	}
	var servers []mcp.Server
	for _, x := range who.Record.MCPServers {
		servers = append(servers, mcp.Server{Name: x.Name, URL: x.URL, Headers: headers[x.URL], Program: x.Program, Allowed: x.AllowedTools})
	}
	return servers, nil
}

// taskServer is an MCP server as the Python client describes one.
type taskServer struct {
	Name      string            `json:"name"`
	URL       string            `json:"url"`
	APIKey    string            `json:"api_key"`
	Transport string            `json:"transport"`
	Auth      string            `json:"auth_type"`
	Headers   map[string]string `json:"headers"`
	Allowed   []string          `json:"allowed_tools"`
}

func (s *toolServers) ofTask(ctx context.Context, a *runtime.Attempt) ([]mcp.Server, error) {
	raw := a.Spec.MCPServers
	if len(raw) == 0 || string(raw) == "[]" || string(raw) == "null" {
		return nil, nil
	}
	secrets, err := s.service.TaskSecrets(ctx, a.Organization, a.TaskID)
	if err != nil {
		return nil, err
	}
	if len(secrets.MCPServers) > 0 {
		raw = secrets.MCPServers
	}
	var list []taskServer
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errors.New("mcp_servers of the task: its members have other types than the Python client's") // what it holds is secret
	}
	servers := make([]mcp.Server, len(list))
	for i, x := range list {
		if servers[i], err = x.server(i); err != nil {
			return nil, err
		}
	}
	return servers, nil
}

func (x taskServer) server(n int) (mcp.Server, error) {
	s := mcp.Server{Name: x.Name, URL: x.URL, Headers: map[string]string{}, Allowed: x.Allowed}
	if s.Name == "" {
		s.Name = fmt.Sprintf("mcp%d", n+1)
	}
	if len(s.Allowed) == 0 { // the client says so of all
		s.Allowed = nil
	}
	switch {
	case x.Transport != "" && x.Transport != "streamable-http":
		return s, fmt.Errorf("the MCP server %s of the task: the transport %s is not supported by the server, only streamable-http", s.Name, x.Transport)
	case x.Auth == "oauth2":
		return s, fmt.Errorf("the MCP server %s of the task: oauth2 is not supported by the server: give a key or headers", s.Name)
	}
	maps.Copy(s.Headers, x.Headers)
	if x.APIKey != "" {
		s.Headers["Authorization"] = "Bearer " + x.APIKey
	}
	return s, nil
}
