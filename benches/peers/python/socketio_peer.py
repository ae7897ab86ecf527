"""python-socketio: everyone is in the room "bench"; "publish" goes to it as "message", "echo" comes back.

Its ASGI application under uvicorn with uvloop and httptools, uvicorn's own "standard" extras. Tried beside it: asyncio
and h11, wsproto, and aiohttp with either loop; none was cheaper in all of fan-out and polling.
"""

import socket

import socketio
import uvicorn

sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*", http_compression=False)


@sio.event
async def connect(sid, environ):
    await sio.enter_room(sid, "bench")


@sio.on("publish")
async def publish(sid, data):
    # What a handler returns is the answer to whoever asked for one: nothing.
    await sio.emit("message", data, room="bench")


@sio.on("echo")
async def echo(sid, text):
    await sio.emit("echo", text, to=sid)


listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
application = socketio.ASGIApp(sio)
config = uvicorn.Config(
    application, loop="uvloop", http="httptools", log_level="error", ws_per_message_deflate=False
)
uvicorn.Server(config).run(sockets=[listener])
