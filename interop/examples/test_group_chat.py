"""The example `group_chat`: rows S6 and S14, and the faults of both."""

import asyncio
import json
import unittest
from urllib.parse import quote

import websocket
import websockets
from example import PATIENCE, Example, Raw, masked, text

RAW, OBJECT = "/ws/", "/"


class Chat(unittest.TestCase):
    def setUp(self):
        self.example = self.enterContext(Example("group_chat"))

    def tearDown(self):
        # Whatever was done: it lives, and two newcomers talk.
        self.assertTrue(self.example.lives)
        ann, bob = self.join(RAW, "health-a"), self.join(RAW, "health-b")
        ann.send("still there?")
        self.assertEqual(self.hears(bob), {"sender": "health-a", "msg": "still there?"})

    def join(self, style, name):
        ws = websocket.create_connection(self.example.ws(style + quote(name, safe="")), timeout=PATIENCE)
        self.addCleanup(ws.shutdown)
        return ws

    @staticmethod
    def hears(ws):
        return json.loads(ws.recv())

    @staticmethod
    def says(ws, username, msg):
        ws.send(json.dumps({"username": username, "msg": msg}))

    def silent(self, ws):
        """Nothing waits for it: its own nonsense is answered first. Works where an answer is due to everything bad."""
        ws.send_binary(b"?")
        self.assertEqual(self.hears(ws)["error"], "unsupported_data")

    def test_the_other_nicknames_hear_raw_text_and_the_sender_does_not(self):
        ann, bob, carl = (self.join(RAW, name) for name in ("ann", "bob", "张三"))
        for words in ("大家好", "", '{"msg": "not an object to you"}', "<b>", "x" * 100_000):
            ann.send(words)
            for other in (bob, carl):
                self.assertEqual(self.hears(other), {"sender": "ann", "msg": words})
        carl.send("收到")
        self.assertEqual(self.hears(ann), {"sender": "张三", "msg": "收到"})
        self.silent(carl)

    def test_all_connections_of_a_nickname_hear_and_none_of_the_senders_own(self):
        first, second, bob, bobs = (self.join(RAW, name) for name in ("ann", "ann", "bob", "bob"))
        first.send("one")
        second.send("two")
        for ws in (bob, bobs):
            # Two connections: no order between them.
            heard = {self.hears(ws)["msg"], self.hears(ws)["msg"]}
            self.assertEqual(heard, {"one", "two"})
        self.silent(first)
        self.silent(second)
        # The one that came first still receives when the second has gone.
        second.close()
        bob.send("still?")
        self.assertEqual(self.hears(first), {"sender": "bob", "msg": "still?"})

    def test_with_objects_everybody_but_the_sender_hears(self):
        xiao, ming, again = (self.join(OBJECT, name) for name in ("xiao", "ming", "xiao"))
        self.says(xiao, "xiao", "开 3 个网页")
        for ws in (ming, again):
            self.assertEqual(self.hears(ws), {"username": "xiao", "msg": "开 3 个网页"})
        self.silent(xiao)

    def test_the_name_is_the_one_in_the_url(self):
        eve, ming = self.join(OBJECT, "eve"), self.join(OBJECT, "ming")
        self.says(eve, "boss", "transfer the money")
        self.assertEqual(self.hears(ming)["username"], "eve")
        eve.send('{"msg": "no name at all"}')
        self.assertEqual(self.hears(ming), {"username": "eve", "msg": "no name at all"})

    def test_what_is_no_message_is_answered_and_the_sender_stays(self):
        ann, bob = self.join(OBJECT, "ann"), self.join(OBJECT, "bob")
        bad = ("", "null", "[]", "{", "{}", '{"msg": 1}', '{"msg": null}', '"text"', '{"msg": "a"} x', "[" * 100_000)
        for words in bad:
            ann.send(words)
            self.assertEqual(self.hears(ann)["error"], "bad_message", words[:20])
        ann.send_binary(b'{"msg": "binary"}')
        self.assertEqual(self.hears(ann)["error"], "unsupported_data")
        self.says(ann, "ann", "the first good one")
        self.assertEqual(self.hears(bob)["msg"], "the first good one")

    def test_the_two_styles_are_two_crowds(self):
        raw, listens = self.join(RAW, "ann"), self.join(RAW, "bob")
        object_, hears = self.join(OBJECT, "ann"), self.join(OBJECT, "bob")
        raw.send("raw")
        self.says(object_, "ann", "object")
        self.assertEqual(self.hears(listens), {"sender": "ann", "msg": "raw"})
        self.assertEqual(self.hears(hears), {"username": "ann", "msg": "object"})

    def test_a_plain_request_is_no_user(self):
        bob = self.join(OBJECT, "bob")
        status, headers, page = self.example.request("GET", "/ws/ann")
        self.assertEqual((status, headers["Upgrade"]), (426, "websocket"))
        self.assertIn("请使用Websocket链接", page)
        self.assertIn("你的昵称", page)
        for path in ("/favicon.ico", "/ann", "/robots.txt"):
            self.assertEqual(self.example.request("GET", path)[0], 426, path)
        for path in ("/", "/ws"):
            status, _, page = self.example.request("GET", path)
            self.assertEqual(status, 200)
            self.assertNotIn("请使用Websocket链接", page)
        self.assertEqual(self.example.request("GET", "/ws/")[0], 404)
        self.assertEqual(self.example.request("GET", "/a/b")[0], 404)
        self.silent(bob)

    def test_the_end_of_a_connection_is_no_message(self):
        bob = self.join(RAW, "bob")
        for end in (Raw.vanish, Raw.close, lambda raw: raw.send(masked(0x88, b"\x03\xe8"))):
            raw = Raw(self.example).upgrade("/ws/ann")
            raw.send(text("before the end"))
            self.assertEqual(self.hears(bob), {"sender": "ann", "msg": "before the end"})
            end(raw)
            self.addCleanup(raw.close)
        self.silent(bob)

    def test_dead_receivers_hold_up_nobody_and_cost_nothing(self):
        ann, bob = self.join(RAW, "ann"), self.join(RAW, "bob")
        deaf = [Raw(self.example).upgrade(f"/ws/deaf{n}") for n in range(20)]
        for n in range(50):
            ann.send(str(n))
            if n % 5 == 0 and deaf:
                deaf.pop().vanish()
            self.assertEqual(self.hears(bob)["msg"], str(n))
        before = self.example.cpu
        for raw in deaf:
            raw.vanish()
        slow = Raw(self.example)
        self.addCleanup(slow.close)
        # Dropped after five seconds: a span that the server itself measures.
        slow.send(b"GET /")
        slow.rest()
        self.assertLess(self.example.cpu - before, 1)


class Crowd(unittest.IsolatedAsyncioTestCase):
    async def test_nobody_misses_anything_while_others_come_and_go(self):
        with Example("group_chat") as example:
            async with asyncio.timeout(PATIENCE), websockets.connect(example.ws("/ws/teller")) as teller:
                async def come_and_go(n):
                    # Few enough for the limit on new connections.
                    for _ in range(5):
                        async with websockets.connect(example.ws(f"/ws/guest{n}")):
                            pass

                async def listen(n):
                    async with websockets.connect(example.ws(f"/ws/regular{n}")) as ws:
                        ready.release()
                        return [json.loads(await ws.recv())["msg"] for _ in range(300)]

                ready = asyncio.Semaphore(0)
                regulars = [asyncio.create_task(listen(n)) for n in range(10)]
                for _ in regulars:
                    await ready.acquire()
                guests = [asyncio.create_task(come_and_go(n)) for n in range(4)]
                for n in range(300):
                    await teller.send(str(n))
                    await asyncio.sleep(0)
                for heard in await asyncio.gather(*regulars):
                    self.assertEqual(heard, [str(n) for n in range(300)])
                await asyncio.gather(*guests)
