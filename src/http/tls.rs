//! TLS on our own listeners: a certificate with its key, and how it is changed while connections
//! live.
//!
//! Never here: when it is changed; a byte of a key in a message.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, ServerConfig};

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the {what} {}", path.display())]
    Read {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("there is no {what} in PEM in {}", path.display())]
    Parse { what: &'static str, path: PathBuf },
    #[error("the certificate {} and the key {} are no pair", cert.display(), key.display())]
    Pair {
        cert: PathBuf,
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
}

/// What new connections are answered with.
pub struct Tls(RwLock<Arc<ServerConfig>>);

impl Tls {
    /// TLS 1.2 and 1.3. The first certificate is our own, the others lead to who vouches for it.
    pub fn load(cert: &Path, key: &Path) -> Result<Tls, Error> {
        let chain = certificates(cert)?;
        let private = private_key(key)?;
        let pair = |source| Error::Pair {
            cert: cert.to_owned(),
            key: key.to_owned(),
            source,
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(RwLock::new(Arc::new(config))))
    }

    /// Connections from now on are answered as `newer` would; those that live go on.
    pub fn become_as(&self, newer: Tls) {
        let newer = newer.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = newer;
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .into()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let what = "certificate";
    let text = read(what, path)?;
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let path = path.to_owned();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        // What was found instead may be the key.
        _ => Err(Error::Parse { what, path }),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let what = "private key";
    let text = read(what, path)?;
    let path = path.to_owned();
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| Error::Parse { what, path })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let read = std::fs::read(path);
    read.map_err(|source| Error::Read {
        what,
        path: path.to_owned(),
        source,
    })
}
