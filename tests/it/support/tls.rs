//! A certificate authority made on the fly, and what a server needs that it vouches for.
//!
//! Never here: a key on disk, but for a service that is to read it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion,
};

const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A connection over TLS; what the other side is called must be what its certificate says.
pub struct Secure(StreamOwned<ClientConnection, TcpStream>);

impl Secure {
    pub fn open(to: SocketAddr, name: &str, client: &Arc<ClientConfig>) -> io::Result<Secure> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let stream = TcpStream::connect_timeout(&to, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let client = ClientConnection::new(client.clone(), name).map_err(io::Error::other)?;
        let mut secure = StreamOwned::new(client, stream);
        secure.conn.complete_io(&mut secure.sock)?;
        Ok(Secure(secure))
    }

    /// Whatever comes until the other side closes.
    pub fn ask(mut self, request: &[u8]) -> io::Result<String> {
        self.0.write_all(request)?;
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Of the certificate that the other side showed.
    pub fn certificate(&self) -> Vec<u8> {
        let shown = self.0.conn.peer_certificates().expect("certificates");
        shown[0].to_vec()
    }
}

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = "callvault test authority";
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Authority {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// For `ca_file`.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, &self.pem).expect("write the authority's certificate");
    }

    /// A server that is who it says: a name, or an address.
    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        self.vouch_for(CertificateParams::new([name.to_owned()]).expect("a name"))
    }

    /// A server that was, once.
    pub fn expired_server(&self, name: &str) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.vouch_for(params)
    }

    /// Certificate and key for `tls_cert_file` and `tls_key_file`.
    pub fn write_pair(&self, name: &str, cert: &Path, key: &Path) {
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let own = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&own, &self.issuer).expect("a certificate");
        std::fs::write(cert, signed.pem()).expect("write a certificate");
        std::fs::write(key, own.serialize_pem()).expect("write a key");
        let closed = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(key, closed).expect("close the key to others");
    }

    /// Who trusts this authority, and speaks these versions.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("a certificate");
        roots.add(own).expect("an authority");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let client = client.expect("versions").with_root_certificates(roots);
        Arc::new(client.with_no_client_auth())
    }

    fn vouch_for(&self, params: CertificateParams) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer);
        let chain = vec![signed.expect("a certificate").der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(chain, key);
        Arc::new(server.expect("a server's settings"))
    }
}
