"""The stock Python clients, sync and asyncio: the same rows for both, over each transport."""

import itertools
import os
import queue
import unittest

import engineio
import socketio
from peers import PATIENCE, TRANSPORTS, Async, Loop, Program, Sync

BYTES = bytes(i % 256 for i in range(300))
# Stock clients refuse an answer with more packets than this, and Node sends it all the same.
MANY = "Node's implementation fails here: it puts all that waits into one answer"


def setUpModule():
    Async.loop = Loop()


def tearDownModule():
    Async.loop.close()


class Rows(unittest.TestCase):
    """Runs each row with each client over each transport."""

    program = None
    variable = None
    flags = ()

    @classmethod
    def setUpClass(cls):
        if f"{cls.variable}_BIN" not in os.environ:
            raise unittest.SkipTest(f"{cls.variable}_BIN is not set")
        cls.program = Program(cls.variable, *cls.flags)
        cls.addClassCleanup(cls.program.close)

    def each(self, row, namespaces=("/",), many=False):
        """`many`: more than sixteen packets wait for one poll."""
        for kind in (Sync, Async):
            for name, transports in TRANSPORTS.items():
                with self.subTest(client=kind.__name__, transport=name):
                    if many and name != "websocket" and os.environ.get("REFERENCE") == "1":
                        self.skipTest(MANY)
                    self._once(row, kind, {"transports": transports}, namespaces)

    def _once(self, row, kind, given, usual):
        opened = []

        def client(namespaces=usual, query="", refused=False, **options):
            peer = kind(namespaces)
            opened.append(peer)
            arguments = {**given, **options, "namespaces": list(namespaces)}
            if not refused:
                peer.connect(self.program.url + query, **arguments)
                return peer
            with self.assertRaises(socketio.exceptions.ConnectionError):
                peer.connect(self.program.url + query, **arguments)
            return peer.hears("connect_error", namespaces[0])

        try:
            row(client)
        finally:
            for peer in opened:
                peer.close()


class Echo(Rows):
    variable = "ECHO"

    def test_auth_arrives_in_each_namespace(self):
        def row(client):
            peer = client(auth={"token": "123", "list": [1, None, "你"]})
            for namespace in ("/", "/custom"):
                self.assertEqual(peer.hears("auth", namespace), ({"token": "123", "list": [1, None, "你"]},))
                self.assertTrue(peer.sid(namespace))

        self.each(row, ("/", "/custom"))

    def test_without_auth_an_empty_object_arrives(self):
        self.each(lambda client: self.assertEqual(client().hears("auth"), ({},)))

    def test_arguments_come_back_as_they_went(self):
        def row(client):
            peer = client()
            for args in ((), ("text",), (1, -1.5, True, None, "héllo 你好 😀"), ({"z": [1, {"a": {}}]}, [])):
                peer.emit("message", *args)
                self.assertEqual(peer.hears("message-back"), args)

        self.each(row)

    def test_bytes_come_back_as_bytes(self):
        def row(client):
            peer = client()
            args = (b"", {"deep": [BYTES, "text"]}, BYTES)
            peer.emit("message", *args)
            self.assertEqual(peer.hears("message-back"), args)
            self.assertEqual(peer.call("message-with-ack", *args), args)

        self.each(row)

    def test_an_ack_carries_the_arguments(self):
        def row(client):
            peer = client()
            self.assertEqual(peer.call("message-with-ack", 1, "two", {"three": 3}), (1, "two", {"three": 3}))
            self.assertEqual(peer.call("message-with-ack", "one"), "one")
            self.assertIsNone(peer.call("message-with-ack"))

        self.each(row)

    def test_a_hundred_emits_in_one_go_come_back_in_order(self):
        def row(client):
            peer = client()
            for i in range(100):
                peer.emit("message", i, BYTES if i % 10 == 0 else "x" * i)
            for i in range(100):
                self.assertEqual(peer.hears("message-back"), (i, BYTES if i % 10 == 0 else "x" * i))

        self.each(row, many=True)

    def test_namespaces_share_the_connection_and_hear_only_their_own(self):
        def row(client):
            peer = client()
            for i in range(20):
                for namespace in ("/", "/custom"):
                    peer.emit("message", namespace, i, namespace=namespace)
            for i in range(20):
                for namespace in ("/", "/custom"):
                    self.assertEqual(peer.hears("message-back", namespace), (namespace, i))

        self.each(row, ("/", "/custom"), many=True)

    def test_an_invalid_namespace_is_refused(self):
        def row(client):
            self.assertEqual(client(("/nowhere",), refused=True), ({"message": "Invalid namespace"},))

        self.each(row)


