"""How the programs end: told to by a signal, they say goodbye."""

import signal
import unittest

from example import PATIENCE, Example, Raw


class End(unittest.TestCase):
    def test_clients_hear_the_code_and_the_process_ends_well(self):
        for told in (signal.SIGTERM, signal.SIGINT):
            for name, path in (("echo", "/ws"), ("group_consumer", "/x1/"), ("axum", "/ws"), ("push", "/")):
                example = self.enterContext(Example(name))
                raw = Raw(example).upgrade(path)
                self.addCleanup(raw.close)
                example.process.send_signal(told)
                self.assertEqual(raw.closed(), 1001, name)
                self.assertEqual(example.process.wait(PATIENCE), 0, name)

    def test_it_may_be_told_as_soon_as_it_listens(self):
        example = self.enterContext(Example("hello"))
        example.process.send_signal(signal.SIGTERM)
        self.assertEqual(example.process.wait(PATIENCE), 0)
