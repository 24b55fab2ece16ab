package edge

import (
	"github.com/errand-dev/errand/server/internal/lifecycle"
	"github.com/errand-dev/errand/server/internal/task"
)

// ListItem is a task in a list, on both faces.
type ListItem struct {
	ID                string      `json:"id" doc:"The task's id."`
	AgentID           string      `json:"agent_id" doc:"The agent who is to do it."`
	OrganizationID    string      `json:"organization_id" doc:"The organization that it belongs to."`
	Status            task.Status `json:"status" enum:"pending,executing,paused,completed,failed,error,stopped" doc:"Where it stands; the last four have ended."`
	InternalStatus    *string     `json:"internal_status" doc:"A status of the worker's own words."`
	UserID            *string     `json:"user_id" doc:"The id of the user who asked."`
	ParentTaskID      *string     `json:"parent_task_id" doc:"The task that it is a sub-task of."`
	TriggeringAgentID *string     `json:"triggering_agent_id" doc:"The agent on whose behalf it was created."`
	CreatedAt         task.Stamp  `json:"created_at" doc:"When it was created."`
	UpdatedAt         task.Stamp  `json:"updated_at" doc:"When anything about it last changed."`
	SourceNodeType    *string     `json:"source_node_type" doc:"Where it comes from."`
	Result            *string     `json:"result" doc:"Null also when longer than 64 KiB: read the task then."`
	Title             *string     `json:"title" doc:"A headline for people; null also when longer than 64 KiB."`
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
