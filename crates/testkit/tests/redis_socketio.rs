//! Socket.IO namespaces of an application on two nodes: who hears an emit, and coming back to the other node.

use std::sync::Arc;
use std::time::Duration;

use parlor::socketio::Reply;
use parlor::testing::{SocketIoClient, TestServer};
use parlor::{Ack, Binary, Data, Namespace, Server, Socket};
use parlor_engines::RedisEngine;
use parlor_engines::redis::Settings;
use parlor_hub::Engine;
use parlor_testkit::redis::{DURABLE, Redis};
use serde_json::{Value, json};

/// A node of an application, and the namespace in it.
struct Node {
    server: TestServer,
    namespace: Namespace,
}

async fn node(redis: &Redis, recovers: bool) -> Node {
    let mut settings = Settings::parse(&redis.url()).expect("an address");
    settings.patience = Duration::from_secs(20);
    let mut app = Server::new();
    app.engine(Arc::new(RedisEngine::open(settings).expect("an engine")));
    let mut namespace = app.namespace("/chat");
    if recovers {
        namespace = namespace.recover(Duration::from_secs(120));
    }
    let namespace = namespace
        .on("join", async |socket: Socket, Data(room): Data<String>, ack: Ack| {
            socket.join(&room).unwrap();
            ack.send(&());
        })
        .on("say", async |socket: Socket, Data((room, text)): Data<(String, String)>, ack: Ack| {
            let said = socket.to(&room).emit("said", &text).await;
            ack.send(&said.is_ok());
        })
        .on("probe", async |socket: Socket, ack: Ack| {
            let probed = socket.to(socket.id()).and_itself().emit("probe", &()).await;
            ack.send(&probed.is_ok());
        });
    Node { server: TestServer::start(app).await, namespace }
}

impl Node {
    /// A client that is in these rooms.
    async fn client(&self, rooms: &[&str]) -> SocketIoClient {
        let mut client = self.server.socket_io("/chat").connect().await;
        for room in rooms {
            client.ask("join", room).await;
        }
        heard_of(&mut client).await;
        client
    }
}

/// Waits until the store knows which rooms the client is in. What the client hears of the first emit, its worker did
/// after it had entered; what it hears of the second came back from the store behind that.
async fn heard_of(client: &mut SocketIoClient) {
    for _ in 0..2 {
        client.ask("probe", &()).await;
        let name = client.event().await.name;
        assert_eq!(name, "probe");
    }
}

/// What a client hears up to an event `end`: the first argument of each.
async fn hears(client: &mut SocketIoClient) -> Vec<Value> {
    let mut heard = Vec::new();
    loop {
        let event = client.event().await;
        if event.name == "end" {
            return heard;
        }
        heard.push(event.arguments[0].clone());
    }
}

#[tokio::test]
async fn an_emit_finds_its_sockets_on_every_node_once_each() {
    let redis = Redis::start(DURABLE);
    let nodes = [node(&redis, false).await, node(&redis, false).await];
    let [here, there] = &nodes;
    let mut ann = here.client(&["a", "b"]).await;
    let mut bob = there.client(&["a", "b"]).await;
    let mut carl = there.client(&["b", "c"]).await;
    let mut dora = there.client(&[]).await;

    here.namespace.emit("e", &"all").await.unwrap();
    here.namespace.to("a").emit("e", &"a").await.unwrap();
    here.namespace.to("a").to("b").to("c").emit("e", &"a, b, c").await.unwrap();
    here.namespace.to("b").except("c").emit("e", &"b without c").await.unwrap();
    here.namespace.except("a").emit("e", &"without a").await.unwrap();
    here.namespace.to(dora.sid()).emit("e", &"dora").await.unwrap();
    here.namespace
        .to("a")
        .to(dora.sid())
        .except(bob.sid())
        .emit("e", &"a and dora without bob")
        .await
        .unwrap();
    here.namespace.broadcast().volatile().to("c").emit("e", &"c, if there is room").await.unwrap();
    assert_eq!(carl.ask("say", &("b", "from carl")).await, json!([true]));
    here.namespace.emit("end", &()).await.unwrap();

    assert_eq!(
        hears(&mut ann).await,
        ["all", "a", "a, b, c", "b without c", "a and dora without bob", "from carl"]
    );
    assert_eq!(hears(&mut bob).await, ["all", "a", "a, b, c", "b without c", "from carl"]);
    assert_eq!(hears(&mut carl).await, ["all", "a, b, c", "without a", "c, if there is room"]);
    assert_eq!(hears(&mut dora).await, ["all", "without a", "dora", "a and dora without bob"]);
}

