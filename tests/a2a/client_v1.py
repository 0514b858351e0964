"""The official A2A client of protocol 1.0, unmodified, against one base URL.

Prints one JSON object: what it was told. Any surprise is an exception.
"""

import asyncio
import json
import sys

import httpx

from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.helpers.proto_helpers import get_artifact_text, new_text_message
from a2a.types.a2a_pb2 import GetTaskRequest, Role, SendMessageRequest, TaskState

PATIENCE_S = 20


async def ask(http, card, text, streaming):
    config = ClientConfig(httpx_client=http, streaming=streaming)
    client = ClientFactory(config).create(card)
    message = new_text_message(text, role=Role.ROLE_USER)
    events, answer, state, task_id = [], "", None, None
    async for event in client.send_message(SendMessageRequest(message=message)):
        kind = event.WhichOneof("payload")
        events.append(kind)
        if kind == "task":
            task_id, state = event.task.id, event.task.status.state
            answer += "".join(get_artifact_text(a) for a in event.task.artifacts)
        elif kind == "artifact_update":
            answer += get_artifact_text(event.artifact_update.artifact)
        elif kind == "status_update":
            state = event.status_update.status.state
        elif kind == "message":
            answer += "".join(part.text for part in event.message.parts)
    return {
        "events": events,
        "answer": answer,
        "state": TaskState.Name(state) if state else None,
        "task": task_id,
    }, client


async def main(base):
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
        card = await A2ACardResolver(http, base).get_agent_card()
        send, client = await ask(http, card, "ping", streaming=False)
        stream, _ = await ask(http, card, "one two three", streaming=True)
        told = {
            "card": {
                "name": card.name,
                "urls": [interface.url for interface in card.supported_interfaces],
            },
            "send": send,
            "stream": stream,
        }
        if send["task"]:
            task = await client.get_task(GetTaskRequest(id=send["task"]))
            told["get"] = {"task": task.id, "state": TaskState.Name(task.status.state)}
    print(json.dumps(told))


asyncio.run(main(sys.argv[1]))
