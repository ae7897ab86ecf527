//! What an application may rely on in Socket.IO handlers, with the Rust client on the other side.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parlor::{
    Ack, Auth, ConnectRefused, Data, EventName, Limits, Namespace, Reason, Rest, Running, Server, Socket,
    State,
};
use parlor_client::{Error, SocketIo, SocketIoEvent, SocketIoEvents};
use parlor_engines::{EmbeddedEngine, Settings};
use parlor_hub::Engine;
use parlor_testkit::engine_suite::wait;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Nothing here takes so long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

fn listen(mut server: Server) -> Running {
    server.workers(2).limits(Limits::Off);
    server.listen("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// A client in a namespace, which does not come back by itself.
async fn join(server: &Running, namespace: &str) -> (SocketIo, SocketIoEvents) {
    let options =
        SocketIo::options(format!("http://{}", server.address())).namespace(namespace).reconnect(false);
    let (client, mut events) = options.connect().await.unwrap();
    assert!(matches!(next(&mut events).await, SocketIoEvent::Connected { .. }));
    (client, events)
}

async fn next(events: &mut SocketIoEvents) -> SocketIoEvent {
    tokio::time::timeout(PATIENCE, events.next()).await.expect("something happens").expect("it goes on")
}

/// The next event's name and arguments.
async fn event(events: &mut SocketIoEvents) -> (String, Value) {
    match next(events).await {
        SocketIoEvent::Event(incoming) => {
            let arguments = incoming.arguments.read::<Value>().unwrap();
            (incoming.name.to_string(), arguments)
        }
        other => panic!("an event, not {other:?}"),
    }
}

/// What a handler has noted next.
async fn hear<T>(told: &mut mpsc::UnboundedReceiver<T>) -> T {
    tokio::time::timeout(PATIENCE, told.recv()).await.expect("something is noted").expect("it goes on")
}

async fn ask(client: &SocketIo, name: &str, arguments: Value) -> Value {
    let answer = client.emit_with_ack(name, &arguments).await.unwrap();
    answer.read::<Value>().unwrap()
}

#[tokio::test]
async fn events_are_handled_in_order_and_a_slow_one_holds_up_nobody() {
    let (log, mut told) = mpsc::unbounded_channel();
    let mut server = Server::new();
    let (first, second) = (log.clone(), log);
    server
        .namespace("/")
        .on_any(move |EventName(name): EventName, data: Rest| {
            let log = first.clone();
            async move { log.send(format!("any {name} {}", data.0.text())).unwrap() }
        })
        .on("slow", async |ack: Ack| {
            std::future::pending::<()>().await;
            drop(ack);
        })
        .on("number", move |Data(n): Data<u32>| {
            let log = second.clone();
            async move { log.send(format!("number {n}")).unwrap() }
        });
    let server = listen(server);
    let (client, _events) = join(&server, "/").await;
    client.emit("slow", &()).unwrap();
    (0..3).for_each(|n| client.emit("number", &(n,)).unwrap());
    let mut heard = Vec::new();
    while heard.len() < 7 {
        heard.push(hear(&mut told).await);
    }
    let expected =
        ["any slow ", "any number 0", "number 0", "any number 1", "number 1", "any number 2", "number 2"];
    assert_eq!(heard, expected);
    server.stop();
}

#[tokio::test]
async fn what_a_handler_cannot_read_is_said_in_the_ack_and_the_client_stays() {
    let mut server = Server::new();
    server.namespace("/").on("double", async |Data(n): Data<i64>, ack: Ack| ack.send(&(n * 2)));
    let server = listen(server);
    let (client, _events) = join(&server, "/").await;
    let refused = ask(&client, "double", json!(["two"])).await;
    assert_eq!((&refused[0]["type"], &refused[0]["code"]), (&json!("error"), &json!("bad_message")));
    assert_eq!(ask(&client, "double", json!([21])).await, json!([42]));
    server.stop();
}

#[tokio::test]
async fn a_namespace_is_emitted_to_from_any_thread_and_before_anybody_is_there() {
    let mut server = Server::new();
    let news = server.namespace("/news");
    // Nobody can hear it; nothing breaks.
    drop(news.emit("early", &1));
    let server = listen(server);
    let (_client, mut events) = join(&server, "/news").await;
    let writer = std::thread::spawn(move || {
        for n in 0..100 {
            drop(news.emit("flash", &(n, "x")));
        }
        news
    });
    for n in 0..100 {
        assert_eq!(event(&mut events).await, ("flash".into(), json!([n, "x"])));
    }
    let news = writer.join().unwrap();
    assert_eq!(news.sockets().len(), 1);
    server.stop();
}

#[tokio::test]
async fn what_is_joined_and_emitted_while_entering_takes_effect_once_the_client_is_in() {
    let mut server = Server::new();
    server
        .namespace("/")
        .on_connect(async |socket: Socket, Auth(auth): Auth<Value>| {
            socket.join("lobby").unwrap();
            drop(socket.emit("hello", &auth));
            drop(socket.namespace().to("lobby").emit("somebody", &()));
            tokio::task::yield_now().await;
            match auth["name"].as_str() {
                Some(name) => {
                    socket.set("name", &name);
                    Ok(())
                }
                None => Err(ConnectRefused::new("say who you are").data(&json!({ "code": 7 }))),
            }
        })
        .on("who", async |socket: Socket, ack: Ack| {
            ack.send(&(socket.get::<String>("name"), socket.rooms()));
        });
    let server = listen(server);
    let address = format!("http://{}", server.address());
    let refused = SocketIo::options(&address).connect().await.unwrap_err();
    let Error::NamespaceRefused { message, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(message, "say who you are");
    let (ann, mut events) =
        SocketIo::options(&address).auth(&json!({ "name": "ann" })).connect().await.unwrap();
    assert!(matches!(next(&mut events).await, SocketIoEvent::Connected { .. }));
    assert_eq!(event(&mut events).await, ("hello".into(), json!([{ "name": "ann" }])));
    assert_eq!(ask(&ann, "who", json!([])).await, json!(["ann", ["lobby"]]));
    server.stop();
}

#[tokio::test]
async fn whoever_leaves_is_told_about_with_the_reason_and_is_in_no_room() {
    type Reasons = Mutex<Vec<&'static str>>;
    let reasons: Arc<Reasons> = Arc::default();
    let (log, mut told) = mpsc::unbounded_channel();
    let mut server = Server::new();
    server.state(reasons);
    let all = server.namespace("/");
    let kicking = all.clone();
    all.clone()
        .on_connect(async |socket: Socket| drop(socket.join("hall")))
        .on("kick", move |Data(id): Data<String>| {
            let all = kicking.clone();
            async move { all.to(&id).disconnect() }
        })
        .on_disconnect(move |socket: Socket, Reason(reason): Reason, reasons: State<Arc<Reasons>>| {
            reasons.lock().unwrap().push(reason);
            let rooms = socket.namespace().to("hall").sockets().len();
            log.send((reason, rooms)).unwrap();
            std::future::ready(())
        });
    let server = listen(server);
    let (stays, _stays_events) = join(&server, "/").await;
    let (client, _events) = join(&server, "/").await;
    assert_eq!(all.to("hall").sockets().len(), 2);
    drop(client);
    assert_eq!(hear(&mut told).await, ("client namespace disconnect", 1));
    let known: Vec<String> = all.sockets().iter().map(|socket| socket.id().to_owned()).collect();
    let (_kicked, mut events) = join(&server, "/").await;
    let new = all.sockets().into_iter().find(|socket| !known.contains(&socket.id().to_owned())).unwrap();
    stays.emit("kick", &(new.id(),)).unwrap();
    assert_eq!(hear(&mut told).await, ("server namespace disconnect", 1));
    let SocketIoEvent::Disconnected(reason) = next(&mut events).await else { panic!("it was put out") };
    assert_eq!(reason.as_str(), "io server disconnect");
    server.stop();
}

#[tokio::test]
async fn what_is_written_down_follows_a_client_that_hears_nothing_and_is_gone_when_it_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let engine: Arc<dyn Engine> = Arc::new(EmbeddedEngine::open(Settings::new(directory.path())).unwrap());
    let mut server = Server::new();
    server.engine(Arc::clone(&engine));
    // It is looked after every second.
    let all = server
        .namespace("/")
        .recover(Duration::from_secs(2))
        .on("join", async |socket: Socket, ack: Ack| ack.send(&socket.join("hall").is_ok()));
    let server = listen(server);
    let (client, _events) = join(&server, "/").await;
    assert_eq!(ask(&client, "join", json!([])).await, json!([true]));
    // The ack came when it was written.
    let records = |engine: &Arc<dyn Engine>| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let records = wait(|done| engine.records().list("socketio", "", None, 10, now, done)).unwrap();
        records.iter().map(|kept| serde_json::from_slice::<Value>(&kept.value).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(records(&engine)[0]["rooms"], json!(["hall"]));
    assert!(!records(&engine)[0]["passed"].as_str().unwrap().contains(".3."));
    for n in 0..3 {
        all.to("nobody").emit("elsewhere", &n).await.unwrap();
    }
    let until = async |what: &str, is_so: &dyn Fn(&[Value]) -> bool| {
        let looking = async {
            while !is_so(&records(&engine)) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never {what}"));
    };
    let follows =
        |kept: &[Value]| kept[0]["passed"].as_str().unwrap().contains(".3.") && kept[0]["given"] == 0;
    until("follows", &follows).await;
    drop(client);
    until("gone", &|kept: &[Value]| kept.is_empty()).await;
    server.stop();
}

#[tokio::test]
async fn nobody_waits_for_the_answer_of_one_who_has_left() {
    let mut server = Server::new();
    server.namespace("/").on("ask", async |all: Namespace, ack: Ack| {
        // Longer than a test may take.
        let answers = all.broadcast().timeout(3 * PATIENCE).emit_with_ack("question", &()).await.unwrap();
        ack.send(&(answers.replies.len(), answers.missing));
    });
    let server = listen(server);
    let (asker, mut asked) = join(&server, "/").await;
    let (leaver, mut events) = join(&server, "/").await;
    let leaving = async {
        assert_eq!(event(&mut events).await.0, "question");
        drop((leaver, events));
    };
    let answering = async {
        match next(&mut asked).await {
            SocketIoEvent::Event(question) => question.ack.unwrap().send(&("here",)).unwrap(),
            other => panic!("a question, not {other:?}"),
        }
    };
    let asking = tokio::time::timeout(PATIENCE, ask(&asker, "ask", json!([])));
    let (answers, ..) = tokio::join!(asking, leaving, answering);
    assert_eq!(answers.unwrap(), json!([1, 1]));
    server.stop();
}
