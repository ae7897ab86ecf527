//! Whom a client trusts when it speaks TLS.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// Whose certificates are trusted: those that this machine trusts, and further ones.
///
/// The roots are the operating system's rather than a list inside this library: a company's own authority is known to
/// it, and what is withdrawn there is withdrawn here without a new build.
#[derive(Clone, Default)]
pub struct Tls {
    /// `None`: the machine's roots, read when they are first needed.
    config: Option<Arc<ClientConfig>>,
}

impl Tls {
    /// Trusts the certificates in `pem` too, such as a test server's own.
    ///
    /// # Errors
    /// [`Error::BadCertificate`]
    pub fn trusting(pem: &[u8]) -> Result<Tls, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| bad(&format!("it is not PEM: {error}")))?;
            roots.add(certificate).map_err(|error| bad(&error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(bad("it begins with -----BEGIN CERTIFICATE-----"));
        }
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Ok(Tls { config: Some(Arc::new(config(roots)?)) })
    }

    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        // Reading the roots takes milliseconds, and a program may open thousands of connections.
        static MACHINE: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        if let Some(config) = self.config.as_ref().or_else(|| MACHINE.get()) {
            return Ok(config.clone());
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let why = "this machine trusts nobody: install its root certificates (package ca-certificates)";
            return Err(Error::BadCertificate(why.into()));
        }
        let config = Arc::new(config(roots)?);
        Ok(MACHINE.get_or_init(|| config).clone())
    }
}

fn config(roots: RootCertStore) -> Result<ClientConfig, Error> {
    // Named, because a program may have other libraries that bring another provider.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::BadCertificate(error.to_string()))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    // WebSocket and the API are HTTP/1.1 here; a server that prefers HTTP/2 must be told.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn bad(why: &str) -> Error {
    Error::BadCertificate(format!("this is not a certificate: {why}"))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("own", &self.config.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let refused = Tls::trusting(text.as_bytes()).unwrap_err().to_string();
            assert!(refused.starts_with("this is not a certificate: "), "{text}: {refused}");
        }
    }
}
