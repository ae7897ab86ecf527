"""The examples `consumer` and `group_consumer`: rows S11 and S12, and their faults."""

import asyncio
import unittest

import websocket
import websockets
from example import PATIENCE, Example, Raw, masked, text


class Program:
    NAME, FLAGS = None, ()

    def setUp(self):
        self.example = self.enterContext(Example(self.NAME, *self.FLAGS))

    def connect(self):
        ws = websocket.create_connection(self.example.ws("/x1/"), timeout=PATIENCE)
        self.addCleanup(ws.shutdown)
        return ws

    def test_the_page_is_there_and_the_path_is_exact(self):
        status, _, page = self.example.request("GET", "/")
        self.assertEqual(status, 200)
        for words in ('id="tips"', 'id="content"', 'id="txt"', "连接成功"):
            self.assertIn(words, page)
        self.assertEqual(self.example.request("GET", "/x1/")[0], 426)
        for path in ("/x1", "/x1/x", "/x2/"):
            self.assertEqual(self.example.request("GET", path)[0], 404, path)

    def test_clients_that_vanish_take_nobody_along(self):
        stays = self.connect()
        for _ in range(10):
            raw = Raw(self.example).upgrade("/x1/")
            raw.send(masked(0x81, b"\xc3\x28"))
            self.assertEqual(raw.closed(), 1007)
            raw.close()
            Raw(self.example).upgrade("/x1/").vanish()
        stays.send("还在")
        self.assertTrue(stays.recv())
        self.assertTrue(self.example.lives)


class Consumer(Program, unittest.TestCase):
    NAME = "consumer"

    def test_any_message_is_answered_to_that_client_alone(self):
        ann, bob = self.connect(), self.connect()
        for words in ("你好", "", "{}", "x" * 100_000):
            ann.send(words)
            self.assertEqual(ann.recv(), "收到了")
        ann.send_binary(b"\0\xff")
        self.assertEqual(ann.recv(), "收到了")
        bob.send("first")
        bob.close()
        self.assertEqual(self.example.prints("断开")[-4:], "1000")

    def test_who_comes_and_goes_is_printed_and_nothing_that_is_said(self):
        raw = Raw(self.example).upgrade("/x1/")
        self.assertIn("127.0.0.1", self.example.prints("有人来了"))
        raw.send(text("a secret"))
        self.assertEqual(raw.frame()[1].decode(), "收到了")
        raw.vanish()
        self.assertEqual(self.example.printed.get(timeout=PATIENCE), "连接断开了 1006")


class GroupConsumer(Program, unittest.TestCase):
    NAME = "group_consumer"

    def test_every_member_gets_raw_text_the_sender_too(self):
        members = [self.connect() for _ in range(4)]
        for words in ("大家好", "", '{"type": "xxx.ooo"}', "<b>", "x" * 100_000):
            members[1].send(words)
            for ws in members:
                self.assertEqual(ws.recv(), words)

    def test_bytes_are_asked_for_as_text_and_the_member_stays(self):
        ann, bob = self.connect(), self.connect()
        ann.send_binary(b"\0\xff")
        self.assertEqual(ann.recv(), "请发送文本")
        ann.send("好")
        self.assertEqual((ann.recv(), bob.recv()), ("好", "好"))

    def test_who_has_left_is_no_member(self):
        ann, bob = self.connect(), self.connect()
        for _ in range(5):
            bob.close()
            ann.send("without bob")
            self.assertEqual(ann.recv(), "without bob")
            bob = self.connect()
            ann.send("with bob")
            self.assertEqual((ann.recv(), bob.recv()), ("with bob", "with bob"))


class GroupRoute(GroupConsumer):
    FLAGS = ("--style", "route")


class Order(unittest.IsolatedAsyncioTestCase):
    async def test_all_members_get_one_order_in_both_styles(self):
        for style in ("consumer", "route"):
            with Example("group_consumer", "--style", style) as example:

                async def member(n):
                    async with websockets.connect(example.ws("/x1/")) as ws:
                        here.release()
                        await go.wait()
                        for m in range(100):
                            await ws.send(f"{n}-{m}")
                        return [await ws.recv() for _ in range(400)]

                here, go = asyncio.Semaphore(0), asyncio.Event()
                async with asyncio.timeout(PATIENCE):
                    tasks = [asyncio.create_task(member(n)) for n in range(4)]
                    for _ in tasks:
                        await here.acquire()
                    go.set()
                    heard = await asyncio.gather(*tasks)
                for other in heard[1:]:
                    self.assertEqual(other, heard[0], style)
                for n in range(4):
                    mine = [words for words in heard[0] if words.startswith(f"{n}-")]
                    self.assertEqual(mine, [f"{n}-{m}" for m in range(100)], style)
