"""The example `hello`: row S16, with the tutorial's own client."""

import asyncio
import unittest

import websocket
import websockets
from example import PATIENCE, Example, Raw, masked, text


class Hello(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.example = self.enterContext(Example("hello"))

    async def hello(self, name):
        """The client of the tutorial, and how it ends."""
        async with websockets.connect(self.example.ws()) as ws:
            await ws.send(name)
            greeting = await ws.recv()
            with self.assertRaises(websockets.ConnectionClosed) as closed:
                await ws.recv()
            return greeting, closed.exception.rcvd.code

    async def test_a_name_is_greeted_and_the_connection_ends_with_1000(self):
        for name in ("ann", "张三", "", "<b>bob</b>", "x" * 100_000, "two\nlines"):
            self.assertEqual(await self.hello(name), (f"hello {name}", 1000))

    async def test_many_clients_at_once_are_each_greeted(self):
        async with asyncio.timeout(PATIENCE):
            greetings = await asyncio.gather(*(self.hello(f"p{n}") for n in range(50)))
        self.assertEqual(greetings, [(f"hello p{n}", 1000) for n in range(50)])

    async def test_one_question_has_one_answer(self):
        async with websockets.connect(self.example.ws()) as ws:
            await ws.send("ann")
            await ws.send("bob")
            self.assertEqual([words async for words in ws], ["hello ann"])


class Faults(unittest.TestCase):
    def setUp(self):
        self.example = self.enterContext(Example("hello"))

    def tearDown(self):
        self.assertTrue(self.example.lives)
        ws = websocket.create_connection(self.example.ws(), timeout=PATIENCE)
        ws.send("health")
        self.assertEqual(ws.recv(), "hello health")
        ws.close()

    def upgraded(self):
        raw = Raw(self.example)
        self.addCleanup(raw.close)
        return raw.upgrade()

    def test_what_is_no_name_ends_with_a_code(self):
        for sent, code in [
            (masked(0x82, b"\x01"), 1003),
            (b"\x81\x02hi", 1002),
            (masked(0x81, b"\xc3\x28"), 1007),
            (b"\x81\xff" + (2_000_000).to_bytes(8, "big") + b"\0\0\0\0", 1009),
            (masked(0x88, b"\x03\xe8"), 1000),
        ]:
            raw = self.upgraded()
            raw.send(sent)
            self.assertEqual(raw.closed(), code, sent[:10])

    def test_a_name_in_pieces_is_one_name(self):
        raw = self.upgraded()
        name = "张三".encode()
        raw.drip(masked(0x01, name[:2]) + masked(0x89, b"") + masked(0x80, name[2:]))
        self.assertEqual(raw.frame(), (10, b""))
        self.assertEqual(raw.frame(), (1, b"hello " + name))
        self.assertEqual(raw.closed(), 1000)

    def test_clients_that_say_nothing_or_vanish_hold_up_nobody(self):
        for _ in range(10):
            self.upgraded()
            self.upgraded().vanish()
            asked = self.upgraded()
            asked.send(text("gone before the answer"))
            asked.vanish()

    def test_clients_that_vanish_cost_no_processor_time(self):
        for _ in range(10):
            self.upgraded().vanish()
        before = self.example.cpu
        # Dropped after five seconds: a span that the server itself measures.
        slow = Raw(self.example)
        self.addCleanup(slow.close)
        slow.send(b"GET /")
        slow.rest()
        self.assertLess(self.example.cpu - before, 1)

    def test_other_paths_and_plain_requests_are_no_clients(self):
        self.assertEqual(self.example.request("GET", "/")[0], 426)
        self.assertEqual(self.example.request("GET", "/favicon.ico")[0], 404)
        self.assertEqual(self.example.request("POST", "/", "ann")[0], 405)
