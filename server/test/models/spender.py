"""A program that asks a model again and again with its provider's own client, and knows nothing of Errand."""

import sys

import anthropic
import openai

provider, model, stream = sys.argv[1], sys.argv[2], sys.argv[3] == "stream"
messages = [{"role": "user", "content": sys.stdin.readline().strip()}]


def ask() -> str:
    if provider == "anthropic":
        if not stream:
            return anthropic.Anthropic().messages.create(model=model, max_tokens=50, messages=messages).content[-1].text
        with anthropic.Anthropic().messages.stream(model=model, max_tokens=50, messages=messages) as said:
            return said.get_final_text()
    answer = openai.OpenAI().chat.completions.create(model=model, messages=messages, stream=stream)
    if not stream:
        return answer.choices[0].message.content
    return "".join(chunk.choices[0].delta.content or "" for chunk in answer)


for _ in range(30):
    print(ask(), flush=True)
