"""People on the asyncio client `websockets`: rooms, one to one, names, coming back."""

import asyncio
import json
import unittest

import websockets
from parlor import PATIENCE, Server


async def hear(ws, kind, **fields):
    """The next object of this type with these fields; others are skipped."""
    async with asyncio.timeout(PATIENCE):
        async for text in ws:
            heard = json.loads(text)
            if heard["type"] == kind and fields.items() <= heard.items():
                return heard
    raise AssertionError(f"the connection ended before {kind} {fields} came")


async def ask(ws, **command):
    """Sends a command and gives its reply."""
    command.setdefault("id", "q")
    await ws.send(json.dumps(command))
    async with asyncio.timeout(PATIENCE):
        async for text in ws:
            heard = json.loads(text)
            if heard.get("id") == command["id"]:
                return heard
    raise AssertionError("the connection ended before the reply came")


class People(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.server = self.enterContext(Server("--no-limits"))

    def connect(self, query="", **options):
        return websockets.connect(self.server.ws(query), **options)

    async def test_two_people_talk_and_the_name_comes_from_the_connection(self):
        async with self.connect("?name=ann&room=lobby") as ann, self.connect("?name=bob&room=lobby") as bob:
            await hear(ann, "joined", room="lobby")
            await hear(bob, "joined", room="lobby")
            reply = await ask(ann, type="publish", room="lobby", data="hi", **{"from": "bob", "user": "eve"})
            self.assertEqual((reply["type"], reply["ack"]), ("published", "local"))
            message = await hear(bob, "message", data="hi")
            self.assertEqual((message["from"], message["pos"]), ("ann", reply["pos"]))
            self.assertNotEqual(message["user"], "eve")

    async def test_a_private_message_is_private_and_nobody_is_not_somebody(self):
        async with self.connect("?name=ann") as ann, self.connect("?name=bob") as bob, self.connect("?name=eve&room=lobby") as eve:
            for someone in (ann, bob, eve):
                await hear(someone, "welcome")
            self.assertEqual((await ask(ann, type="direct", to="bob", data="psst"))["type"], "published")
            self.assertEqual((await hear(bob, "direct"))["from"], "ann")
            refused = await ask(ann, type="direct", to="nobody", data="psst")
            self.assertEqual((refused["type"], refused["code"]), ("error", "no_such_user"))
            # The sender stays, and so does everyone else; nothing reached a third person.
            self.assertEqual((await ask(ann, type="ping"))["type"], "pong")
            await ask(ann, type="publish", room="lobby", data="after")
            async for text in eve:
                self.assertNotIn("psst", text)
                if json.loads(text).get("data") == "after":
                    break

    async def test_a_taken_name_comes_with_one_that_is_free(self):
        async with self.connect("?name=ann") as ann:
            await hear(ann, "welcome", name="ann")
            async with self.connect("?name=Ann") as second:
                refused = json.loads(await second.recv())
                self.assertEqual(refused["code"], "name_taken")
                with self.assertRaises(websockets.ConnectionClosed) as closed:
                    while True:
                        await second.recv()
                self.assertEqual(closed.exception.rcvd.code, 4506)
            async with self.connect(f"?name={refused['suggestions'][0]}") as third:
                await hear(third, "welcome", name=refused["suggestions"][0])

    async def test_everybody_sees_one_order(self):
        people = [await self.connect(f"?name=p{n}&room=talk") for n in range(5)]
        for person in people:
            await hear(person, "joined")

        async def talk(name, person):
            for n in range(200):
                await person.send(json.dumps({"type": "publish", "room": "talk", "data": f"{name}-{n}"}))

        async def listen(person):
            heard = []
            async for text in person:
                message = json.loads(text)
                if message["type"] == "message":
                    heard.append((message["offset"], message["data"]))
                if len(heard) == 1000:
                    return heard

        async with asyncio.timeout(PATIENCE):
            talking = [talk(name, person) for name, person in enumerate(people)]
            listening = [listen(person) for person in people]
            heard = (await asyncio.gather(*listening, *talking))[:5]
        self.assertEqual([offset for offset, _ in heard[0]], list(range(1, 1001)))
        for other in heard[1:]:
            self.assertEqual(other, heard[0])
        for name in range(5):
            own = [data for _, data in heard[0] if data.startswith(f"{name}-")]
            self.assertEqual(own, [f"{name}-{n}" for n in range(200)])
        for person in people:
            await person.close()

    async def test_a_killed_server_loses_nothing_and_doubles_nothing(self):
        async with self.connect("?name=ann&room=talk") as ann:
            position = (await hear(ann, "joined"))["pos"]
            for n in range(1, 4):
                self.assertEqual((await ask(ann, type="publish", room="talk", data=n, key=f"k{n}"))["offset"], n)
            self.server.kill()
            with self.assertRaises(websockets.ConnectionClosed):
                while True:
                    await ann.recv()
        self.server.restart()
        async with self.connect("?name=ann") as ann:
            # What was not known to have arrived is sent again with its key: it is the same message.
            again = await ask(ann, type="publish", room="talk", data=3, key="k3")
            self.assertEqual(again["type"], "published", again)
            joined = await ask(ann, type="join", room="talk", since=position)
            self.assertTrue(joined["recovered"])
            stored = [message["data"] for message in joined["messages"]]
            # The name was free when its connection broke, so this is another account, and its key another key.
            self.assertEqual(stored[:3], [1, 2, 3])
            self.assertEqual(again["offset"], len(stored))

    async def test_an_account_that_shows_its_token_sends_once_across_a_kill(self):
        async with self.connect("?name=ann") as ann:
            token = (await hear(ann, "welcome"))["token"]
            self.assertEqual((await ask(ann, type="auth", token=token))["type"], "ok")
            first = await ask(ann, type="publish", room="talk", data="once", key="k")
            self.server.kill()
        self.server.restart()
        async with self.connect("", subprotocols=["parlor.v1", f"parlor.token.{token}"]) as ann:
            self.assertEqual(ann.subprotocol, "parlor.v1")
            await hear(ann, "welcome", name="ann")
            again = await ask(ann, type="publish", room="talk", data="once", key="k")
            self.assertEqual((again["offset"], again["pos"]), (first["offset"], first["pos"]))

    async def test_a_client_that_offers_compression_is_served_without_it(self):
        # The chat does not compress: a frame is shared by all its readers.
        for compression in ("deflate", None):
            async with self.connect("?room=talk", compression=compression) as ws:
                self.assertIsNone(ws.response.headers.get("Sec-WebSocket-Extensions"))
                await hear(ws, "joined")
                reply = await ask(ws, type="publish", room="talk", data="word " * 10_000)
                self.assertEqual(reply["type"], "published")
                await asyncio.wait_for(await ws.ping(), PATIENCE)
