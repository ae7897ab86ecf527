//! Class-based namespaces, seen by the Rust client.

use parlor::{Ack, ConnectRefused, NamespaceHandler, Rest, Running, Server, Socket, Value};
use parlor_client::{Error, SocketIo, SocketIoEvent, SocketIoEvents};
use tokio::sync::mpsc;

/// Notes who leaves, and why.
struct Door {
    left: mpsc::UnboundedSender<(String, &'static str)>,
}

impl NamespaceHandler for Door {
    async fn on_connect(&self, socket: Socket) -> Result<(), ConnectRefused> {
        match socket.auth::<Value>().and_then(|auth| auth.get("name")?.as_str().map(str::to_owned)) {
            Some(name) => {
                // Waits in between, as one that asks a database does.
                tokio::task::yield_now().await;
                socket.set("name", &name);
                drop(socket.emit("welcome", &name));
                Ok(())
            }
            None => Err(ConnectRefused::new("who are you?").data(&1)),
        }
    }

    async fn on_event(&self, socket: Socket, event: &str, data: Rest, ack: Ack) {
        tokio::task::yield_now().await;
        match event {
            "my_event" => drop(socket.namespace().emit("my_response", &data)),
            "whoami" => ack.send(&socket.get::<String>("name")),
            "double" => match data.read::<u32>() {
                Ok(number) => ack.send(&(number * 2)),
                Err(error) => ack.send(&error.to_string()),
            },
            "leave" => socket.disconnect(),
            "fail" => panic!("as it was told"),
            _ => {}
        }
    }

