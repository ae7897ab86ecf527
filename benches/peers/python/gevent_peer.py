"""gevent-websocket under gevent's WSGI server, as the Flask tutorials run it."""

from gevent import monkey

monkey.patch_all()

from gevent.pywsgi import WSGIServer  # noqa: E402
from geventwebsocket import WebSocketError  # noqa: E402
from geventwebsocket.handler import WebSocketHandler  # noqa: E402

people = set()


def application(environ, start_response):
    ws = environ["wsgi.websocket"]
    try:
        if environ["PATH_INFO"] == "/echo":
            while (text := ws.receive()) is not None:
                ws.send(text)
            return []
        people.add(ws)
        while (text := ws.receive()) is not None:
            for other in list(people):
                other.send(text)
    except WebSocketError:
        pass
    finally:
        people.discard(ws)
    return []


server = WSGIServer(("127.0.0.1", 0), application, handler_class=WebSocketHandler, log=None, backlog=4096)
server.init_socket()
print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
