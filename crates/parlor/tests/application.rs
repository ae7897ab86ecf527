//! A small application and its tests: an auction whose hammer falls a minute after the last bid.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use parlor::testing::TestServer;
use parlor::{Ack, Auth, ConnectRefused, Data, Server, Socket, State};
use serde_json::{Value, json};

const HAMMER: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Lot {
    /// Counts bids, so that the hammer of an older one does not fall.
    bids: u32,
    highest: u32,
    sold_to: Option<String>,
}

type Shared = Arc<Mutex<Lot>>;

fn auction() -> Server {
    let mut app = Server::new();
    let lot = Shared::default();
    app.state(Arc::clone(&lot));
    app.namespace("/")
        .on_connect(async |socket: Socket, Auth(auth): Auth<Value>| match auth["name"].as_str() {
            Some(name) => {
                socket.set("name", &name);
                Ok(())
            }
            None => Err(ConnectRefused::new("who bids?")),
        })
        .on("bid", async |socket: Socket, Data(price): Data<u32>, State(lot): State<Shared>, ack: Ack| {
            let name: String = socket.get("name").unwrap_or_default();
            let bid = {
                let mut lot = lot.lock().unwrap();
                if lot.sold_to.is_some() || price <= lot.highest {
                    return ack.send("too low or too late");
                }
                lot.highest = price;
                lot.bids += 1;
                lot.bids
            };
            ack.send("ok");
            let _ = socket.namespace().emit("bid", &(&name, price)).await;
            tokio::time::sleep(HAMMER).await;
            let sold = {
                let mut lot = lot.lock().unwrap();
                let sold = lot.bids == bid;
                lot.sold_to = sold.then(|| name.clone()).or(lot.sold_to.take());
                sold
            };
            if sold {
                let _ = socket.namespace().emit("sold", &(&name, price)).await;
            }
        });
    let page = get(async move || Json(json!({ "sold_to": lot.lock().unwrap().sold_to })));
    app.router(Router::new().route("/lot", page));
    app
}

#[tokio::test]
async fn the_hammer_falls_a_minute_after_the_last_bid() {
    let server = TestServer::start(auction()).await;
    let mut ann = server.socket_io("/").auth(json!({"name": "ann"})).connect().await;
    let mut bob = server.socket_io("/").auth(json!({"name": "bob"})).polling().connect().await;

    assert_eq!(ann.ask("bid", &10).await, json!(["ok"]));
    assert_eq!(bob.event().await, ("bid", json!(["ann", 10])));
    server.clock().advance(HAMMER - Duration::from_millis(1)).await;
    assert_eq!(bob.ask("bid", &10).await, json!(["too low or too late"]));
    assert_eq!(bob.ask("bid", &20).await, json!(["ok"]));
    assert_eq!(bob.event().await, ("bid", json!(["bob", 20])));

    server.clock().advance(HAMMER - Duration::from_millis(1)).await;
    bob.nothing().await;
    assert_eq!(server.get("/lot").await.json::<Value>(), json!({"sold_to": null}));
    server.clock().advance(Duration::from_millis(1)).await;
    assert_eq!(bob.event().await, ("sold", json!(["bob", 20])));
    assert_eq!(server.get("/lot").await.json::<Value>(), json!({"sold_to": "bob"}));
    assert_eq!(ann.ask("bid", &30).await, json!(["too low or too late"]));
}

#[tokio::test]
async fn nobody_bids_without_a_name() {
    let server = TestServer::start(auction()).await;
    let refused = server.socket_io("/").auth(json!({})).try_connect().await.unwrap_err();
    assert_eq!(refused.message, "who bids?");
}
