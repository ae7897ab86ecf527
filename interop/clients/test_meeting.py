"""The clients that the tutorials name, `websocket-client`, aiohttp and Tornado: each joins, publishes and receives."""

import asyncio
import json
import unittest

import aiohttp
import tornado.websocket
import websocket
from parlor import PATIENCE, Server


class WebsocketClient:
    """The synchronous one, in a thread for each call."""

    NAME = "websocket-client"

    async def open(self, url):
        self.ws = await asyncio.to_thread(websocket.create_connection, url, timeout=PATIENCE)

    async def send(self, text):
        await asyncio.to_thread(self.ws.send, text)

    async def receive(self):
        return await asyncio.to_thread(self.ws.recv)

    async def close(self):
        await asyncio.to_thread(self.ws.close)
        return self.ws.connected


class Aiohttp:
    NAME = "aiohttp"

    async def open(self, url):
        self.session = aiohttp.ClientSession()
        self.ws = await self.session.ws_connect(url)

    async def send(self, text):
        await self.ws.send_str(text)

    async def receive(self):
        return await self.ws.receive_str()

    async def close(self):
        await self.ws.close()
        await self.session.close()
        return self.ws.close_code


class Tornado:
    NAME = "tornado"

    async def open(self, url):
        self.ws = await tornado.websocket.websocket_connect(url)

    async def send(self, text):
        await self.ws.write_message(text)

    async def receive(self):
        return await self.ws.read_message()

    async def close(self):
        self.ws.close(1000)
        # Nothing is the end.
        while await self.ws.read_message() is not None:
            pass
        return self.ws.close_code


async def hear(client, kind, **fields):
    """The next object of this type with these fields; others are skipped."""
    while True:
        heard = json.loads(await client.receive())
        if heard["type"] == kind and fields.items() <= heard.items():
            return heard


class Meeting(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.server = self.enterContext(Server("--no-limits"))

    async def test_each_joins_publishes_and_receives_and_all_meet_in_one_room(self):
        clients = [WebsocketClient(), Aiohttp(), Tornado()]
        async with asyncio.timeout(PATIENCE):
            for client in clients:
                await client.open(self.server.ws(f"?name={client.NAME}"))
                await hear(client, "welcome")
                await client.send('{"type":"join","id":1,"room":"meeting"}')
                await hear(client, "joined", room="meeting")
            for n, client in enumerate(clients):
                words = f"你好 from {client.NAME}"
                await client.send(json.dumps({"type": "publish", "id": "p", "room": "meeting", "data": words}))
                for other in clients:
                    message = await hear(other, "message", data=words)
                    self.assertEqual((message["from"], message["offset"]), (client.NAME, n + 1))
            for client in clients:
                self.assertIn(await client.close(), (1000, False), client.NAME)

    async def test_each_in_turn_hears_what_was_said_before_it_came(self):
        async with asyncio.timeout(PATIENCE):
            for n, client in enumerate([WebsocketClient(), Aiohttp(), Tornado()]):
                await client.open(self.server.ws(f"?name={client.NAME}"))
                await client.send('{"type":"join","room":"log","last":100}')
                joined = await hear(client, "joined", room="log")
                self.assertEqual([message["data"] for message in joined["messages"]], list(range(n)))
                await client.send(json.dumps({"type": "publish", "room": "log", "data": n}))
                await hear(client, "message", data=n)
                await client.close()
