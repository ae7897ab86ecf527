//! `ChatClient`: a test's client of the chat's native protocol.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::web_socket::WebSocketClient;
use crate::websocket::Closed;

/// A client of the stock chat's native protocol: JSON objects over a WebSocket.
///
/// [`TestServer::chat`](super::TestServer::chat) makes one; [`ChatClient::over`] takes any connection, such as one that
/// shows a token.
#[derive(Debug)]
pub struct ChatClient {
    socket: WebSocketClient,
    next_id: u64,
    /// What came while an answer was awaited.
    kept: VecDeque<Value>,
}

impl ChatClient {
    /// Speaks the protocol on this connection.
    pub fn over(socket: WebSocketClient) -> ChatClient {
        ChatClient { socket, next_id: 1, kept: VecDeque::new() }
    }

    /// Sends a command as it is.
    pub async fn send(&mut self, command: &Value) {
        self.socket.send(command.to_string()).await;
    }

    /// Sends a command with an id, and gives its answer, be it an error. What comes meanwhile is kept.
    ///
    /// # Panics
    /// No answer comes, or the connection ends instead.
    pub async fn ask(&mut self, mut command: Value) -> Value {
        let id = json!(self.next_id);
        self.next_id += 1;
        command["id"] = id.clone();
        self.send(&command).await;
        loop {
            let object = self.hear().await;
            if object["id"] == id {
                return object;
            }
            self.kept.push_back(object);
        }
    }

    /// The next object, whatever it is.
    ///
    /// # Panics
    /// None comes, or the connection ends instead.
    pub async fn recv(&mut self) -> Value {
        match self.kept.pop_front() {
            Some(object) => object,
            None => self.hear().await,
        }
    }

    /// The next object of a type, such as `message`; those before it are left out.
    ///
    /// # Panics
    /// None comes, or the connection ends instead.
    pub async fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            let object = self.recv().await;
            if object["type"] == kind {
                return object;
            }
        }
    }

    /// Panics if an object has come that was not taken, or comes without time going by.
    ///
    /// # Panics
    /// As it says.
    pub async fn nothing(&mut self) {
        if let Some(object) = self.kept.front() {
            panic!("nothing should come, and this came: {object}");
        }
        self.socket.nothing().await;
    }

    /// Waits for the end, which is not this client's doing; what comes before it is left out.
    ///
    /// # Panics
    /// No end comes.
    pub async fn closed(&mut self) -> Closed {
        self.kept.clear();
        self.socket.ended().await
    }

    /// Breaks the connection without a word, and returns when the server has noticed.
    pub async fn lose(self) {
        self.socket.lose().await;
    }

    async fn hear(&mut self) -> Value {
        let text = self.socket.text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("an object was awaited ({error}): {text}"))
    }
}
