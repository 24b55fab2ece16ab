package v1

// glossary says what the fields of a task are: their types stand in package
// task, which knows nothing of this document. One name means one thing
// wherever a task is shown.
func glossary() map[string]string {
	return map[string]string{ //nolint:gosec // it explains secrets and holds none
		// What was asked.
		"id":                    "The task's id, the same in all of its turns.",
		"agent_id":              "The agent who is to do it.",
		"organization_id":       "The organization that it belongs to.",
		"turn":                  "The number of the present turn, from 1.",
		"input":                 "What the turn was asked.",
		"text":                  "The prompt.",
		"files":                 "URLs of the files to read.",
		"user":                  "Who asks.",
		"attachments":           "Files as newer Python clients give them: objects with a url.",
		"principal":             "On whose behalf the Python client acts.",
		"created_at":            "When the task was created.",
		"agent_version":         "The version of the agent that was pinned; null for the newest.",
		"parent_execution":      "The task that this is a sub-task of.",
		"output_format":         "The form of the result.",
		"output_schema":         "For json: the JSON Schema that the result is to follow.",
		"events_streaming":      "Whether the Python client may stream it.",
		"instructions_override": "Instructions in the place of the agent's own.",
		"user_oidc_token":       "Always null here: it is a secret.",
		"is_orchestration":      "Always false: kept for the Python client.",
		"expected_output":       "What a good result looks like.",
		"mcp_servers":           "MCP servers whose tools the agent may use, without their secrets.",
		"think_mode":            "How hard the model is to think: default or harder.",
		"user_tokens":           "Always null here: they are secrets.",
		"run_locally":           "Whether its creator executes it; no worker is given it then.",
		"pinned_worker_id":      "The only worker that may have it; null for any.",
		"max_attempts":          "How many attempts of the turn may start.",
		"timeout":               "Seconds of executing after which it ends; 0 is none.",
		"expires_in":            "Seconds of being pending after which it ends; 0 is none.",
		"idempotency_key":       "The Idempotency-Key that it was created with.",
		"tags":                  "Labels that its creator gave it.",

		// How it stands.
		"internal_status":              "A status of the worker's own words.",
		"last_executed_node_id":        "Where a Python client's graph stands.",
		"started_at":                   "When the present attempt started.",
		"paused_at":                    "When it was paused.",
		"finished_at":                  "When the turn ended.",
		"result":                       "What came of the turn, or what went wrong.",
		"sub_executions":               "The ids of its sub-tasks.",
		"is_manually_stopped":          "Whether somebody stopped it.",
		"payload_extension":            "An object of its creator's that travels with it.",
		"hitl_request":                 "What a Python client waits for from a human.",
		"pending_eca_request":          "The login that a Python client waits for.",
		"additional_context":           "What the agent should know beside the prompt.",
		"source":                       "Where the task comes from.",
		"voice_id":                     "The voice for a spoken result.",
		"used_tools":                   "Names of the tools that were used.",
		"test_run_node_id":             "The node of a graph that is tried out.",
		"triggering_agent_id":          "The agent on whose behalf it was created.",
		"title":                        "A headline for people.",
		"disable_attachment_injection": "Whether the contents of text files stay out of the prompt.",
		"return_metrics":               "Whether the Python client wants metrics.",
		"deep_planning":                "The agent's plan: its steps and whether they are done.",
		"attempt":                      "The number of the attempt in this turn, from 1.",
		"execution_attempts":           "The number of the attempt over all turns; it never falls.",
		"duration":                     "Seconds of work, as its worker reports them.",
		"worker_id":                    "The worker that has it, or the one it is pinned to.",
		"priority":                     "Higher goes first among the agent's waiting tasks.",
		"run_at":                       "The moment before which it does not start.",

		// What became of a stop.
		"requested_at": "When the stop was asked for.",
		"by":           "Who asked for it.",
		"confirmed_at": "When the worker had let go; null while it has not.",
		"abandoned_at": "When the server gave up waiting for the worker's answer.",

		// What it has used.
		"prompt_tokens":      "Tokens that the model read.",
		"completion_tokens":  "Tokens that the model wrote.",
		"cache_read_tokens":  "Of those read, how many came from the model's cache.",
		"cache_write_tokens": "Of those read, how many went into it.",
	}
}
