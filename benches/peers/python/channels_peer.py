"""Django Channels with its in-memory layer under daphne: a consumer with one group, as the tutorial has it."""

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter
from daphne.server import Server
from django.conf import settings

settings.configure(
    SECRET_KEY="bench",
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 10_000}}},
)
django.setup()


class Chat(AsyncWebsocketConsumer):
    async def connect(self):
        self.echoes = self.scope["path"] == "/echo"
        if not self.echoes:
            await self.channel_layer.group_add("bench", self.channel_name)
        await self.accept()

    async def receive(self, text_data=None, bytes_data=None):
        if self.echoes:
            await self.send(text_data=text_data)
        else:
            await self.channel_layer.group_send("bench", {"type": "chat.message", "text": text_data})

    async def chat_message(self, event):
        await self.send(text_data=event["text"])

    async def disconnect(self, code):
        if not self.echoes:
            await self.channel_layer.group_discard("bench", self.channel_name)


server = Server(
    ProtocolTypeRouter({"websocket": Chat.as_asgi()}),
    endpoints=["tcp:port=0:interface=127.0.0.1:backlog=4096"],
    signal_handlers=False,
    websocket_handshake_timeout=60,
)
# Daphne tells its port only to whoever asks.
listen_success = server.listen_success


def announce(port):
    listen_success(port)
    print(f"listening on http://127.0.0.1:{port.getHost().port}", flush=True)


server.listen_success = announce
server.run()