#[tokio::test]
async fn whoever_comes_back_to_another_node_misses_nothing_of_what_was_for_it() {
    let redis = Redis::start(&[]);
    let nodes = [node(&redis, true).await, node(&redis, true).await];
    let [here, there] = &nodes;
    let mut ann = here.client(&["a"]).await;
    let sid = ann.sid().to_owned();
    there.namespace.to("a").emit("e", &"heard").await.unwrap();
    assert_eq!(ann.event().await, ("e", json!(["heard"])));
    let lost = ann.lose().await;
    there.namespace.to("a").emit("e", &"a").await.unwrap();
    there.namespace.to("b").emit("e", &"b").await.unwrap();
    there.namespace.to(&sid).emit("e", &"ann").await.unwrap();
    here.namespace.except("a").emit("e", &"without a").await.unwrap();

    let mut ann = there.server.socket_io("/chat").recover(lost).connect().await;
    assert_eq!((ann.recovered(), ann.sid()), (true, &*sid));
    here.namespace.emit("end", &()).await.unwrap();
    assert_eq!(hears(&mut ann).await, ["a", "ann"]);

    // It is in another room now, which the first node has to learn.
    ann.ask("join", &"b").await;
    heard_of(&mut ann).await;
    let lost = ann.lose().await;
    there.namespace.to("b").emit("e", &"b").await.unwrap();
    let mut ann = here.server.socket_io("/chat").recover(lost).connect().await;
    assert!(ann.recovered());
    there.namespace.emit("end", &()).await.unwrap();
    assert_eq!(hears(&mut ann).await, ["b"]);
    assert_eq!(here.namespace.socket(&sid).expect("it is here").rooms(), ["a", "b"]);
}

#[tokio::test]
async fn whoever_has_left_for_good_is_new_on_every_node() {
    let redis = Redis::start(&[]);
    let nodes = [node(&redis, true).await, node(&redis, true).await];
    let [here, there] = &nodes;
    let first = here.client(&["a"]).await.lose().await;
    let ann = there.server.socket_io("/chat").recover(first.clone()).connect().await;
    assert!(ann.recovered());
    ann.disconnect().await;
    // The first node has known it too.
    for node in [here, there] {
        let ann = node.server.socket_io("/chat").recover(first.clone()).connect().await;
        assert!(!ann.recovered());
    }
}

/// An application whose nodes tell each other who they are, unless they do not listen.
async fn talker(engine: Option<RedisEngine>, name: &'static str) -> Node {
    let mut app = Server::new();
    if let Some(engine) = engine {
        app.engine(Arc::new(engine));
    }
    let mut namespace = app.namespace("/chat");
    if name != "deaf" {
        namespace = namespace
            .on_server_side("who", move |(n, bytes): (u32, Binary)| async move { (name, n + 1, bytes) })
            .on_server_side("never", |(): ()| std::future::pending::<()>());
    }
    Node { server: TestServer::start(app).await, namespace }
}

