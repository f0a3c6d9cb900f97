//! The certificates of TLS listeners: a reload replaces them while the listeners stay. Handshakes that have begun, and
//! open connections, keep the certificate that they were shown.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use crate::config::{Identity, Listener};

/// A certificate or key that TLS can't use.
#[derive(Debug, Error)]
#[error("listener {address}: tls: {reason}")]
pub struct CertificateError {
    address: String,
    reason: String,
}

/// The certificates of every TLS listener that there was at the start, by its address.
#[derive(Debug)]
pub(super) struct Certificates(Vec<(String, Arc<Current>)>);

/// The certificate that a listener presents now.
#[derive(Debug)]
pub(super) struct Current(ArcSwap<CertifiedKey>);

/// Certificates that can be used, but are not in use yet.
pub(super) struct Renewal(Vec<(Arc<Current>, Arc<CertifiedKey>)>);

impl Certificates {
    /// Loads the certificates of `listeners`.
    ///
    /// # Errors
    /// The first certificate that cannot be used.
    pub(super) fn of(listeners: &[Listener]) -> Result<Self, CertificateError> {
        let certified = certified(listeners).into_iter().map(|(address, key)| {
            let current = Current(ArcSwap::new(key?));
            Ok((address, Arc::new(current)))
        });
        Ok(Self(certified.collect::<Result<_, CertificateError>>()?))
    }

    /// Finds the certificate of the TLS listener at `address`.
    pub(super) fn resolver(&self, address: &str) -> Option<Arc<Current>> {
        self.find(address).cloned()
    }

    /// Loads what `listeners` name now. A listener that was not there at the start has no socket, and is only checked.
    ///
    /// # Errors
    /// Every certificate that cannot be used: then none is replaced.
    pub(super) fn renewal(&self, listeners: &[Listener]) -> Result<Renewal, Vec<CertificateError>> {
        let mut renewed = Vec::new();
        let mut errors = Vec::new();
        for (address, key) in certified(listeners) {
            match (key, self.find(&address)) {
                (Ok(key), Some(current)) => renewed.push((Arc::clone(current), key)),
                (Ok(_), None) => {}
                (Err(error), _) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(Renewal(renewed))
        } else {
            Err(errors)
        }
    }

    fn find(&self, address: &str) -> Option<&Arc<Current>> {
        self.0
            .iter()
            .find(|(known, _)| known == address)
            .map(|(_, current)| current)
    }
}

impl Renewal {
    /// Presents them on new connections from now on.
    pub(super) fn install(self) {
        for (current, key) in self.0 {
            current.0.store(key);
        }
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

type Certified = (String, Result<Arc<CertifiedKey>, CertificateError>);

fn certified(listeners: &[Listener]) -> Vec<Certified> {
    let with_tls = listeners
        .iter()
        .filter_map(|listener| Some((String::from(&listener.address), listener.tls.as_ref()?)));
    with_tls
        .map(|(address, identity)| {
            let key = certified_key(identity).map_err(|reason| CertificateError {
                address: address.clone(),
                reason,
            });
            (address, key.map(Arc::new))
        })
        .collect()
}

fn certified_key(identity: &Identity) -> Result<CertifiedKey, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&identity.cert)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("cert: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|e| format!("key: {e}"))?;
    CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
        error => error.to_string(),
    })
}
