//! A chat whose time goes by as its parent says, for tests in other languages: `clocked`.
//!
//! It says `listening on http://ADDRESS`. A line on stdin is a number of seconds; when they have gone by and the server
//! has done what was due, it answers `done`. The end of stdin stops it.

use std::io::{BufRead, stdin};
use std::time::Duration;

use parlor::Server;
use parlor::testing::TestServer;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut chat = Server::new();
    chat.chat();
    let server = TestServer::start(chat).await;
    println!("listening on http://{}", server.address());
    for line in stdin().lock().lines() {
        let seconds = line.expect("the parent lives").parse().expect("a number of seconds");
        server.clock().advance(Duration::from_secs(seconds)).await;
        println!("done");
    }
    server.stop().await;
}
