//! Bridges: what is no TCP stream of ours, such as TLS or a response of HTTP/2, behind a socket that a worker can own.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy, split};
use tokio::net::UnixStream;

use crate::liveness::LINGER;
use crate::patient::Patient;

/// The worker's end; the other one is a task that copies both ways until either side is over. It holds 8 KB for each
/// direction, and its stream the rest: bridged connections are outside the targets for memory and CPU.
pub(crate) fn bridge(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> io::Result<TcpStream> {
    let (near, far) = pair()?;
    tokio::spawn(carry(Box::pin(stream), far));
    Ok(near)
}

/// The worker's end, and a response's body that holds what it writes there. A peer that is gone drops the body, and so
/// ends the worker's socket; one that does not read lets it stall.
pub(crate) fn body() -> io::Result<(TcpStream, Body)> {
    let (near, far) = pair()?;
    Ok((near, Body::new(Written(far))))
}

/// The worker's end and ours.
fn pair() -> io::Result<(TcpStream, UnixStream)> {
    let (near, far) = UnixStream::pair()?;
    // A worker reads, writes and shuts down a stream socket; whose family it is makes no difference to these.
    Ok((TcpStream::from(OwnedFd::from(near.into_std()?)), far))
}

/// What a worker writes, as the frames of a body.
struct Written(UnixStream);

impl http_body::Body for Written {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        let mut space = [0; FRAME];
        let mut buffer = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        let bytes = Bytes::copy_from_slice(buffer.filled());
        Poll::Ready((!bytes.is_empty()).then(|| Ok(http_body::Frame::data(bytes))))
    }
}

/// Bytes of one frame: half a frame of HTTP/2, and fine on a stack.
const FRAME: usize = 8 * 1024;

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
