//! Bytes to a server and back: TCP, or TLS over it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::address::Address;
use crate::error::Error;
use crate::tls::Tls;

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects, and for a `tls` address shakes hands and checks the server's certificate.
    pub(crate) async fn connect(address: &Address, tls: &Tls) -> Result<Stream, Error> {
        let unreachable = |source| Error::Unreachable { to: address.authority.clone(), source };
        let to = (address.host.as_str(), address.port);
        let stream = TcpStream::connect(to).await.map_err(unreachable)?;
        // Messages are small and are written whole: waiting for company only delays them.
        stream.set_nodelay(true)?;
        if !address.tls {
            return Ok(Stream::Tcp(stream));
        }
        let name = ServerName::try_from(address.host.clone())
            .map_err(|_| Error::BadAddress(format!("{} is no name that has a certificate", address.host)))?;
        let connected = TlsConnector::from(tls.config()?).connect(name, stream).await;
        let stream = connected.map_err(|source| {
            // Anything else is the network's: the server may be restarting.
            if source.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                Error::Insecure { to: address.authority.clone(), source }
            } else {
                unreachable(source)
            }
        })?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
