//! What handlers do to others when they fail or hold their worker.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlor::testing::TestServer;
use parlor::{Ack, Server, Socket, WebSocket};
use serde_json::json;

/// What has been logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_connection_and_nothing_else() {
    let mut app = Server::new();
    app.namespace("/")
        .on("panic", async |_: Socket| panic!("as it was asked to"))
        .on("later", async |_: Socket| {
            tokio::time::sleep(Duration::from_secs(60)).await;
            panic!("after a while")
        })
        .on("ping me", async |ack: Ack| ack.send("here"));
    app.route("/panic", |mut ws: WebSocket| async move {
        ws.recv().await;
        panic!("as it was asked to")
    });
    let server = TestServer::start(app).await;
    let mut good = server.socket_io("/").connect().await;
    for (bad, after) in [("panic", 0), ("later", 60)] {
        let mut client = server.socket_io("/").connect().await;
        client.emit(bad, &()).await;
        server.clock().advance(Duration::from_secs(after)).await;
        assert_eq!(client.disconnected().await, "transport close", "{bad}");
        assert_eq!(good.ask("ping me", &()).await, json!(["here"]));
    }
    let mut raw = server.web_socket("/panic").connect().await;
    raw.send("go").await;
    assert_eq!(raw.closed().await.code, 1011);
    assert_eq!(good.ask("ping me", &()).await, json!(["here"]));
}

#[tokio::test]
async fn a_handler_that_holds_its_worker_is_named_in_the_log() {
    let log = Log::default();
    let writer = log.clone();
    // Of the whole process: handlers run on the worker's thread.
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    let mut app = Server::new();
    app.namespace("/")
        .on("quick", async |ack: Ack| ack.send(&()))
        // Real time, because a thread that is held is: no clock but the wall's can see it.
        .on("count to a million", async |ack: Ack| {
            std::thread::sleep(Duration::from_millis(100));
            ack.send(&());
        })
        .on("patient", async |ack: Ack| {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            ack.send(&());
        });
    let server = TestServer::start(app).await;
    let mut ann = server.socket_io("/").connect().await;
    ann.ask("quick", &()).await;
    ann.emit("patient", &()).await;
    server.clock().advance(Duration::from_secs(3600)).await;
    ann.ask("count to a million", &()).await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // Others may be named too, where the machine itself holds them; whoever awaits for an hour holds nobody.
    let held = log.lines().filter(|line| line.contains("held its worker"));
    let named: Vec<_> = held.filter(|line| line.contains("count to a million")).collect();
    assert_eq!(named.len(), 1, "{log}");
    assert!(!log.contains("for 3600"), "{log}");
}
