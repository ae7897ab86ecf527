//! `Patient`: hyper's side of a stream. It gives first what was read before hyper came, and its writes fail when the peer
//! takes nothing for too long.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use parlor_proto::limits::WRITE_STALL;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// hyper waits for ever for a peer that asks and never reads; its place, and what the system holds for it, would be
/// gone for others.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    /// What was read already.
    early: Bytes,
    /// There once a write had to wait, and reset at every one that went through.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S) -> Patient<S> {
        Patient::behind(Bytes::new(), stream)
    }

    pub(crate) fn behind(early: Bytes, stream: S) -> Patient<S> {
        Patient { stream, early, stalled: None }
    }

    /// The stream, and what it was never asked for of the early bytes.
    pub(crate) fn into_parts(self) -> (S, Bytes) {
        (self.stream, self.early)
    }

    fn watch<T>(&mut self, done: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stalled = None;
            return done;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_STALL)));
        ready!(stalled.as_mut().poll(cx));
        // Whoever polls again gets the same answer.
        stalled.as_mut().reset(Instant::now());
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let given = self.early.len().min(buffer.remaining());
        buffer.put_slice(&self.early[..given]);
        self.early.advance(given);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(done, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(done, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(done, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(done, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_in_time_gets_everything_and_one_that_does_not_is_given_up() {
        let (ours, mut theirs) = duplex(4);
        let mut patient = Patient::new(ours);
        let writing = tokio::spawn(async move {
            patient.write_all(b"twelve bytes").await.unwrap();
            let error = patient.write_all(b"and more").await.unwrap_err();
            (error.kind(), patient)
        });
        let mut read = [0; 12];
        for chunk in read.chunks_mut(4) {
            // Each time just before it would be given up.
            tokio::time::sleep(WRITE_STALL.mul_f32(0.9)).await;
            theirs.read_exact(chunk).await.unwrap();
        }
        assert_eq!(&read, b"twelve bytes");
        let (kind, _patient) = writing.await.unwrap();
        assert_eq!(kind, io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn what_was_read_before_comes_first() {
        let (ours, mut theirs) = duplex(16);
        theirs.write_all(b"later").await.unwrap();
        let mut patient = Patient::behind(Bytes::from_static(b"early"), ours);
        let mut read = [0; 3];
        patient.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"ear");
        patient.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"lyl");
        let patient = Patient::behind(Bytes::from_static(b"unread"), patient.into_parts().0);
        assert_eq!(&patient.into_parts().1[..], b"unread");
    }
}
