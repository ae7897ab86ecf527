//! `Tls`: the certificate of this server, read again when its files change.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ServerConfig, version};

/// Two PEM files, as certbot writes them. A renewed certificate is used from the next connection on; no restart.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate, and behind it those that lead to a known authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The certificate in use.
#[derive(Debug)]
struct Current {
    files: Tls,
    provider: Arc<CryptoProvider>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    key: Arc<CertifiedKey>,
    /// When the files that it came from were written.
    written: (SystemTime, SystemTime),
    /// Files that could not be used were written then: said once.
    complained: Option<(SystemTime, SystemTime)>,
    looked: Instant,
}

/// How often the files are looked at, if somebody connects; two calls of the system.
const LOOK: Duration = Duration::from_secs(1);

impl Tls {
    /// Reads both files; afterwards only a change of them is looked for.
    ///
    /// # Errors
    /// A file cannot be read, is not PEM, or the key does not belong to the certificate: the text says which.
    pub(crate) fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let provider = Arc::new(ring::default_provider());
        let written = self.written()?;
        let key = self.read(&provider)?;
        let state = Mutex::new(State { key, written, complained: None, looked: Instant::now() });
        let current = Current { files: self.clone(), provider: Arc::clone(&provider), state };
        // RFC 8996: what came before 1.2 is not to be spoken any more.
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(io::Error::other)?;
        let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(current));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn written(&self) -> io::Result<(SystemTime, SystemTime)> {
        let of = |path: &PathBuf| {
            fs::metadata(path).and_then(|meta| meta.modified()).map_err(|error| wrong(path, &error))
        };
        Ok((of(&self.certificate)?, of(&self.key)?))
    }

    fn read(&self, provider: &CryptoProvider) -> io::Result<Arc<CertifiedKey>> {
        let chain = CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect);
        let chain: Vec<CertificateDer<'static>> = chain.map_err(|error| wrong(&self.certificate, &error))?;
        if chain.is_empty() {
            return Err(wrong(&self.certificate, &"it begins with -----BEGIN CERTIFICATE-----"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| wrong(&self.key, &error))?;
        // Fails too if the two do not belong together, as between the two steps of a renewal.
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| wrong(&self.key, &error))?;
        Ok(Arc::new(key))
    }
}

fn wrong(path: &std::path::Path, why: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{} cannot be used for TLS: {why}", path.display()))
}

impl Current {
    fn key(&self) -> Arc<CertifiedKey> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK {
            state.looked = Instant::now();
            self.renew(&mut state);
        }
        Arc::clone(&state.key)
    }

    /// Takes what the files hold, if they have changed and are right; until then the old certificate stays.
    fn renew(&self, state: &mut State) {
        let written = match self.files.written() {
            Ok(written) if written == state.written => return,
            // A file is about to be replaced.
            Err(_) => return,
            Ok(written) => written,
        };
        match self.files.read(&self.provider) {
            Ok(key) => {
                tracing::info!(file = %self.files.certificate.display(), "the certificate was read again");
                (state.key, state.written, state.complained) = (key, written, None);
            }
            Err(error) if state.complained != Some(written) => {
                tracing::warn!(%error, "the certificate in use stays");
                state.complained = Some(written);
            }
            Err(_) => {}
        }
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }
}
