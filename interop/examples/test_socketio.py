"""The example `socketio`: rows S19 and S20, with python-socketio's sync and asyncio clients over each transport."""

import json
import os
import socket
import struct
import sys
import unittest

import socketio
import websocket
from example import PATIENCE, Example, Raw, until

# The clients are driven as the tests of every other Socket.IO program drive them.
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "socketio"))
from peers import TRANSPORTS, Async, Loop, Sync

FOOBAR = ({"data": "foobar"},)
NAMESPACES = ("/", "/chat", "/test")
ENDS = ("client namespace disconnect", "transport close")
PATH = "/socket.io/?EIO=4&transport="


def setUpModule():
    Async.loop = Loop()


def tearDownModule():
    Async.loop.close()


class Rows(unittest.TestCase):
    """Each row with each client over each transport, against a program that nobody has used before."""

    def each(self, row):
        for kind in (Sync, Async):
            for name, transports in TRANSPORTS.items():
                with self.subTest(client=kind.__name__, transport=name), Example("socketio") as self.example:
                    opened = []

                    def client(username=None, refused=False, namespaces=("/",), auth=None):
                        peer = kind(namespaces)
                        opened.append(peer)
                        auth = auth if username is None else {"username": username}
                        given = {"transports": transports, "namespaces": list(namespaces), "auth": auth}
                        if not refused:
                            peer.connect(self.example.url(), **given)
                            return peer
                        with self.assertRaises(socketio.exceptions.ConnectionError):
                            peer.connect(self.example.url(), **given)
                        return peer.hears("connect_error")

                    try:
                        row(client)
                        self.assertTrue(self.example.lives)
                    finally:
                        for peer in opened:
                            goodbye(peer)

    def silent(self, peer, name, namespace="/"):
        """It has not heard this. What was emitted before is there once a later question is answered."""
        peer.call("whoami")
        self.assertTrue(peer.ears.of(namespace, name).empty(), name)


def goodbye(peer):
    """Closes. While it posts something, the stock client forgets its goodbye and stays until the next ping."""
    if peer.client.connected:
        peer.run(peer.client.eio.queue.join())
    peer.close()


class Events(Rows):
    def test_my_event_is_answered_with_my_event_to_everybody(self):
        def row(client):
            ann, bob, chat = client("ann"), client(), client(namespaces=("/", "/chat"))
            self.assertIsNone(ann.call("my_event", {"any": "thing"}))
            bob.emit("my_event")
            for peer in (ann, bob, chat):
                for _ in range(2):
                    self.assertEqual(peer.hears("my event"), FOOBAR)
            self.silent(chat, "my event", "/chat")

        self.each(row)

    def test_my_custom_event_reaches_one_client(self):
        def row(client):
            ann, bob, eve = client(), client(), client()
            self.assertIs(ann.call("my custom event"), True)
            for data in ({"data": 1}, "text", 1, None, b"\0", {"room": 1}):
                self.assertIs(ann.call("my custom event", data), True)
            for _ in range(7):
                self.assertEqual(ann.hears("my event"), FOOBAR)
            self.assertIs(ann.call("my custom event", {"room": bob.sid()}), True)
            self.assertEqual(bob.hears("my event"), FOOBAR)
            self.silent(ann, "my event")
            self.silent(eve, "my event")

        self.each(row)

    def test_whoever_is_not_there_is_said_to_be_missing_and_the_sender_stays(self):
        def row(client):
            ann, bob = client(), client()
            sid = bob.sid()
            goodbye(bob)
            until(lambda: ann.call("my custom event", {"room": sid}), lambda there: there is False, "bob left")
            for room in ("nobody", "", "chat_users"):
                self.assertIs(ann.call("my custom event", {"room": room}), False)
            self.assertIsNone(ann.call("whoami"))
            self.silent(ann, "my event")

        self.each(row)

    def test_message_is_answered_with_what_everybody_returned(self):
        def row(client):
            ann, bob, eve = client("ann"), client(), client()
            ann.ears.answers["my event"] = lambda data: f"got {data['data']}"
            bob.ears.answers["my event"] = lambda data: {"of": "bob", "bytes": b"\0\1"}
            answers, missing = ann.call("message", "to all")
            self.assertEqual(missing, 0)
            self.assertEqual(len(answers), 3)
            for answer in ("got foobar", {"of": "bob", "bytes": b"\0\1"}, None):
                self.assertIn(answer, answers)
            for peer in (ann, bob, eve):
                self.assertEqual(peer.hears("my event"), FOOBAR)
            # Nobody has to wait for the result.
            ann.emit("message")
            self.assertEqual(eve.hears("my event"), FOOBAR)

        self.each(row)

    def test_the_simple_client_hears_nothing_but_the_data(self):
        example, heard = self.enterContext(Example("socketio")), []
        client = socketio.SimpleClient()
        self.addCleanup(client.disconnect)
        client.connect(example.url())
        for name in ("my_event", "my custom event", "message"):
            client.emit(name, {"data": 1})
            heard.append(client.receive(timeout=PATIENCE))
        self.assertEqual(heard, [["my event", *FOOBAR]] * 3)


