"""python-socketio under uvicorn: the event "publish" goes to everyone as "message", "echo" comes back."""

import socket

import socketio
import uvicorn

sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*", http_compression=False)


@sio.on("publish")
async def publish(sid, text):
    await sio.emit("message", text)


@sio.on("echo")
async def echo(sid, text):
    await sio.emit("echo", text, to=sid)


listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
config = uvicorn.Config(socketio.ASGIApp(sio), log_level="error", ws_per_message_deflate=False)
uvicorn.Server(config).run(sockets=[listener])