#[tokio::test]
async fn a_namespace_asks_itself_on_all_other_nodes() {
    let redis = Redis::start(&[]);
    let engine = || Some(RedisEngine::open(Settings::parse(&redis.url()).unwrap()).unwrap());
    let nodes = [talker(engine(), "a").await, talker(engine(), "b").await, talker(engine(), "c").await];
    let _deaf = talker(engine(), "deaf").await;
    let ask = async |from: &Node, event: &str, timeout| {
        let data = (7, Binary(vec![0, 255].into()));
        from.namespace.server_side_emit_with_ack(event, &data, timeout).await.unwrap()
    };
    for (node, others) in nodes.iter().zip([["b", "c"], ["a", "c"], ["a", "b"]]) {
        // Who has just begun may not listen yet; whoever answers does.
        let answers = loop {
            let answers = ask(node, "who", Duration::from_secs(2)).await;
            if answers.replies.len() == 2 {
                break answers;
            }
        };
        let read = |reply: &Reply| reply.read::<(String, u32, Binary)>().unwrap();
        let mut said: Vec<_> = answers.replies.iter().map(read).collect();
        said.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(answers.missing, 0);
        assert_eq!(said, others.map(|name| (name.to_owned(), 8, Binary(vec![0, 255].into()))));
    }
    let answers = nodes[0].namespace.server_side_emit_with_ack("never", &(), Duration::from_millis(50));
    let answers = answers.await.unwrap();
    assert_eq!((answers.replies.len(), answers.missing), (0, 2));
    let answers = ask(&nodes[0], "nobody listens", Duration::from_secs(60)).await;
    assert_eq!((answers.replies.len(), answers.missing), (0, 0));

    let alone = talker(None, "alone").await;
    alone.namespace.server_side_emit("who", &()).await.unwrap();
    let answers = ask(&alone, "who", Duration::from_secs(60)).await;
    assert_eq!((answers.replies.len(), answers.missing), (0, 0));
}

#[tokio::test]
async fn an_event_for_the_other_nodes_is_heard_there_and_hostile_bytes_are_not() {
    let redis = Redis::start(&[]);
    let engine = Arc::new(RedisEngine::open(Settings::parse(&redis.url()).unwrap()).unwrap());
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let mut app = Server::new();
    app.engine(Arc::clone(&engine) as Arc<dyn Engine>);
    app.namespace("/chat").on_server_side("ready", async |(): ()| true).on_server_side(
        "tell",
        move |text: String| {
            let told = told.clone();
            async move { told.send(text).unwrap() }
        },
    );
    let there = TestServer::start(app).await;
    let here = talker(Some(RedisEngine::open(Settings::parse(&redis.url()).unwrap()).unwrap()), "a").await;
    let ready = || here.namespace.server_side_emit_with_ack("ready", &(), Duration::from_secs(2));
    while ready().await.unwrap().replies.is_empty() {}
    let hostile: [&[u8]; 4] = [
        b"t1 00000000000000ff\n\x80\x04pickle",
        b"t1 00000000000000ff\n{\"type\":\"event\",\"namespace\":\"/chat\",\"event\":\"tell\",\"id\":null,\"data\":{\"json\":\"[\"}}",
        b"t1 xx\n",
        b"t1 00000000000000ff",
    ];
    hostile.iter().for_each(|bytes| redis.publish("{parlor}:told", bytes));
    here.namespace.server_side_emit("tell", &"hi").await.unwrap();
    let text = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await.unwrap();
    assert_eq!((text.as_deref(), engine.dropped()), (Some("hi"), hostile.len() as u64));
    drop(there);
}

#[tokio::test]
async fn what_the_other_nodes_would_not_believe_is_refused() {
    let redis = Redis::start(&[]);
    let node = node(&redis, false).await;
    let long = "x".repeat(2000);
    let refused = node.namespace.to(&long).emit("e", &1).await.unwrap_err();
    assert_eq!(refused.code.as_str(), "too_large");
    let refused = node.namespace.emit(&long, &1).await.unwrap_err();
    assert_eq!(refused.code.as_str(), "too_large");
    let mut deep = json!(1);
    for _ in 0..40 {
        deep = json!([deep]);
    }
    let refused = node.namespace.emit("e", &deep).await.unwrap_err();
    assert_eq!(refused.code.as_str(), "too_deep");
}
