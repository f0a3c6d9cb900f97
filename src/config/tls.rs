//! An upstream's `tls`: whom to trust, and what to show.

use super::diagnostic::{Complaint, Diagnostic};
use super::document::Node;
use super::pem::{self, Pem};
use super::reader::Reader;
use super::source::Place;
use super::{BaseUrl, Identity, UpstreamTls, keys, quantity, url};

/// Reads `tls`; warns where it has no effect, or removes protection.
pub(super) fn tls(reader: &mut Reader<'_>, node: &Node, at: Place, url: &BaseUrl) -> UpstreamTls {
    if !url.https {
        reader.report(Diagnostic::warning(
            "unused-tls",
            at,
            "`tls` has no effect: the URL is plain http",
        ));
    }
    let mut tls = UpstreamTls::default();
    let Some(fields) = reader.fields(node, at, "`tls`", &keys::UPSTREAM_TLS) else {
        return tls;
    };
    tls.ca = fields
        .get("ca")
        .and_then(|node| pem::read(reader, node, "`ca`", Pem::Certificates));
    if fields.get("cert").is_some() || fields.get("key").is_some() {
        let cert = fields
            .required(reader, "cert")
            .and_then(|node| pem::read(reader, node, "`cert`", Pem::Certificates));
        let key = fields
            .required(reader, "key")
            .and_then(|node| pem::read(reader, node, "`key`", Pem::PrivateKey));
        tls.client_cert = cert.zip(key).map(|(cert, key)| Identity { cert, key });
    }
    tls.server_name = fields.get("server_name").and_then(|node| {
        reader.value(node, "`server_name`", |text| {
            match url::is_host(text) || text.parse::<std::net::IpAddr>().is_ok() {
                true => Ok(text.to_owned()),
                false => Err(Complaint::new(
                    "bad-name",
                    "is not a host's name",
                    "write it without a scheme or a port",
                )),
            }
        })
    });
    if let Some(node) = fields.get("verify") {
        tls.insecure = reader.value(node, "`verify`", quantity::boolean) == Some(false);
        if tls.insecure {
            let message =
                "the upstream's certificate is not verified: anyone on the network path can read keys and prompts";
            reader.report(
                Diagnostic::warning("tls-not-verified", node.place, message)
                    .help("name its authority instead: `ca: FILE`"),
            );
        }
    }
    tls
}