class Demo(Rows):
    variable = "DEMO"
    flags = ("--no-recovery",)

    def test_welcome_says_who_one_is(self):
        def row(client):
            peer = client()
            for namespace in ("/", "/chat", "/dyn-12"):
                (welcome,) = peer.hears("welcome", namespace)
                self.assertEqual(welcome, {"sid": peer.sid(namespace), "ns": namespace, "recovered": False})

        self.each(row, ("/", "/chat", "/dyn-12"))

    def test_headers_and_query_of_the_handshake_arrive(self):
        def row(client):
            peer = client(query="?colour=light%20blue", headers={"x-test": "yes"}, auth={"token": "abc"})
            who = peer.call("whoami")
            self.assertEqual((who["sid"], who["ns"], who["xtest"]), (peer.sid(), "/", "yes"))
            self.assertEqual((who["auth"], who["query"]["colour"]), ({"token": "abc"}, "light blue"))

        self.each(row)

    def test_refusals_carry_their_message_and_data(self):
        def row(client):
            for namespace, query, error in (
                ("/admin", "", {"message": "not authorized", "data": {"code": 401}}),
                ("/", "?reject=1", {"message": "rejected", "data": {"code": "E_REJECT"}}),
            ):
                self.assertEqual(client((namespace,), query, refused=True), (error,))
            self.assertEqual(client(("/admin",), auth={"token": "secret"}).call("add", 1, 2, namespace="/admin"), 3)

        self.each(row)

    def test_rooms_reach_their_members_and_nobody_else(self):
        rooms = itertools.count()

        def row(client):
            # A client of the row before may still be in its room: the synchronous one sometimes leaves without a word.
            room = f"room-{next(rooms)}"
            one, two, three = client(), client(), client()
            for peer in (one, two):
                self.assertEqual(peer.call("join", room), [room])
            one.emit("to-room", room, {"bytes": BYTES})
            self.assertEqual(two.hears("room-msg"), ({"room": room, "from": one.sid(), "payload": {"bytes": BYTES}},))
            one.emit("in-room", room, 2)
            for peer in (one, two):
                self.assertEqual(peer.hears("room-msg"), ({"room": room, "from": one.sid(), "payload": 2},))
            one.emit("private", three.sid(), "marker")
            self.assertEqual(three.hears("private"), ({"from": one.sid(), "payload": "marker"},))
            self.assertTrue(three.ears.of("/", "room-msg").empty())
            self.assertEqual(two.call("leave", room), [])
            self.assertEqual(one.call("room-size", room), 1)

        self.each(row)

    def test_what_a_handler_returns_is_the_answer(self):
        def row(client):
            peer = client()
            for payload in ("text", {"a": [1]}, BYTES):
                peer.emit("ask-me", payload)
                self.assertEqual(peer.hears("answer"), (["heard", payload],))

        self.each(row)

    def test_bytes_are_told_from_text(self):
        def row(client):
            peer = client()
            self.assertEqual(peer.call("bin-info", BYTES), {"len": 300, "first": 0, "last": 43})
            self.assertEqual(peer.call("bin-info", "text"), {"error": "not binary"})
            self.assertEqual(peer.call("make-bin", 300), BYTES)

        self.each(row)

    def test_a_burst_arrives_whole_and_in_order(self):
        def row(client):
            peer = client()
            peer.emit("burst", 200, 100)
            for i in range(200):
                self.assertEqual(peer.hears("burst"), (i, "x" * 100))

        self.each(row, many=True)

    def test_a_kick_ends_one_namespace_and_a_drop_all(self):
        def row(client):
            peer = client()
            peer.emit("kick", namespace="/chat")
            self.assertEqual(peer.hears("disconnect", "/chat"), (peer.client.reason.SERVER_DISCONNECT,))
            self.assertEqual(peer.call("add", 1, 1), 2)
            peer.emit("drop")
            peer.hears("disconnect")

        self.each(row, ("/", "/chat"))

    def test_a_heartbeat_or_two_keeps_it(self):
        def row(client):
            peer = client()
            self.assertEqual(peer.call("slow-ack", 4500), "late")
            self.assertTrue(peer.ears.of("/", "disconnect").empty())

        self.each(row)


class Engine(unittest.TestCase):
    def test_a_hundred_messages_come_back_in_order(self):
        if "ENGINE_BIN" not in os.environ:
            self.skipTest("ENGINE_BIN is not set")
        program = Program("ENGINE")
        self.addCleanup(program.close)
        for name, transports in TRANSPORTS.items():
            with self.subTest(transport=name):
                if name != "websocket" and os.environ.get("REFERENCE") == "1":
                    self.skipTest(MANY)
                heard = queue.Queue()
                client = engineio.Client()
                client.on("message", heard.put)
                client.connect(program.url, transports=transports)
                sent = [BYTES if i % 10 == 0 else f"{i} 你" for i in range(100)]
                for message in sent:
                    client.send(message)
                self.assertEqual([heard.get(timeout=PATIENCE) for _ in sent], sent)
                client.disconnect()


if __name__ == "__main__":
    unittest.main()
