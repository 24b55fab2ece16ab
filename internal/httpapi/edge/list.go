package edge

import (
	"github.com/errand-dev/errand/internal/lifecycle"
	"github.com/errand-dev/errand/internal/task"
)

// ListItem is a task in a list, on both faces.
type ListItem struct {
	ID                string      `json:"id"`
	AgentID           string      `json:"agent_id"`
	OrganizationID    string      `json:"organization_id"`
	Status            task.Status `json:"status" enum:"pending,executing,paused,completed,failed,error,stopped"`
	InternalStatus    *string     `json:"internal_status"`
	UserID            *string     `json:"user_id"`
	ParentTaskID      *string     `json:"parent_task_id"`
	TriggeringAgentID *string     `json:"triggering_agent_id"`
	CreatedAt         task.Stamp  `json:"created_at"`
	UpdatedAt         task.Stamp  `json:"updated_at"`
	SourceNodeType    *string     `json:"source_node_type"`
	Result            *string     `json:"result" doc:"Null also when longer than 64 KiB: read the task then."`
	Title             *string     `json:"title"`
}

// ListItemOf renders a listed task.
func ListItemOf(x lifecycle.Listed) ListItem {
	return ListItem{
		ID: x.ID, AgentID: x.AgentID, OrganizationID: x.OrganizationID, Status: x.Status,
		InternalStatus: x.InternalStatus, UserID: orNull(x.UserID), ParentTaskID: orNull(x.ParentID),
		TriggeringAgentID: orNull(x.TriggeringAgentID), CreatedAt: x.CreatedAt, UpdatedAt: x.UpdatedAt,
		SourceNodeType: orNull(x.Source), Result: x.Result, Title: x.Title,
	}
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
