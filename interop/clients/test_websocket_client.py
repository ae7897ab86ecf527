"""The synchronous client `websocket-client`, as the tutorials use it."""

import json
import threading
import unittest

import websocket
from parlor import PATIENCE, Server


class Sync(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server("--no-limits"))

    def connect(self, query="", **options):
        ws = websocket.create_connection(self.server.ws(query), timeout=PATIENCE, **options)
        self.addCleanup(ws.close)
        return ws

    @staticmethod
    def hear(ws, kind):
        while (heard := json.loads(ws.recv()))["type"] != kind:
            pass
        return heard

    def test_a_room_of_two(self):
        ann, bob = self.connect("?name=ann&room=talk"), self.connect("?name=bob&room=talk")
        self.hear(ann, "joined")
        self.hear(bob, "joined")
        ann.send('{"type":"publish","room":"talk","data":"hi"}')
        self.assertEqual(self.hear(bob, "message")["from"], "ann")

    def test_a_callback_application(self):
        heard, done = [], threading.Event()

        def on_open(ws):
            ws.send('{"type":"publish","room":"talk","data":"from a callback"}')

        def on_message(ws, text):
            message = json.loads(text)
            heard.append(message["type"])
            if message.get("data") == "from a callback":
                done.set()
                ws.close()

        app = websocket.WebSocketApp(self.server.ws("?name=app&room=talk"), on_open=on_open, on_message=on_message)
        thread = threading.Thread(target=app.run_forever, daemon=True)
        thread.start()
        self.assertTrue(done.wait(PATIENCE), heard)
        thread.join(PATIENCE)
        self.assertEqual(heard[0], "welcome")

    def test_the_largest_message_passes_and_a_larger_one_is_refused_in_a_sentence(self):
        ann = self.connect("?name=ann&room=talk")
        self.hear(ann, "joined")
        ann.send(json.dumps({"type": "publish", "room": "talk", "data": "x" * (64 * 1024 - 2)}))
        self.assertEqual(len(self.hear(ann, "message")["data"]), 64 * 1024 - 2)
        ann.send(json.dumps({"type": "publish", "id": 1, "room": "talk", "data": "x" * (64 * 1024)}))
        refused = self.hear(ann, "error")
        self.assertEqual((refused["code"], refused["id"]), ("too_large", 1))
        ann.send('{"type":"ping"}')
        self.hear(ann, "pong")

    def test_a_client_that_says_goodbye_is_answered(self):
        ann = self.connect("?name=ann")
        self.hear(ann, "welcome")
        ann.send_close(1000, b"done")
        opcode, data = ann.recv_data(control_frame=True)
        while opcode != websocket.ABNF.OPCODE_CLOSE:
            opcode, data = ann.recv_data(control_frame=True)
        self.assertEqual(int.from_bytes(data[:2], "big"), 1000)

    def test_a_page_of_another_origin_is_refused_and_told_the_flag(self):
        with self.assertRaises(websocket.WebSocketBadStatusException) as refused:
            self.connect(origin="https://evil.example")
        self.assertEqual(refused.exception.status_code, 403)
        self.assertIn("--origin https://evil.example", self.server.logged("evil.example"))
        with self.assertRaises(websocket.WebSocketBadStatusException):
            self.connect(origin="null")
        # Any page of this machine, and what is no browser.
        self.connect(origin="http://localhost:3000")
        self.connect(suppress_origin=True)
