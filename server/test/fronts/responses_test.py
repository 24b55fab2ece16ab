"""OpenAI's Responses API with its released clients (docs/FRONTS.md)."""

import secrets

import openai
import pytest
from parts import until


@pytest.fixture
def client(server):
    return client_of(server)


def client_of(server, **more):
    return openai.OpenAI(base_url=f"{server.url}/openai/v1", api_key=server.key, **more)


class Hold:
    """A place at which the actor waits until it is let go."""

    def __init__(self, server):
        self.file = server.folder / secrets.token_hex(4)

    def __str__(self):
        return f"wait {self.file.name}"

    def go(self):
        self.file.touch()


def script(*lines):
    return "\n".join(map(str, lines))


def test_create(client):
    """An answer, with what the agent did for it, the same whenever it is read."""
    made = client.responses.create(model="actor", input=script("think Hm.", "tool add", "say Hello, ", "say world"))
    assert (made.status, made.output_text) == ("completed", "Hello, world")
    assert [item.type for item in made.output] == ["reasoning", "mcp_call", "message"]
    assert (made.output[0].summary[0].text, made.output[1].name, made.output[1].output) == ("Hm.", "add", "2")
    assert client.responses.retrieve(made.id) == made


def test_stream(client, server):
    """The events of a stream, raw and by the helper, live, and the same when it is read again."""
    hold = Hold(server)
    prompt = script("think Hm.", "tool add", "say Hello, ", hold, "say world")
    seen, text = [], ""
    for event in client.responses.create(model="actor", input=prompt, stream=True):
        seen.append(event)
        if event.type == "response.output_text.delta":
            text += event.delta
            hold.go()
    assert text == "Hello, world"
    assert seen[0].type == "response.created"
    assert seen[-1].type == "response.completed"
    assert seen[-1].response.output_text == "Hello, world"
    again = list(client.responses.retrieve(seen[0].response.id, stream=True))
    assert again == seen
    for after in range(0, len(seen), 3):
        rest = list(client.responses.retrieve(seen[0].response.id, stream=True, starting_after=seen[after].sequence_number))
        assert rest == seen[after + 1 :]
    with client.responses.stream(model="actor", input=prompt) as stream:
        whole = stream.get_final_response()
    assert whole.output_text == "Hello, world"
    with client.responses.stream(response_id=whole.id) as stream:
        assert stream.get_final_response().output_text == "Hello, world"