class Door(Rows):
    def test_refused_is_refused_with_these_words_and_hears_nothing(self):
        def row(client):
            ann = client("ann")
            self.assertEqual(client("refused", refused=True), ({"message": "authentication failed"},))
            self.assertEqual(ann.call("message"), ([None], 0))
            # Namesakes of it are none.
            self.assertEqual(client("Refused").call("whoami"), "Refused")

        self.each(row)

    def test_a_name_that_is_no_text_is_refused_with_the_reason(self):
        def row(client):
            for auth in ({"username": 1}, {"username": ["ann"]}, {"username": {"a": 1}}):
                ((answer),) = client(auth=auth, refused=True)
                self.assertIn("string", answer["message"])
            self.assertIsNone(client(auth={"other": 1}).call("whoami"))

        self.each(row)

    def test_one_who_is_refused_may_enter_other_namespaces(self):
        def row(client):
            with self.assertRaises(socketio.exceptions.ConnectionError):
                client("refused", namespaces=NAMESPACES)
            ann = client(auth={"username": "ann"}, namespaces=NAMESPACES)
            self.assertEqual(len({ann.sid(namespace) for namespace in NAMESPACES}), 3)

        self.each(row)

    def test_comings_and_goings_are_printed_and_words_are_not(self):
        def row(client):
            ann = client("ann\x1b[2J")
            sid = ann.sid()
            self.assertEqual(self.example.prints("connect"), f"connect {sid} from 127.0.0.1")
            ann.call("my_event", "a secret word")
            self.assertEqual(self.example.prints(""), f"my_event from {sid}")
            ann.call("message", "a secret word")
            self.assertEqual(self.example.prints(""), r'message from Some("ann\u{1b}[2J")')
            goodbye(ann)
            # Whether the packet that says so overtakes the end of the line is up to the client.
            self.assertIn(self.example.prints("disconnect"), [f"disconnect {sid}: {why}" for why in ENDS])

        self.each(row)


