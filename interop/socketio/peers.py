"""The programs under test, and the two Python clients behind the same few verbs."""

import asyncio
import os
import queue
import shlex
import subprocess
import threading

import socketio

# No test waits this long unless something is broken.
PATIENCE = 20
TRANSPORTS = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": None}


class Program:
    """The program that `NAME_BIN` and `NAME_ARGS` say, on a free port."""

    def __init__(self, name, *flags):
        given = shlex.split(os.environ.get(f"{name}_ARGS", ""))
        command = [os.environ[f"{name}_BIN"], *given, "--listen", "127.0.0.1:0", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        first = self.process.stdout.readline()
        assert first.startswith("listening on http://"), first
        self.url = first.split(" ")[2].strip()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Loop:
    """An event loop in a thread of its own, so that both clients can be driven by the same lines."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE * 2)

    def close(self):
        self.run(self._finish())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    @staticmethod
    async def _finish():
        """Ends what the clients have left running."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Ears:
    """What one client heard, by namespace and event."""

    def __init__(self, client, asynchronous, namespaces):
        self.facts = {}
        # What a handler returns is the acknowledgement: a tuple is a list of arguments.
        self.answers = {"question": lambda payload=None: ("heard", payload)}
        self.lock = threading.Lock()
        for namespace in namespaces:
            client.on("*", self._catch_all(namespace, asynchronous), namespace=namespace)
            for name in ("connect", "disconnect", "connect_error"):
                client.on(name, self._handler(namespace, name, asynchronous), namespace=namespace)

    def of(self, namespace, name):
        with self.lock:
            return self.facts.setdefault((namespace, name), queue.Queue())

    def _catch_all(self, namespace, asynchronous):
        def heard(name, *args):
            self.of(namespace, name).put(args)
            return self.answers[name](*args) if name in self.answers else None

        async def heard_async(name, *args):
            return heard(name, *args)

        return heard_async if asynchronous else heard

    def _handler(self, namespace, name, asynchronous):
        def heard(*args):
            self.of(namespace, name).put(args)

        async def heard_async(*args):
            heard(*args)

        return heard_async if asynchronous else heard


class Sync:
    """`socketio.Client`."""

    def __init__(self, namespaces):
        self.client = socketio.Client(reconnection=False)
        self.ears = Ears(self.client, False, namespaces)

    def run(self, outcome):
        return outcome

    def close(self):
        self.run(self.client.disconnect())

    def connect(self, url, **options):
        options.setdefault("wait_timeout", PATIENCE)
        self.run(self.client.connect(url, **options))

    def emit(self, name, *args, namespace="/"):
        self.run(self.client.emit(name, args or None, namespace=namespace))

    def call(self, name, *args, namespace="/"):
        return self.run(self.client.call(name, args or None, namespace=namespace, timeout=PATIENCE))

    def hears(self, name, namespace="/"):
        return self.ears.of(namespace, name).get(timeout=PATIENCE)

    def sid(self, namespace="/"):
        return self.client.get_sid(namespace)


class Async(Sync):
    """`socketio.AsyncClient`, its coroutines run to their end one by one."""

    loop = None

    def __init__(self, namespaces):
        self.client = self.loop.run(self.make())
        self.ears = Ears(self.client, True, namespaces)

    @staticmethod
    async def make():
        return socketio.AsyncClient(reconnection=False)

    def run(self, outcome):
        return self.loop.run(outcome)