    async fn on_disconnect(&self, socket: Socket, reason: &'static str) {
        let name = socket.get("name").unwrap_or_default();
        let _ = self.left.send((name, reason));
    }
}

/// Everything left out.
struct Empty;

impl NamespaceHandler for Empty {}

/// A server on a port of its own that has `/door`, `/empty` and what `more` adds.
fn serve(more: impl FnOnce(&mut Server)) -> (Running, mpsc::UnboundedReceiver<(String, &'static str)>) {
    let (left, leaves) = mpsc::unbounded_channel();
    let mut server = Server::new();
    server.workers(1);
    server.namespace("/door").class(Door { left });
    server.namespace("/empty").class(Empty);
    more(&mut server);
    (server.listen(([127, 0, 0, 1], 0).into()).unwrap(), leaves)
}

async fn enter(server: &Running, namespace: &str, name: &str) -> (SocketIo, SocketIoEvents) {
    let auth = serde_json::json!({ "name": name });
    let options = SocketIo::options(format!("http://{}", server.address())).reconnect(false);
    options.namespace(namespace).auth(&auth).connect().await.unwrap()
}

/// Beside the clients, which answer its goodbye.
async fn stop(server: Running) {
    tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
}

/// The next event of the application.
async fn hears(events: &mut SocketIoEvents) -> (String, String) {
    loop {
        match events.next().await.expect("it goes on") {
            SocketIoEvent::Event(event) => return (event.name, event.arguments.text().to_owned()),
            SocketIoEvent::Connected { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn event(name: &str, arguments: &str) -> (String, String) {
    (name.to_owned(), arguments.to_owned())
}

#[tokio::test]
async fn methods_are_called_for_what_they_are_named_after() {
    let (server, mut leaves) = serve(|_| {});
    let (ann, mut anns) = enter(&server, "/door", "ann").await;
    let (bob, mut bobs) = enter(&server, "/door", "bob").await;
    assert_eq!(hears(&mut anns).await, event("welcome", "\"ann\""));
    assert_eq!(hears(&mut bobs).await, event("welcome", "\"bob\""));
    bob.emit("my_event", &(1, "two", [3])).unwrap();
    for events in [&mut anns, &mut bobs] {
        assert_eq!(hears(events).await, event("my_response", "1,\"two\",[3]"));
    }
    let whoami = ann.emit_with_ack("whoami", &()).await.unwrap();
    assert_eq!(whoami.text(), "\"ann\"");
    assert_eq!(ann.emit_with_ack("double", &[21]).await.unwrap().text(), "42");
    let error: String = ann.emit_with_ack("double", &["x"]).await.unwrap().first().unwrap();
    assert!(error.contains("u32"), "{error}");
    drop((ann, anns));
    assert_eq!(leaves.recv().await.unwrap().0, "ann");
    bob.emit("leave", &()).unwrap();
    assert_eq!(leaves.recv().await.unwrap(), ("bob".to_owned(), "server namespace disconnect"));
    stop(server).await;
}

#[tokio::test]
async fn whoever_is_refused_is_told_why_and_never_leaves() {
    let (server, mut leaves) = serve(|_| {});
    let refused =
        SocketIo::options(format!("http://{}", server.address())).namespace("/door").connect().await;
    let Err(Error::NamespaceRefused { message, data }) = refused else { panic!("{refused:?}") };
    assert_eq!((message.as_str(), data.as_deref()), ("who are you?", Some("1")));
    let (ann, _) = enter(&server, "/door", "ann").await;
    ann.emit("leave", &()).unwrap();
    assert_eq!(leaves.recv().await.unwrap().0, "ann");
    stop(server).await;
}

#[tokio::test]
async fn unknown_events_are_ignored_and_methods_may_be_left_out() {
    let (server, _leaves) = serve(|server| {
        server.namespace("/empty").on("known", async |ack: Ack| ack.send(&1));
    });
    for namespace in ["/door", "/empty"] {
        let (ann, mut events) = enter(&server, namespace, "ann").await;
        ann.emit("unknown", &["x"]).unwrap();
        ann.emit("connect_me", &()).unwrap();
        let (known, answer) = if namespace == "/door" { ("whoami", "\"ann\"") } else { ("known", "1") };
        assert_eq!(ann.emit_with_ack(known, &()).await.unwrap().text(), answer);
        if namespace == "/door" {
            assert_eq!(hears(&mut events).await, event("welcome", "\"ann\""));
        }
    }
    stop(server).await;
}

#[tokio::test]
async fn a_handler_of_one_event_goes_before_the_class() {
    let (server, _leaves) = serve(|server| {
        server.namespace("/door").on("whoami", async |ack: Ack| ack.send("somebody"));
    });
    let (ann, _events) = enter(&server, "/door", "ann").await;
    assert_eq!(ann.emit_with_ack("whoami", &()).await.unwrap().text(), "\"somebody\"");
    assert_eq!(ann.emit_with_ack("double", &[1]).await.unwrap().text(), "2");
    stop(server).await;
}

#[tokio::test]
async fn one_value_serves_all_namespaces_of_a_pattern() {
    let (left, mut leaves) = mpsc::unbounded_channel();
    let (server, _) = serve(|server| {
        server.namespaces_where(|name| name.starts_with("/room-")).class(Door { left });
    });
    let (ann, mut anns) = enter(&server, "/room-1", "ann").await;
    let (bob, mut bobs) = enter(&server, "/room-2", "bob").await;
    for (client, events, name) in [(&ann, &mut anns, "ann"), (&bob, &mut bobs, "bob")] {
        client.emit("my_event", &[name]).unwrap();
        assert_eq!(hears(events).await, event("welcome", &format!("\"{name}\"")));
        assert_eq!(hears(events).await, event("my_response", &format!("\"{name}\"")));
        client.emit("leave", &()).unwrap();
        assert_eq!(leaves.recv().await.unwrap().0, name);
    }
    stop(server).await;
}

#[tokio::test]
async fn a_method_that_panics_ends_its_connection_and_no_other() {
    let (server, mut leaves) = serve(|_| {});
    let (ann, _events) = enter(&server, "/door", "ann").await;
    let (bob, _bobs) = enter(&server, "/door", "bob").await;
    ann.emit("fail", &()).unwrap();
    assert_eq!(leaves.recv().await.unwrap(), ("ann".to_owned(), "forced close"));
    assert_eq!(bob.emit_with_ack("whoami", &()).await.unwrap().text(), "\"bob\"");
    stop(server).await;
}
