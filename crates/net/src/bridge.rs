//! A bridge: what is no TCP stream of ours, such as TLS of somebody else's, behind a socket that a worker can own.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::UnixStream;

use crate::liveness::LINGER;
use crate::patient::Patient;

/// The worker's end; the other one is a task that copies both ways until either side is over. It holds 8 KB for each
/// direction, and its stream the rest: bridged connections are outside the targets for memory and CPU.
pub(crate) fn bridge(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> io::Result<TcpStream> {
    let (near, far) = std::os::unix::net::UnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    tokio::spawn(carry(Box::pin(stream), UnixStream::from_std(far)?));
    // A worker reads, writes and shuts down a stream socket; whose family it is makes no difference to these.
    Ok(TcpStream::from(OwnedFd::from(near)))
}

async fn carry(theirs: impl AsyncRead + AsyncWrite + Unpin, ours: UnixStream) {
    // A worker that has given up on a reader is gone, and does not end what waits in here; so writes end by themselves.
    let (mut from_peer, mut to_peer) = split(Patient::new(theirs));
    let (mut from_worker, mut to_worker) = ours.into_split();
    let inward = async {
        copy(&mut from_peer, &mut to_worker).await?;
        to_worker.shutdown().await
    };
    let outward = async {
        copy(&mut from_worker, &mut to_peer).await?;
        to_peer.shutdown().await?;
        // The worker has said its last word. It would wait so long for the peer's.
        tokio::time::sleep(LINGER).await;
        Err::<(), _>(io::ErrorKind::TimedOut.into())
    };
    // The first error, or the time, ends both ways.
    let _: Result<_, io::Error> = tokio::try_join!(inward, outward);
}