class Rooms(Rows):
    def test_my_message_reaches_the_room_but_the_sender(self):
        def row(client):
            ann, bob, eve = client("ann"), client("bob"), client("eve")
            for peer in (ann, bob):
                self.assertIs(peer.call("begin_chat"), True)
            for data in ("你好", {"a": [1, None]}, b"\0\xff", 0, None):
                self.assertIsNone(ann.call("my_message", data))
                self.assertEqual(bob.hears("my reply"), (data,))
            # Whoever is outside may speak and does not hear.
            eve.emit("my_message", "from outside", 2)
            for peer in (ann, bob):
                self.assertEqual(peer.hears("my reply"), ("from outside", 2))
            self.silent(ann, "my reply")
            self.silent(eve, "my reply")

        self.each(row)

    def test_a_room_is_entered_and_left_as_often_as_one_likes(self):
        def row(client):
            ann, bob = client(), client()
            for name in ("exit_chat", "begin_chat", "begin_chat"):
                self.assertIs(ann.call(name), True)
            bob.call("my_message", 1)
            self.assertEqual(ann.hears("my reply"), (1,))
            self.assertIs(ann.call("exit_chat"), True)
            bob.call("my_message", 2)
            self.silent(ann, "my reply")
            # The original's handlers take no data; whoever sends some is served.
            self.assertIs(ann.call("begin_chat", {"x": 1}), True)

        self.each(row)

    def test_whoever_comes_back_has_left_the_room(self):
        def row(client):
            ann, bob = client(), client()
            ann.call("begin_chat")
            goodbye(ann)
            ann = client()
            bob.call("my_message", "anybody?")
            self.silent(ann, "my reply")

        self.each(row)


class Namespaces(Rows):
    def test_in_chat_my_custom_event_comes_back(self):
        def row(client):
            ann, bob = client(namespaces=NAMESPACES), client(namespaces=NAMESPACES)
            for data in ("text", {"data": [1]}, b"\1\2"):
                ann.emit("my custom event", data, namespace="/chat")
                self.assertEqual(ann.hears("my custom event", "/chat"), (data,))
            self.assertEqual(ann.call("my custom event", "asked", namespace="/chat"), "asked")
            self.silent(bob, "my custom event", "/chat")
            self.silent(ann, "my custom event")

        self.each(row)

    def test_the_class_answers_my_event_to_all_of_test_and_ignores_the_rest(self):
        def row(client):
            ann, bob = client(namespaces=NAMESPACES), client(namespaces=("/", "/test"))
            for name in ("nonsense", "my_response", "on_my_event", "my custom event"):
                ann.emit(name, 1, namespace="/test")
            for data in ({"data": 1}, "text", b"\0"):
                ann.emit("my_event", data, namespace="/test")
                for peer in (ann, bob):
                    self.assertEqual(peer.hears("my_response", "/test"), (data,))
            self.assertIsNone(ann.call("my_event", "asked", namespace="/test"))
            self.silent(ann, "my event")
            self.silent(ann, "my_response")

        self.each(row)

    def test_there_are_no_other_namespaces(self):
        def row(client):
            ann = client("ann", namespaces=NAMESPACES)
            with self.assertRaises(socketio.exceptions.ConnectionError):
                client(namespaces=("/nowhere",))
            self.assertEqual(ann.call("whoami"), "ann")

        self.each(row)


class Sessions(Rows):
    def test_each_client_has_its_own_name(self):
        def row(client):
            peers = {name: client(name) for name in ("ann", "bob", "张三", "", "x" * 1000)}
            nobody, namesake = client(), client("ann")
            for name, peer in peers.items():
                self.assertEqual(peer.call("whoami"), name)
            self.assertIsNone(nobody.call("whoami"))
            goodbye(peers["ann"])
            self.assertEqual(namesake.call("whoami"), "ann")

        self.each(row)

    def test_it_is_gone_after_a_disconnect(self):
        def row(client):
            ann = client("ann")
            sid = ann.sid()
            goodbye(ann)
            ann = client()
            self.assertNotEqual(ann.sid(), sid)
            self.assertIsNone(ann.call("whoami"))

        self.each(row)


class Line:
    """A client by hand, over WebSocket; `auth` goes with the packet that enters `/`."""

    def __init__(self, example, auth=None):
        self.ws = websocket.create_connection(example.ws(PATH + "websocket"), timeout=PATIENCE)
        self.opened = json.loads(self.ws.recv()[1:])
        self.ws.send("40" + ("" if auth is None else json.dumps(auth)))
        first = self.ws.recv()
        assert first.startswith("40"), first
        self.entered = json.loads(first[2:])

    def recv(self):
        """The next packet that is no ping, or None at the end."""
        while (packet := self.ws.recv()) == "2":
            self.ws.send("3")
        return packet or None

    def call(self, *event):
        """The ack; what comes before it is forgotten."""
        self.ws.send("427" + json.dumps(event))
        while not (packet := self.recv()).startswith("437"):
            pass
        return json.loads(packet[3:])

    def vanish(self):
        self.ws.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.ws.shutdown()


