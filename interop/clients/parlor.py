"""A real server of the test's own: the binary that PARLOR_BIN names, on a free port."""

import http.client
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading

# No test waits this long unless something is broken.
PATIENCE = 20


class Server:
    """`parlor serve` in a directory of its own; use it in a `with`."""

    def __init__(self, *flags):
        self.flags = flags
        self.folder = tempfile.mkdtemp(prefix="parlor-clients-")
        self.port = 0
        self.process = None
        self.start()

    def start(self):
        command = [os.environ["PARLOR_BIN"], "serve", "--listen", f"127.0.0.1:{self.port}", *self.flags]
        self._close()
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        first = self.process.stdout.readline()
        assert first.startswith("listening on http"), first + self.process.stderr.read()
        self.port = int(first.rsplit(":", 1)[1])
        self.log = queue.Queue()
        self.reader = threading.Thread(target=self._read_log, args=(self.process.stderr, self.log), daemon=True)
        self.reader.start()

    @staticmethod
    def _read_log(stream, log):
        with stream:
            for line in stream:
                log.put(line)

    def logged(self, words):
        """The next line of the log with these words."""
        while words not in (line := self.log.get(timeout=PATIENCE)):
            pass
        return line

    @property
    def key(self):
        with open(os.path.join(self.folder, "parlor-data", "api.key"), encoding="ascii") as file:
            return file.read().strip()

    def ws(self, query=""):
        return f"ws://127.0.0.1:{self.port}/ws{query}"

    def request(self, method, path, body=None, key=True, headers=None):
        """Status, headers and JSON (or text) of one HTTP request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        headers = dict(headers or {})
        if key:
            headers["Authorization"] = f"Bearer {self.key if key is True else key}"
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if answer.headers.get_content_type() == "application/json" and text:
            return answer.status, answer.headers, json.loads(text)
        return answer.status, answer.headers, text

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def kill(self):
        """`kill -9`."""
        self.process.kill()
        self.process.wait()

    def restart(self):
        """The same data on the same port, after a kill or an end."""
        self.process.wait(PATIENCE)
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self._close()
        shutil.rmtree(self.folder)

    def _close(self):
        """The pipes of the last process; its log's thread closes the other one."""
        if self.process:
            self.process.stdout.close()
            self.reader.join(PATIENCE)
