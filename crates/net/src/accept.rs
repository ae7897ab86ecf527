//! The accept loop of one worker: sockets in, a task for the request head of each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parlor_proto::limits::HEAD_TIMEOUT;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::admission::Limits;
use crate::bridge::bridge;
use crate::errand::Errands;
use crate::takeover::{self, Accepted, Front, Taken};
use crate::{head, polls};

/// Sockets of one worker that are still HTTP: as many as the listen queue, in which those beyond it wait. If all of them
/// have asked for something already, they are about 80 MB with hyper's buffers.
const HTTP_CONNECTIONS: usize = 4096;

/// When the process is out of files, accepting again at once would only burn the CPU.
const BACK_OFF: Duration = Duration::from_millis(100);

/// What is being answered when everything stops is given this long, so that a poll hears the goodbye too.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Accepts until `stopping` turns true; then waits until what was asked is answered.
pub(crate) async fn accept(
    listener: TcpListener,
    front: Arc<Front>,
    errands: Arc<Errands>,
    mut stopping: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(HTTP_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                // The cheapest answer to a crowd that says nothing is the end.
                let arrived = front.admission.arrive(peer.ip(), front.clock.wall());
                // A proxy speaks for many.
                let bounded = front.limits == Limits::On && !front.proxies.trusts(peer.ip());
                if arrived.is_none() && bounded {
                    tracing::debug!(%peer, "closed: its address has too many sockets that have asked for nothing");
                    continue;
                }
                let (front, errands, stopping) = (Arc::clone(&front), Arc::clone(&errands), stopping.clone());
                tokio::spawn(async move {
                    let _places = (place, arrived);
                    let clock = front.clock.clone();
                    // Boxed, because what is handed on would lie in the task three times. Tasks leave holes between what
                    // stays of their connections.
                    clock.watch(Box::pin(serve(stream, peer, front, errands, stopping))).await;
                });
            }
            // The peer was gone before it was accepted.
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    // Each answer in the making holds a place.
    let all = places.acquire_many(HTTP_CONNECTIONS as u32);
    let _ = timeout(LAST_ANSWERS, all).await;
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    front: Arc<Front>,
    errands: Arc<Errands>,
    stopping: watch::Receiver<bool>,
) {
    // Small frames must not wait for the peer's acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    if let Some(tls) = front.tls.clone() {
        // Boxed, because plain connections should not hold room for it.
        return Box::pin(serve_tls(tls, stream, peer, front, errands, stopping)).await;
    }
    let served = serve_http1(stream, peer, &front, &errands, stopping).await;
    if let Some((stream, early, accepted)) = served
        && let Ok(stream) = stream.into_std()
    {
        Taken::new(stream, early, accepted).hand_over(&front, &errands);
    }
}

async fn serve_tls(
    tls: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    front: Arc<Front>,
    errands: Arc<Errands>,
    stopping: watch::Receiver<bool>,
) {
    // Its handshake is a part of the head that a client owes.
    let stream = match timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "no TLS"),
        Err(_) => return,
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return takeover::serve_http2(stream, peer, front, errands, stopping).await;
    }
    let served = serve_http1(stream, peer, &front, &errands, stopping).await;
    if let Some((stream, early, accepted)) = served
        && let Ok(stream) = bridge(stream)
    {
        Taken::new(stream, early, accepted).hand_over(&front, &errands);
    }
}

/// Waits for the first head, and then for whatever [`polls::serve`] waits for.
async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut stream: S,
    peer: SocketAddr,
    front: &Arc<Front>,
    errands: &Arc<Errands>,
    mut stopping: watch::Receiver<bool>,
) -> Option<(S, Bytes, Accepted)> {
    let head = head::read(&mut stream, Vec::new(), &mut stopping).await?;
    // Boxed, because whoever owes a head should not hold room for it.
    Box::pin(polls::serve(stream, head, peer, Arc::clone(front), Arc::clone(errands), stopping)).await
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
