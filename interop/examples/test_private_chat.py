"""The example `private_chat`: rows S7 and S15, and the faults of both."""

import json
import unittest
from urllib.parse import quote

import websocket
from example import PATIENCE, Example, Raw, masked, until


class Style:
    """Where it connects, and under what key the addressee finds the sender's name."""

    PATH, FROM = "/ws/", "sender"

    def setUp(self):
        self.example = self.enterContext(Example("private_chat"))

    def tearDown(self):
        self.assertTrue(self.example.lives)
        ann, bob = self.join("health-a"), self.join("health-b")
        self.says(ann, "health-b", "still there?")
        self.assertEqual(self.hears(bob), {self.FROM: "health-a", "msg": "still there?"})

    def join(self, name):
        ws = websocket.create_connection(self.example.ws(self.PATH + quote(name, safe="")), timeout=PATIENCE)
        self.addCleanup(ws.shutdown)
        return ws

    @staticmethod
    def hears(ws):
        return json.loads(ws.recv())

    @staticmethod
    def says(ws, to, msg):
        ws.send(json.dumps({"to_user": to, "msg": msg}))

    def silent(self, ws):
        """Nothing waits for it: its own nonsense is answered first."""
        ws.send("?")
        self.assertEqual(self.hears(ws)["error"], "bad_message")

    def test_only_the_addressee_hears_on_all_its_connections(self):
        ann, bob, again, carl = (self.join(name) for name in ("ann", "张三", "张三", "carl"))
        for msg in ("只给你", "", "<script>alert(1)</script>", "x" * 100_000):
            self.says(ann, "张三", msg)
            for ws in (bob, again):
                self.assertEqual(self.hears(ws), {self.FROM: "ann", "msg": msg})
        for ws in (ann, bob, again, carl):
            self.silent(ws)
        # The first one still receives when the second has gone.
        again.close()
        self.says(carl, "张三", "还在吗")
        self.assertEqual(self.hears(bob), {self.FROM: "carl", "msg": "还在吗"})

    def test_one_may_write_to_oneself(self):
        ann = self.join("ann")
        self.says(ann, "ann", "note")
        self.assertEqual(self.hears(ann), {self.FROM: "ann", "msg": "note"})

    def test_an_unknown_addressee_is_told_to_the_sender_who_stays(self):
        ann, bob = self.join("ann"), self.join("bob")
        self.says(ann, "nobody", "hello?")
        refused = self.hears(ann)
        self.assertEqual(refused["error"], "no_such_user")
        self.assertIn("nobody", refused["message"])
        self.says(ann, "bob", "then you")
        self.assertEqual(self.hears(bob)["msg"], "then you")

    def test_who_has_left_is_unknown_however_it_left(self):
        ann = self.join("ann")
        for end in (Raw.vanish, Raw.close, lambda raw: raw.send(masked(0x88, b"\x03\xe8"))):
            raw = Raw(self.example).upgrade(self.PATH + "bob")
            self.addCleanup(raw.close)
            self.says(ann, "bob", "there?")
            self.assertEqual(json.loads(raw.frame()[1])["msg"], "there?")
            end(raw)

            def asked():
                self.says(ann, "bob", "and now?")
                ann.send("?")
                return self.hears(ann)["error"], raw

            # As soon as the server has noticed; until then the message may go to the connection that ends.
            errors = until(asked, lambda seen: seen[0] == "no_such_user", "forgetting")
            self.assertEqual(errors[0], "no_such_user")
            self.assertEqual(self.hears(ann)["error"], "bad_message")

    def test_what_is_no_message_is_answered_and_the_sender_stays(self):
        ann, bob = self.join("ann"), self.join("bob")
        bad = ["", "null", "[]", "{", "{}", '{"to_user": "bob"}', '{"msg": "to whom?"}', '{"to_user": 1, "msg": "x"}']
        bad += ['{"to_user": "bob", "msg": 1}', '{"to_user": null, "msg": "x"}', '{"to_user": ["bob"], "msg": "x"}']
        for words in bad:
            ann.send(words)
            self.assertEqual(self.hears(ann)["error"], "bad_message", words)
        ann.send_binary(b'{"to_user": "bob", "msg": "binary"}')
        self.assertEqual(self.hears(ann)["error"], "unsupported_data")
        self.says(ann, "bob", "the first good one")
        self.assertEqual(self.hears(bob)["msg"], "the first good one")

    def test_the_name_is_the_one_in_the_url(self):
        eve, bob = self.join("eve"), self.join("bob")
        eve.send(json.dumps({"to_user": "bob", "msg": "it is me", self.FROM: "boss", "username": "boss"}))
        self.assertEqual(self.hears(bob), {self.FROM: "eve", "msg": "it is me"})

    def test_nothing_that_is_said_is_printed(self):
        ann, bob = self.join("ann"), self.join("bob")
        self.says(ann, "bob", "a secret")
        self.assertEqual(self.hears(bob)["msg"], "a secret")
        self.assertTrue(self.example.printed.empty())

    def test_a_plain_request_is_no_user(self):
        ann = self.join("ann")
        self.assertEqual(self.example.request("GET", self.PATH + "bob")[0], 426)
        self.assertEqual(self.example.request("GET", "/favicon.ico")[0], 426)
        self.says(ann, "bob", "there?")
        self.assertEqual(self.hears(ann)["error"], "no_such_user")


class Nickname(Style, unittest.TestCase):
    def test_the_plain_answer_is_the_page_and_says_what_to_use(self):
        status, headers, page = self.example.request("GET", "/ws/ann")
        self.assertEqual((status, headers["Upgrade"]), (426, "websocket"))
        self.assertIn("请使用Websocket链接", page)
        self.assertIn("与谁说话", page)


class Username(Style, unittest.TestCase):
    PATH, FROM = "/", "from_user"

    def test_both_pages_are_there(self):
        for path in ("/", "/ws"):
            status, _, page = self.example.request("GET", path)
            self.assertEqual(status, 200)
            self.assertIn("与谁说话", page)