class Recovery(unittest.TestCase):
    """A flap must not cost a session where the client asks for it."""

    def setUp(self):
        self.example = self.enterContext(Example("socketio", "--recover", "60"))

    def back(self, line, offset):
        auth = {"pid": line.entered["pid"], "offset": offset}
        return Line(self.example, auth)

    def test_a_line_that_breaks_costs_neither_session_nor_room_nor_event(self):
        ann, bob = Line(self.example, {"username": "ann"}), Line(self.example)
        self.addCleanup(bob.ws.close)
        for _ in range(3):
            self.assertEqual(ann.call("begin_chat"), [True])
            bob.call("my_message", "before")
            name, data, offset = json.loads(ann.recv()[2:])
            self.assertEqual((name, data), ("my reply", "before"))
            ann.vanish()
            bob.call("my_message", "meanwhile")
            back = self.back(ann, offset)
            self.assertEqual(back.entered, ann.entered)
            self.assertEqual(json.loads(back.recv()[2:])[:2], ["my reply", "meanwhile"])
            self.assertEqual(back.call("whoami"), ["ann"])
            ann = back
        ann.ws.close()

    def test_it_is_gone_after_a_goodbye(self):
        ann = Line(self.example, {"username": "ann"})
        ann.ws.send("41")
        ann.ws.close()
        back = self.back(ann, None)
        self.addCleanup(back.ws.close)
        self.assertNotEqual(back.entered["sid"], ann.entered["sid"])
        self.assertEqual(back.call("whoami"), [None])

    def test_nobody_has_it_by_a_guess_or_an_id(self):
        ann = Line(self.example, {"username": "ann"})
        for pid in ("secret!", "", ann.entered["sid"], ann.entered["pid"][:-1], ann.entered["pid"] + "A"):
            eve = Line(self.example, {"pid": pid})
            self.assertEqual(eve.call("whoami"), [None], pid)
        self.assertEqual(ann.call("whoami"), ["ann"])
        ann.ws.close()


