"""The library websockets: what comes on /ws goes to everyone on /ws, what comes on /echo goes back."""

import asyncio

from websockets.asyncio.server import broadcast, serve

people = set()


async def handle(ws):
    if ws.request.path == "/echo":
        async for text in ws:
            await ws.send(text)
        return
    people.add(ws)
    try:
        async for text in ws:
            broadcast(people, text)
    finally:
        people.discard(ws)


async def main():
    async with serve(handle, "127.0.0.1", 0, compression=None, backlog=4096) as server:
        print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
