"""Where the examples listen when nobody says so: the tutorials' own ports, for the tutorials' own clients."""

import os
import subprocess
import unittest

from example import PATIENCE

PORTS = [("handshake", "127.0.0.1:8002"), ("echo", "127.0.0.1:9527"), ("hello", "127.0.0.1:8765")]
PORTS += [("push", "127.0.0.1, and 8765, or 6789 with --many")]
PORTS += [("group_chat", "127.0.0.1:9527"), ("private_chat", "127.0.0.1:9527"), ("message_board", "127.0.0.1:5000")]
PORTS += [("consumer", "127.0.0.1:8000"), ("group_consumer", "127.0.0.1:8000"), ("long_polling", "127.0.0.1:5000")]
PORTS += [("axum", "127.0.0.1:5000"), ("socketio", "127.0.0.1:5000")]


class Ports(unittest.TestCase):
    def test_the_help_names_the_port(self):
        for name, words in PORTS:
            command = [os.path.join(os.environ["PARLOR_EXAMPLES"], name), "--help"]
            told = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout
            self.assertIn(words, told, name)