class Faults(unittest.TestCase):
    def setUp(self):
        self.example = self.enterContext(Example("socketio"))

    def tearDown(self):
        self.assertTrue(self.example.lives)
        self.assertEqual(self.line({"username": "health"}).call("whoami"), ["health"])

    def line(self, auth=None):
        line = Line(self.example, auth)
        self.addCleanup(line.ws.shutdown)
        return line

    def test_a_callback_waits_for_the_deaf_no_longer_than_its_deadline(self):
        ann, deaf = self.line(), self.line()
        # By hand nobody answers, ann neither.
        for _ in range(3):
            self.assertEqual(ann.call("message"), [[], 2])
        # An answer that comes too late is taken for no other.
        packet = deaf.recv()
        self.assertTrue(packet.endswith('["my event",{"data":"foobar"}]'), packet)
        number = packet[2 : packet.index("[")]
        deaf.ws.send(f'43{number}["late"]')
        self.assertEqual(ann.call("message"), [[], 2])

    def test_answers_nobody_asked_for_change_nothing(self):
        ann, eve = self.line(), self.line()
        for number in (0, 1, 2**53 - 1):
            eve.ws.send(f'43{number}["forged"]')
        self.assertEqual(eve.call("whoami"), [None])
        self.assertEqual(ann.call("message"), [[], 2])

    def test_clients_that_vanish_are_asked_no_more(self):
        ann = self.line()
        for _ in range(10):
            self.line().vanish()
        until(lambda: ann.call("message"), lambda answer: answer == [[], 1], "they left")

    def test_what_breaks_the_rules_ends_one_connection(self):
        ann = self.line({"username": "ann"})
        for packet in ('42["my_event"', "42", "42{}", "42[1]", '42/nowhere,["my_event"]', "9", "nonsense", '42["connect"]'):
            eve = self.line()
            eve.ws.send(packet)
            while eve.recv() is not None:
                pass
        self.assertEqual(ann.call("whoami"), ["ann"])

    def test_what_a_handler_did_not_expect_ends_nobody(self):
        ann = self.line({"username": "ann"})
        for name in ("my_event", "my custom event", "begin_chat", "exit_chat", "my_message", "whoami"):
            for data in ([], [None], [[[1]]], [{"_placeholder": "x"}], ["a", "b", "c", "d", "e", "f", "g", "h"]):
                ann.call(name, *data)
        # By hand she does not answer herself.
        self.assertEqual(ann.call("message", *data), [[], 1])
        self.assertEqual(ann.call("whoami"), ["ann"])
        # It is ignored, and so is never answered.
        ann.ws.send('428["nonsense"]')
        self.assertEqual(ann.call("whoami"), ["ann"])

    def test_there_is_no_cookie_and_ids_are_drawn(self):
        status, headers, body = self.example.request("GET", PATH + "polling")
        self.assertEqual(status, 200)
        self.assertIsNone(headers["Set-Cookie"])
        lines = [self.line() for _ in range(20)]
        ids = {json.loads(body[1:])["sid"]} | {line.opened["sid"] for line in lines} | {line.entered["sid"] for line in lines}
        self.assertEqual(len(ids), 41)
        # 128 bits in base64.
        self.assertEqual({len(line.entered["sid"]) for line in lines}, {22})
        # A second process draws others.
        with Example("socketio") as other:
            line = Line(other)
            self.assertNotIn(line.entered["sid"], ids)
            line.ws.close()

    def test_pages_of_others_may_not_connect(self):
        for origin, status in (("http://evil.example", 403), (self.example.url(), 200)):
            self.assertEqual(self.example.request("GET", PATH + "polling", headers={"Origin": origin})[0], status)
        raw = Raw(self.example)
        self.addCleanup(raw.close)
        with self.assertRaises(AssertionError):
            raw.upgrade(PATH + "websocket", "Origin: http://evil.example")

    def test_other_paths_and_plain_requests_are_no_clients(self):
        for path, status in (("/", 404), ("/favicon.ico", 404), ("/socket.io/", 400), (PATH + "nonsense", 400)):
            self.assertEqual(self.example.request("GET", path)[0], status, path)

    def test_clients_that_vanish_cost_no_processor_time(self):
        for _ in range(10):
            self.line().vanish()
        before = self.example.cpu
        # Dropped after five seconds: a span that the server itself measures.
        slow = Raw(self.example)
        self.addCleanup(slow.close)
        slow.send(b"GET /")
        slow.rest()
        self.assertLess(self.example.cpu - before, 1)


class Stuck(unittest.TestCase):
    def test_a_terminal_that_takes_nothing_holds_up_no_client(self):
        example = self.enterContext(Example("socketio", reads=False))
        line = Line(example)
        self.addCleanup(line.ws.shutdown)
        # 400 KB of output; a pipe holds 64, the program a thousand lines.
        for _ in range(100):
            for _ in range(100):
                line.ws.send('42["my_event"]')
            for _ in range(100):
                self.assertEqual(line.recv(), '42["my event",{"data":"foobar"}]')
        self.assertEqual(line.call("whoami"), [None])

    def test_a_terminal_that_is_closed_ends_nobody(self):
        example = self.enterContext(Example("socketio", reads=False))
        example.process.stdout.close()
        line = Line(example, {"username": "ann"})
        self.addCleanup(line.ws.shutdown)
        line.call("my_event")
        self.assertEqual(line.call("whoami"), ["ann"])
        self.assertTrue(example.lives)
