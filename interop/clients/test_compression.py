"""permessage-deflate at /ws with the asyncio client `websockets`, which offers it: off, on, and against a bomb."""

import asyncio
import json
import unittest

import websockets
from parlor import PATIENCE, Server
from test_websockets import ask, hear
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

LONG = "what is said again and again, " * 1000


def agreed(ws):
    return ws.response.headers.get("Sec-WebSocket-Extensions")


class Compression(unittest.IsolatedAsyncioTestCase):
    async def test_it_is_off_unless_it_is_asked_for(self):
        with Server("--no-limits") as server:
            async with websockets.connect(server.ws("?room=talk")) as ws:
                self.assertIsNone(agreed(ws))
                await ask(ws, type="publish", room="talk", data=LONG)

    async def test_everybody_reads_the_same_whatever_they_agreed_on(self):
        narrow = ClientPerMessageDeflateFactory(server_max_window_bits=9)
        both_fresh = ClientPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
        options = [{}, {"compression": None}] + [{"compression": None, "extensions": [one]} for one in (narrow, both_fresh)]
        with Server("--no-limits", "--compression") as server:
            people = [await websockets.connect(server.ws("?room=live:talk"), **choice) for choice in options]
            extensions = [agreed(ws) for ws in people]
            self.assertIsNone(extensions[1])
            for extension in extensions[0], extensions[2], extensions[3]:
                self.assertIn("server_no_context_takeover", extension)
            for ws in people:
                await hear(ws, "joined")
            for number in range(3):
                for text in (LONG, "short"):
                    # What clients send is compressed too, by those who agreed.
                    await people[number].send(
                        json.dumps({"type": "publish", "room": "live:talk", "data": [number, text]})
                    )
                    for ws in people:
                        await hear(ws, "message", data=[number, text])
            for ws in people:
                await ws.close()

    async def test_a_bomb_ends_its_connection_and_costs_no_memory(self):
        with Server("--no-limits", "--compression") as server:
            async with websockets.connect(server.ws(), max_size=None) as ws:
                await hear(ws, "welcome")
                before = resident(server)
                # 64 KB on the wire.
                await ws.send(" " * (64 << 20))
                async with asyncio.timeout(PATIENCE):
                    with self.assertRaises(websockets.ConnectionClosedError) as closed:
                        while True:
                            await ws.recv()
            self.assertEqual(closed.exception.rcvd.code, 1009)
            self.assertLess(resident(server) - before, 16 << 20)


def resident(server):
    """The most memory that the server has used, in bytes."""
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
