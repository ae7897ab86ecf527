"""The example `message_board`: row S9, and its faults."""

import asyncio
import subprocess
import unittest
from urllib.parse import urlencode

import websocket
import websockets
from example import PATIENCE, Example, Raw, text


class Board(unittest.TestCase):
    def setUp(self):
        self.example = self.enterContext(Example("message_board"))

    def tearDown(self):
        self.assertTrue(self.example.lives)
        ws = self.observe()
        ws.send("health")
        self.assertEqual(ws.recv(), "health")

    def observe(self):
        ws = websocket.create_connection(self.example.ws("/message/"), timeout=PATIENCE)
        self.addCleanup(ws.shutdown)
        return ws

    def test_every_observer_gets_what_was_sent_the_sender_too(self):
        observers = [self.observe() for _ in range(5)]
        for sent in (urlencode({"content": "实时 & 消息\r\n"}), "", "content=", "anything else", "{}", "x" * 100_000):
            observers[2].send(sent)
            for ws in observers:
                self.assertEqual(ws.recv(), sent)
        observers[0].send_binary(b"\0\xff")
        for ws in observers:
            self.assertEqual(ws.recv(), b"\0\xff")

    def test_the_next_observer_is_not_skipped_when_one_has_gone(self):
        for gone in range(5):
            observers = [Raw(self.example).upgrade("/message/") for _ in range(5)]
            observers.pop(gone).vanish()
            observers[0].send(text("who hears?"))
            for raw in observers:
                self.assertEqual(raw.frame(), (1, b"who hears?"))
                raw.vanish()

    def test_without_an_upgrade_it_is_not_there(self):
        for method in ("GET", "HEAD"):
            self.assertEqual(self.example.request(method, "/message/")[0], 404)
        url = f"http://127.0.0.1:{self.example.port}/message/"
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url]
        self.assertEqual(subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout, "404")
        status, _, page = self.example.request("GET", "/")
        self.assertEqual(status, 200)
        for words in ("<title>实时消息</title>", "<textarea", "发布", "清空", 'name="content"'):
            self.assertIn(words, page)

    def test_clients_that_have_gone_cost_no_processor_time(self):
        for _ in range(20):
            Raw(self.example).upgrade("/message/").vanish()
        before = self.example.cpu
        slow = Raw(self.example)
        self.addCleanup(slow.close)
        # Dropped after five seconds: a span that the server itself measures.
        slow.send(b"GET /")
        slow.rest()
        self.assertLess(self.example.cpu - before, 1)


class Order(unittest.IsolatedAsyncioTestCase):
    async def test_all_observers_see_one_order(self):
        with Example("message_board") as example:

            async def observe(n):
                async with websockets.connect(example.ws("/message/")) as ws:
                    here.release()
                    await go.wait()
                    for m in range(100):
                        await ws.send(f"content={n}-{m}")
                    return [await ws.recv() for _ in range(400)]

            here, go = asyncio.Semaphore(0), asyncio.Event()
            async with asyncio.timeout(PATIENCE):
                tasks = [asyncio.create_task(observe(n)) for n in range(4)]
                for _ in tasks:
                    await here.acquire()
                go.set()
                heard = await asyncio.gather(*tasks)
            for other in heard[1:]:
                self.assertEqual(other, heard[0])
            for n in range(4):
                mine = [words for words in heard[0] if words.startswith(f"content={n}-")]
                self.assertEqual(mine, [f"content={n}-{m}" for m in range(100)])
