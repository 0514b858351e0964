"""An echo agent on the official A2A server of protocol 1.0, unmodified.

Listens on 127.0.0.1 at the port that PORT names, and serves both generations.
"""

import os

import uvicorn

from a2a.helpers.proto_helpers import new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette

PORT = int(os.environ["PORT"])
URL = f"http://127.0.0.1:{PORT}/"


class Echo(AgentExecutor):
    async def execute(self, context, event_queue):
        task = context.current_task or new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        asked = context.get_user_input()
        answer = "PONG" if asked.strip().lower() == "ping" else asked
        words = answer.split(" ")
        for n, word in enumerate(words):
            last = n == len(words) - 1
            await updater.add_artifact(
                [new_text_part(word if last else word + " ")],
                artifact_id="answer",
                append=n > 0,
                last_chunk=last,
            )
        await updater.complete()

    async def cancel(self, context, event_queue):
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def interface(version):
    return AgentInterface(url=URL, protocol_binding="JSONRPC", protocol_version=version)


card = AgentCard(
    name="official-echo",
    description="Echoes what it is told.",
    version="1.0.0",
    supported_interfaces=[interface("1.0"), interface("0.3")],
    capabilities=AgentCapabilities(streaming=True),
    default_input_modes=["text/plain"],
    default_output_modes=["text/plain"],
    skills=[AgentSkill(id="echo", name="Echo", description="Says what it heard.", tags=["echo"])],
)
handler = DefaultRequestHandler(
    agent_executor=Echo(), task_store=InMemoryTaskStore(), agent_card=card
)
app = Starlette(
    routes=[
        *create_agent_card_routes(card),
        *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True),
    ]
)
uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
