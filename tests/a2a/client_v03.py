"""The official A2A client of protocol 0.3, unmodified, against one base URL.

Prints one JSON object: what it was told. Any surprise is an exception.
"""

import asyncio
import json
import sys
import uuid

import httpx

from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import Message, Part, Role, TaskQueryParams, TextPart

PATIENCE_S = 20


def text_of(parts):
    return "".join(part.root.text for part in parts if part.root.kind == "text")


async def ask(http, card, text, streaming):
    config = ClientConfig(httpx_client=http, streaming=streaming)
    client = ClientFactory(config).create(card)
    message = Message(
        role=Role.user, message_id=str(uuid.uuid4()), parts=[Part(root=TextPart(text=text))]
    )
    events, answer, state, task_id = [], "", None, None
    async for event in client.send_message(message):
        if isinstance(event, Message):
            events.append("message")
            answer += text_of(event.parts)
            continue
        task, update = event
        task_id, state = task.id, task.status.state.value
        events.append(update.kind if update else "task")
        if update is None:
            answer += "".join(text_of(a.parts) for a in task.artifacts or [])
        elif update.kind == "artifact-update":
            answer += text_of(update.artifact.parts)
    return {"events": events, "answer": answer, "state": state, "task": task_id}, client


async def main(base):
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
        card = await A2ACardResolver(http, base).get_agent_card()
        send, client = await ask(http, card, "ping", streaming=False)
        stream, _ = await ask(http, card, "one two three", streaming=True)
        urls = [card.url] + [i.url for i in card.additional_interfaces or []]
        told = {"card": {"name": card.name, "urls": urls}, "send": send, "stream": stream}
        if send["task"]:
            task = await client.get_task(TaskQueryParams(id=send["task"]))
            told["get"] = {"task": task.id, "state": task.status.state.value}
    print(json.dumps(told))


asyncio.run(main(sys.argv[1]))
