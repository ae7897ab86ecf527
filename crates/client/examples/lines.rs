//! A client that is driven by lines of JSON, for tests against other people's servers: `lines socketio|websocket URL`.
//!
//! For Socket.IO, a third argument is the namespace and a fourth the auth object. On standard input:
//! `{"do":"emit","event":"a","args":[1]}`, the same with `ask` for an ack, `{"do":"text","text":"hi"}`,
//! `{"do":"binary","bytes":[1,2]}`, `{"do":"close"}`. What is seen is printed as lines, `{"saw":"event",…}`. Bytes inside
//! arguments are `{"bytes":[1,2]}`. Events that want an ack get their own arguments back.

use std::io::BufRead;

use parlor_client::{
    Address, Arguments, Binary, Error, Incoming, Offer, Received, Socket, SocketIo, SocketIoEvent,
    SocketOptions, Value,
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Order {
    Emit { event: String, args: Vec<serde_json::Value> },
    Ask { event: String, args: Vec<serde_json::Value> },
    Text { text: String },
    Binary { bytes: Vec<u8> },
    Close,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (send, orders) = mpsc::channel(64);
    // Standard input has no other way to be waited for beside a socket.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let order = serde_json::from_str(&line).expect("an order is one line of JSON");
            if send.blocking_send(order).is_err() {
                break;
            }
        }
    });
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["websocket", address] => websocket(address, orders).await,
        ["socketio", address] => socketio(SocketIo::options(address), orders).await,
        ["socketio", address, namespace, auth] => {
            let auth: serde_json::Value = serde_json::from_str(auth).expect("auth is JSON");
            socketio(SocketIo::options(address).namespace(namespace).auth(&auth), orders).await
        }
        _ => panic!("lines socketio|websocket URL [NAMESPACE AUTH]"),
    };
    if let Err(error) = done {
        refused(&error);
    }
}

async fn websocket(address: &str, mut orders: mpsc::Receiver<Order>) -> Result<(), Error> {
    let options = SocketOptions { deflate: Some(Offer::default()), ..SocketOptions::default() };
    let mut socket = Socket::open(&Address::parse(address)?, &options).await?;
    print(&json!({"saw": "connected"}));
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Text { text }) => drop(socket.queue_text(&text)),
                Some(Order::Binary { bytes }) => drop(socket.queue_binary(&bytes)),
                _ => {
                    socket.close(1000, "").await;
                    return Ok(());
                }
            },
            received = socket.recv() => match received {
                Received::Text(text) => print(&json!({"saw": "text", "text": text})),
                Received::Binary(bytes) => print(&json!({"saw": "binary", "bytes": bytes})),
                Received::Alive => {}
                Received::Closed { code, reason } => {
                    print(&json!({"saw": "closed", "code": code, "reason": reason}));
                    return Ok(());
                }
            },
        }
    }
}

async fn socketio(
    options: parlor_client::SocketIoOptions,
    mut orders: mpsc::Receiver<Order>,
) -> Result<(), Error> {
    let (client, mut events) = options.connect().await?;
    let mut client = Some(client);
    loop {
        tokio::select! {
            order = orders.recv(), if client.is_some() => match (order, &client) {
                (Some(Order::Emit { event, args }), Some(client)) => {
                    if let Err(error) = client.emit(&event, &bytes_in(args)) {
                        refused(&error);
                    }
                }
                (Some(Order::Ask { event, args }), Some(client)) => {
                    let answer = client.emit_with_ack(&event, &bytes_in(args));
                    tokio::spawn(async move {
                        match answer.await {
                            Ok(arguments) => print(&json!({"saw": "answer", "args": bytes_out(&arguments)})),
                            Err(error) => refused(&error),
                        }
                    });
                }
                _ => client = None,
            },
            event = events.next() => match event {
                Some(event) => show(event),
                None => return Ok(()),
            },
        }
    }
}

fn show(event: SocketIoEvent) {
    match event {
        SocketIoEvent::Connected { sid, recovered } => {
            print(&json!({"saw": "connected", "sid": sid, "recovered": recovered}));
        }
        SocketIoEvent::Event(Incoming { name, arguments, offset, ack }) => {
            let offset = offset.is_some();
            print(&json!({"saw": "event", "name": name, "args": bytes_out(&arguments), "offset": offset}));
            if let Some(Err(error)) = ack.map(|ack| ack.send(&arguments.values())) {
                refused(&error);
            }
        }
        SocketIoEvent::Disconnected(reason) => {
            print(&json!({"saw": "disconnected", "reason": reason.as_str()}));
        }
        SocketIoEvent::Waiting { error, .. } => {
            print(&json!({"saw": "waiting", "error": error.to_string()}));
        }
        SocketIoEvent::Closed(error) => print(&json!({"saw": "closed", "error": error.to_string()})),
        other => panic!("the tests do not know {other:?}"),
    }
}

fn refused(error: &Error) {
    let data = match error {
        Error::NamespaceRefused { data: Some(data), .. } => serde_json::from_str(data).ok(),
        _ => None::<serde_json::Value>,
    };
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    print(&json!({"saw": "refused", "error": format!("{error}{cause}"), "data": data}));
}

fn print(line: &serde_json::Value) {
    println!("{line}");
}

/// `{"bytes":[1,2]}` becomes bytes.
fn bytes_in(args: Vec<serde_json::Value>) -> Vec<Value> {
    fn value(json: serde_json::Value) -> Value {
        match json {
            serde_json::Value::Object(fields) => {
                if let Some(bytes) = fields.get("bytes") {
                    let bytes: Vec<u8> = serde_json::from_value(bytes.clone()).expect("bytes are numbers");
                    return Value::Binary(Binary(bytes.into()));
                }
                Value::Object(fields.into_iter().map(|(name, json)| (name, value(json))).collect())
            }
            serde_json::Value::Array(values) => Value::Array(values.into_iter().map(value).collect()),
            other => serde_json::from_value(other).expect("any JSON is a value"),
        }
    }
    args.into_iter().map(value).collect()
}

fn bytes_out(arguments: &Arguments) -> serde_json::Value {
    fn json(value: Value) -> serde_json::Value {
        match value {
            Value::Binary(Binary(bytes)) => json!({ "bytes": &bytes[..] }),
            Value::Array(values) => values.into_iter().map(json).collect(),
            Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, json(value))).collect(),
            other => serde_json::to_value(other).expect("any value has JSON"),
        }
    }
    arguments.values().into_iter().map(json).collect()
}
