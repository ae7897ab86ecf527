"""The example `clients`: the Rust client against `hello`, `push` and `socketio`."""

import os
import queue
import socket
import subprocess
import threading
import unittest

import socketio
import websocket
from example import PATIENCE, Example


class Client:
    """`clients VERB ARGUMENTS --server ADDRESS`; use it in a `with`."""

    def __init__(self, *arguments, server):
        command = [os.path.join(os.environ["PARLOR_EXAMPLES"], "clients"), *arguments, "--server", server]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
        self.printed, self.complained = queue.Queue(), queue.Queue()
        self.readers = [
            threading.Thread(target=self._read, args=ends, daemon=True)
            for ends in ((self.process.stdout, self.printed), (self.process.stderr, self.complained))
        ]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.put(line.decode().rstrip("\n"))

    def prints(self):
        return self.printed.get(timeout=PATIENCE)

    def complains(self):
        return self.complained.get(timeout=PATIENCE)

    def types(self, *lines):
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def ends(self):
        """Its exit code."""
        return self.process.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


def free_port():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Clients(unittest.TestCase):
    def example(self, *name, **options):
        return self.enterContext(Example(*name, **options))

    def client(self, *arguments, server):
        return self.enterContext(Client(*arguments, server=server))


class Question(Clients):
    def test_a_name_is_greeted_and_the_client_ends(self):
        example = self.example("hello")
        for name in ("ann", "张三", "", "<b>bob</b>"):
            client = self.client("hello", name, server=example.ws())
            self.assertEqual((client.prints(), client.ends()), (f"hello {name}", 0))

    def test_whoever_is_not_there_is_an_error_and_no_wait(self):
        for verb in (["hello", "ann"], ["push"], ["socketio", "ann"]):
            client = self.client(*verb, server=f"ws://127.0.0.1:{free_port()}")
            self.assertIn("refused", client.complains().lower(), verb)
            self.assertEqual(client.ends(), 1)

    def test_whoever_is_no_websocket_is_an_error(self):
        example = self.example("hello")
        for address, words in [(example.ws("/favicon.ico"), "404"), ("nonsense://x", "nonsense")]:
            client = self.client("hello", "ann", server=address)
            self.assertIn(words, client.complains())
            self.assertEqual(client.ends(), 1)

    def test_the_help_names_the_ports(self):
        for verb, address in (("hello", "ws://127.0.0.1:8765"), ("push", "ws://127.0.0.1:8765"), ("socketio", "http://127.0.0.1:5000")):
            command = [os.path.join(os.environ["PARLOR_EXAMPLES"], "clients"), verb, "--help"]
            told = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout
            self.assertIn(address, told)


class Consumer(Clients):
    def test_every_line_is_printed_in_order(self):
        example = self.example("push")
        client = self.client("push", server=example.ws())
        lines = [f"line {n}" for n in range(5_000)] + ["二", "", "last"]
        example.types(*lines)
        self.assertEqual([client.prints() for _ in lines], lines)

    def test_what_is_typed_reaches_the_server_and_the_end_of_it_ends_nothing(self):
        example = self.example("push", "--many")
        client = self.client("push", server=example.ws())
        self.assertEqual(client.prints(), "somebody came, 1 here")
        client.types("first", "你好")
        for line in ("first", "你好"):
            self.assertEqual(example.prints(line), f'"{line}"')
        client.process.stdin.close()
        example.types("still here?")
        self.assertEqual(client.prints(), "still here?")

    def test_a_server_that_ends_is_told(self):
        example = self.example("push")
        client = self.client("push", server=example.ws())
        example.types("last")
        self.assertEqual(client.prints(), "last")
        example.process.kill()
        self.assertIn("1006", client.complains())
        self.assertEqual(client.ends(), 1)


class SocketIo(Clients):
    def peer(self, example):
        peer = socketio.SimpleClient()
        peer.connect(example.url(), transports=["websocket"])
        self.addCleanup(peer.disconnect)
        return peer

    def test_it_talks_in_the_room_with_the_stock_client(self):
        example = self.example("socketio")
        client, peer = self.client("socketio", "ann", server=example.url()), self.peer(example)
        self.assertEqual(client.prints(), "here as ann, in chat_users: true")
        self.assertIs(peer.call("begin_chat", timeout=PATIENCE), True)
        lines = ["hi", "你好", "", *(str(n) for n in range(3_000))]
        typing = threading.Thread(target=client.types, args=lines)
        typing.start()
        # This client hands each message to a thread of its own, so their order is not what it got them in.
        heard = [peer.receive(timeout=PATIENCE) for _ in lines]
        self.assertEqual(sorted(heard), sorted(["my reply", line] for line in lines))
        typing.join(PATIENCE)
        peer.emit("my_message", {"to": ["you", 1]})
        self.assertEqual(client.prints(), 'my reply: {"to":["you",1]}')

    def test_it_answers_a_callback(self):
        example = self.example("socketio")
        client, line = self.client("socketio", "ann", server=example.url()), self.peer(example)
        self.assertEqual(client.prints(), "here as ann, in chat_users: true")
        answers, missing = line.call("message", timeout=PATIENCE)
        self.assertIn("got it", answers)
        self.assertEqual(missing, 0)
        self.assertEqual(client.prints(), 'my event: {"data":"foobar"}')

    def test_it_says_why_it_is_refused(self):
        example = self.example("socketio")
        client = self.client("socketio", "refused", server=example.url())
        self.assertIn("authentication failed", client.complains())
        self.assertEqual(client.ends(), 1)

    def test_it_comes_back_to_a_server_that_was_started_anew(self):
        port = free_port()
        with Example("socketio", port=port) as example:
            client = self.client("socketio", "ann", server=example.url())
            self.assertEqual(client.prints(), "here as ann, in chat_users: true")
        self.assertIn("again in", client.complains())
        peer = self.peer(self.example("socketio", port=port))
        # It is in the room once it says so with an answer; before that nobody else is there.
        while peer.call("message", timeout=PATIENCE)[0].count("got it") == 0:
            peer.receive(timeout=PATIENCE)
        peer.emit("my_message", "welcome back")
        while (line := client.prints()) != 'my reply: "welcome back"':
            self.assertEqual(line, 'my event: {"data":"foobar"}')

    def test_a_websocket_that_is_no_socketio_is_an_error(self):
        example = self.example("hello")
        client = self.client("socketio", "ann", server=example.url())
        self.assertTrue(client.complains())
        self.assertEqual(client.ends(), 1)
        self.assertEqual(websocket.create_connection(example.ws(), timeout=PATIENCE).connected, True)
