"""Every field of what the newest release sends about a task, with a value and where it is to come back.

A field of the release that is in no table here fails the check: nothing may be dropped with a 200.
"""

import inspect

from xpander_sdk import User
from xpander_sdk.models.principal import Principal, PrincipalKind
from xpander_sdk.models.shared import OutputFormat, ThinkMode, Tokens
from xpander_sdk.modules.agents.models.agent import LLMReasoningEffort
from xpander_sdk.modules.tasks.models.task import AttachmentRef, HumanInTheLoopRequest, PendingECARequest
from xpander_sdk.modules.tasks.sub_modules.task import Task
from xpander_sdk.modules.tools_repository.models.mcp import MCPServerDetails

USER = User(id="u-1", email="ann@example.com", first_name="Ann", timezone="Europe/Vienna")
SERVER = MCPServerDetails(name="m", url="https://mcp.example.com", api_key="k", headers={"a": "b"})
FILE = "http://127.0.0.1:9/a.csv"

# The argument: its value, and the field of the task that is to hold it.
CREATE = {
    "prompt": ("Analyze", "input.text"),
    "file_urls": ([FILE], "input.files"),
    "attachments": ([AttachmentRef(url=FILE, name="a.csv", size=3)], "input.attachments"),
    "user_details": (USER, "input.user"),
    "principal": (Principal(kind=PrincipalKind.user, id="p-1"), "input.principal"),
    "agent_version": ("1", "agent_version"),
    "tool_call_payload_extension": ({"headers": {"x": 1}}, "payload_extension"),
    "source": ("a test", "source"),
    "output_format": (OutputFormat.Json, "output_format"),
    "output_schema": ({"type": "object"}, "output_schema"),
    "events_streaming": (True, "events_streaming"),
    "additional_context": ("it is Monday", "additional_context"),
    "instructions_override": ("be brief", "instructions_override"),
    "test_run_node_id": ("node-1", "test_run_node_id"),
    "user_oidc_token": ("a token", "user_oidc_token"),
    "expected_output": ("a table", "expected_output"),
    "mcp_servers": ([SERVER], "mcp_servers"),
    "triggering_agent_id": ("boss", "triggering_agent_id"),
    "title": ("A title", "title"),
    "think_mode": (ThinkMode.Harder, "think_mode"),
    "disable_attachment_injection": (True, "disable_attachment_injection"),
    "return_metrics": (True, "return_metrics"),
    "user_tokens": ({"github": "t"}, "user_tokens"),
    "llm_model_provider": ("anthropic", "llm_model_provider"),
    "llm_model_name": ("claude", "llm_model_name"),
    "llm_reasoning_effort": (LLMReasoningEffort.XHigh, "llm_reasoning_effort"),
    "harness_cli": ("codex", "harness_cli"),
    "tool_call_limit": (9, "tool_call_limit"),
    "permission_mode": ("gated", "permission_mode"),
}
# Arguments that no field of the client's task shows; the test asks /v1 for the last two.
ELSEWHERE = {"agent_id", "existing_task_id", "worker_id", "run_locally"}

# Fields that a save may change.
SAVE = {
    "status": "paused",
    "result": "so far",
    "internal_status": "reading",
    "last_executed_node_id": "n-1",
    "hitl_request": HumanInTheLoopRequest(wait_node_id="n-2"),
    "pending_eca_request": PendingECARequest(connector_name="Drive", auth_url="https://auth.example.com"),
    "source": "a test",
    "voice_id": "v-1",
    "additional_context": "it is Tuesday",
    "tool_call_limit": 7,
    "test_run_node_id": "node-2",
    "triggering_agent_id": "boss",
    "title": "Renamed",
    "disable_attachment_injection": True,
    "deep_planning": {
        "enabled": True, "enforce": False, "started": True, "question_raised": False,
        "tasks": [{"id": "1", "title": "Read", "completed": True}],
    },
    "return_metrics": True,
    "llm_model_provider": "openai",
    "llm_model_name": "gpt",
    "llm_reasoning_effort": LLMReasoningEffort.Low,
    "harness_cli": "opencode",
    "permission_mode": "full",
    "tokens": Tokens(completion_tokens=1, prompt_tokens=2, cache_read_tokens=3, cache_write_tokens=4),
    "used_tools": ["sql"],
    "duration": 1.5,
}  # fmt: skip
# Fields that are the server's own (rule S4), fixed by the creation, or the client's.
FIXED = set(
    """id agent_id organization_id input agent_version created_at started_at paused_at finished_at parent_execution
    sub_executions is_manually_stopped payload_extension output_format output_schema events_streaming
    instructions_override user_oidc_token expected_output mcp_servers think_mode user_tokens execution_attempts
    conversation_id conversation_kind should_update_parent execution_kind is_orchestration is_gateway is_app
    background_auth_eligible must_deep_plan configuration""".split()
)


def created_with(create, task_id):
    """Arguments for all that a call takes."""
    names = set(inspect.signature(create).parameters)
    unknown = names - set(CREATE) - ELSEWHERE
    assert not unknown, f"{create.__qualname__} takes what no table has: {sorted(unknown)}"
    given = {name: value for name, (value, _) in CREATE.items() if name in names}
    return {**given, "existing_task_id": f"all-{task_id}", "worker_id": "w-1", "run_locally": True}


def check_created(create, task, task_id):
    names = set(inspect.signature(create).parameters)
    want = {field: value for name, (value, field) in CREATE.items() if name in names}
    return lost({**want, "id": f"all-{task_id}"}, task)


def change_all(task):
    """Changes every field that a save may change."""
    unknown = set(Task.model_fields) - set(SAVE) - FIXED
    assert not unknown, f"a task has what no table has: {sorted(unknown)}"
    for field, value in SAVE.items():
        setattr(task, field, type(task.deep_planning)(**value) if field == "deep_planning" else value)
    return SAVE


def lost(want, task):
    """What of the wanted fields a task shows otherwise."""
    dump = task.model_dump(mode="json", exclude={"configuration"})
    wrong = {}
    for path, value in want.items():
        got = dump
        for name in path.split("."):
            got = got[name]
        if plain(value) != got:
            wrong[path] = [plain(value), got]
    return wrong


def plain(value):
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else getattr(value, "value", value)
