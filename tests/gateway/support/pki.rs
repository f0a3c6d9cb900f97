//! A certificate authority made for one test and thrown away with it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The name that certificates of [`Pki`] are good for, beside `localhost` and `127.0.0.1`.
pub(crate) const SERVER_NAME: &str = "upstream.test";

pub(crate) struct Pki {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

struct Leaf {
    cert: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    pems: (String, String),
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names, no bad name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "throw-away authority");
        let key = KeyPair::generate().expect("ring makes keys");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority signs itself");
        let dir = TempDir::new().expect("the machine has a temporary directory");
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).expect("the directory takes a file");
        Self { dir, authority }
    }

    fn leaf(&self) -> Leaf {
        let names = vec![SERVER_NAME.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned()];
        let key = KeyPair::generate().expect("ring makes keys");
        let params = CertificateParams::new(names).expect("these are good names");
        let cert = params.signed_by(&key, &self.authority).expect("the authority signs");
        Leaf {
            cert: cert.der().clone(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            pems: (cert.pem(), key.serialize_pem()),
        }
    }

    fn paths(&self, name: &str) -> (PathBuf, PathBuf) {
        (
            self.dir.path().join(format!("{name}.pem")),
            self.dir.path().join(format!("{name}.key")),
        )
    }

    fn files(&self, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = self.leaf().pems;
        let paths = self.paths(name);
        std::fs::write(&paths.0, cert).expect("the directory takes a file");
        std::fs::write(&paths.1, key).expect("the directory takes a file");
        set_mode(&paths.1, 0o600);
        paths
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        Path::new(self.dir.path()).join("ca.pem")
    }

    /// A server's certificate and key, PEM.
    pub(crate) fn server_files(&self) -> (PathBuf, PathBuf) {
        self.files("server")
    }

    /// Where [`Self::server_files`] are.
    pub(crate) fn server_paths(&self) -> (PathBuf, PathBuf) {
        self.paths("server")
    }

    /// A client's certificate and key, PEM.
    pub(crate) fn client_files(&self) -> (PathBuf, PathBuf) {
        self.files("client")
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).expect("the authority is one");
        roots
    }

    /// The server's side of TLS, offering `alpn`.
    pub(crate) fn acceptor(&self, alpn: &[&str]) -> TlsAcceptor {
        self.accepting(alpn, false)
    }

    /// The same, for clients with a certificate of this authority only.
    pub(crate) fn strict_acceptor(&self, alpn: &[&str]) -> TlsAcceptor {
        self.accepting(alpn, true)
    }

    fn accepting(&self, alpn: &[&str], client_cert: bool) -> TlsAcceptor {
        let leaf = self.leaf();
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has TLS 1.2 and 1.3");
        let builder = if client_cert {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider());
            builder.with_client_cert_verifier(verifier.build().expect("there is a root"))
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder
            .with_single_cert(vec![leaf.cert], leaf.key)
            .expect("the key belongs to it");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A client's side of TLS that trusts this authority alone, offering `alpn`.
    pub(crate) fn connector(&self, alpn: &[&str]) -> TlsConnector {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has TLS 1.2 and 1.3")
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Gives a file these permissions.
pub(crate) fn set_mode(file: &Path, mode: u32) {
    std::fs::set_permissions(file, Permissions::from_mode(mode)).expect("the test's own file");
}
