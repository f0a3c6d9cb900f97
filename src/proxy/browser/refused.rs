//! Why a request of a browser is refused.

use http::StatusCode;
use thiserror::Error;

/// Longer origins are cut in messages.
pub(super) const SHOWN_CHARS_MAX: usize = 100;

/// Why a request is refused. `Display` is what its client reads.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(in crate::proxy) enum Refused {
    #[error(
        "a web page of another site (`origin: {origin}`) asks, and could spend the keys of this gateway. If it should, the operator can \
         allow it: `listen: [{{ address: …, cors: [\"{origin}\"] }}]`"
    )]
    Origin { origin: String },
    #[error(
        "a browser asks for a page of another site (`sec-fetch-site: {site}`) without saying which, and what it asks for could spend the \
         keys of this gateway. Open the address itself in a tab, or have the page ask with `fetch` from an origin that the operator \
         allows: `listen: [{{ address: …, cors: [ORIGIN] }}]`"
    )]
    Site { site: String },
    #[error(
        "a web page (`origin: {origin}`) asks whether it may send requests here (a CORS preflight), and it may not. The operator can \
         allow it: `listen: [{{ address: …, cors: [\"{origin}\"] }}]`"
    )]
    Preflight { origin: String },
    #[error(
        "the `host` of this request, `{host}`, is no name of this listener, and might be somebody else's. The operator can add it: \
         `listen: [{{ address: …, hosts: [NAME] }}]`"
    )]
    Host { host: String },
}

impl Refused {
    pub(in crate::proxy) fn status(&self) -> StatusCode {
        match self {
            Self::Host { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin { .. } | Self::Site { .. } | Self::Preflight { .. } => StatusCode::FORBIDDEN,
        }
    }

    pub(in crate::proxy) fn code(&self) -> &'static str {
        match self {
            Self::Host { .. } => "foreign_host",
            Self::Origin { .. } | Self::Site { .. } | Self::Preflight { .. } => "foreign_origin",
        }
    }
}
