"""SIGTERM and restarts, as people on stock clients see them."""

import json
import os
import subprocess
import unittest

import websocket
from parlor import PATIENCE, Server


class Stop(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())
        self.ws = websocket.create_connection(self.server.ws("?name=ann&room=talk"), timeout=PATIENCE)
        self.addCleanup(self.ws.close)
        while json.loads(self.ws.recv())["type"] != "joined":
            pass

    def test_what_was_taken_is_answered_then_goodbye_and_exit_0(self):
        for n in range(20):
            self.ws.send(json.dumps({"type": "publish", "id": n, "room": "talk", "data": n, "echo": False}))
        # The first answer shows that the server has read some of them.
        while json.loads(self.ws.recv())["type"] != "published":
            pass
        self.server.terminate()
        acked, heard = 1, {}
        while heard.get("type") != "bye":
            heard = json.loads(self.ws.recv())
            acked += heard["type"] == "published"
        self.assertEqual((heard["code"], heard["reconnect"]), (1001, True))
        self.assertGreater(heard["retry_after"], 0)
        opcode, data = self.ws.recv_data(control_frame=True)
        self.assertEqual((opcode, data[:2]), (websocket.ABNF.OPCODE_CLOSE, (1001).to_bytes(2, "big")))
        self.assertEqual(self.server.process.wait(PATIENCE), 0)
        self.server.restart()
        _, _, page = self.server.request("GET", "/api/rooms/talk/history")
        self.assertGreaterEqual(len(page["messages"]), acked)
        self.assertEqual([m["data"] for m in page["messages"]], list(range(len(page["messages"]))))

    def test_a_second_process_on_the_data_is_refused(self):
        second = subprocess.run(
            [os.environ["PARLOR_BIN"], "serve", "--listen", "127.0.0.1:0"],
            cwd=self.server.folder, capture_output=True, text=True, timeout=PATIENCE,
        )
        self.assertNotEqual(second.returncode, 0)
        self.assertIn("parlor-data", second.stderr)
