//! Which parts of an upstream's header go to the client: none of the gateway's own names, no reference around the
//! gateway, and no secret that the upstream gives back.

use http::header::{CONTENT_LOCATION, LINK, LOCATION, REFRESH};
use http::{HeaderName, HeaderValue};
use memchr::memmem;

use super::Upstream;
use super::outbound::OURS;
use crate::protocol::endpoint::endpoint;

/// A shorter key is a word like any other.
const SECRET_MIN_BYTES: usize = 8;

/// What becomes of one field of an upstream's header.
#[derive(Debug, PartialEq, Eq)]
pub enum Screened {
    Passes,
    Changed(HeaderValue),
    Dropped,
}

impl Upstream {
    /// Examines one field of an answer's header, or of its trailers.
    pub fn screen(&self, name: &HeaderName, value: &HeaderValue) -> Screened {
        if name.as_str().starts_with(OURS) {
            return Screened::Dropped;
        }
        let changed = match *name {
            LOCATION | CONTENT_LOCATION | REFRESH | LINK => self.redirected(name, value),
            _ => None,
        };
        let bytes = changed.as_ref().map_or(value.as_bytes(), HeaderValue::as_bytes);
        match changed {
            _ if self.gives_back_secret(bytes) => Screened::Dropped,
            Some(changed) => Screened::Changed(changed),
            None => Screened::Passes,
        }
    }

    fn gives_back_secret(&self, value: &[u8]) -> bool {
        let in_value = |secret: &str| {
            (SECRET_MIN_BYTES..=value.len()).contains(&secret.len()) && memmem::find(value, secret.as_bytes()).is_some()
        };
        self.secrets().any(in_value)
    }

    /// Rewrites the references in the value to lead through the gateway. `None`: it stays as it is.
    fn redirected(&self, name: &HeaderName, value: &HeaderValue) -> Option<HeaderValue> {
        let text = value.to_str().ok()?;
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, reference, after)) = next_reference(name, rest) {
            out.push_str(before);
            out.push_str(&self.by_way_of_gateway(reference));
            rest = after;
        }
        out.push_str(rest);
        (out != text).then(|| HeaderValue::try_from(out).ok()).flatten()
    }

    /// Rewrites a reference to this upstream as one to the gateway; the parameters that the gateway adds are left out.
    fn by_way_of_gateway(&self, reference: &str) -> String {
        let (reference, fragment) = split_before(reference, '#');
        let (place, query) = split_before(reference, '?');
        let (is_own, place) = match authority(place) {
            Some((host, path)) if host.eq_ignore_ascii_case(self.url.host.as_str()) => {
                (true, self.client_path(if path.is_empty() { "/" } else { path }))
            }
            Some(_) => (false, place.to_owned()),
            None if place.starts_with('/') => (true, self.client_path(place)),
            None => (true, place.to_owned()),
        };
        let added = |pair: &str| {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            let mut own = self.query.split('&').filter(|own| !own.is_empty());
            own.any(|own| own == pair || is_own && own.split_once('=').is_some_and(|(own, _)| own == name))
        };
        let pairs = query.strip_prefix('?').unwrap_or_default().split('&');
        let pairs: Vec<_> = pairs.filter(|pair| !added(pair)).collect();
        let pairs = pairs.join("&");
        let question_mark = if pairs.is_empty() { "" } else { "?" };
        format!("{place}{question_mark}{pairs}{fragment}")
    }

    /// Returns the path by which a client finds what is at `path` here.
    fn client_path(&self, path: &str) -> String {
        let below = path.strip_prefix(self.url.path.as_str());
        match below.filter(|below| below.is_empty() || below.starts_with('/')) {
            Some(below) => format!("/v1{}", endpoint(below)),
            None => path.to_owned(),
        }
    }
}

/// Finds the next reference in such a field, with the text before and after it.
fn next_reference<'t>(name: &HeaderName, text: &'t str) -> Option<(&'t str, &'t str, &'t str)> {
    let (start, end) = match *name {
        LINK => {
            let start = text.find('<')? + 1;
            (start, start + text[start..].find('>')?)
        }
        // `5; url=…`, maybe in quotes.
        REFRESH => {
            let start = text.to_ascii_lowercase().find("url=")? + "url=".len();
            let quotes = text[start..].len() - text[start..].trim_start_matches(['"', '\'', ' ']).len();
            (start + quotes, text.trim_end_matches(['"', '\'', ' ']).len())
        }
        _ if text.is_empty() => return None,
        _ => (0, text.len()),
    };
    Some((&text[..start], text.get(start..end)?, &text[end..]))
}

fn split_before(text: &str, mark: char) -> (&str, &str) {
    text.split_at(text.find(mark).unwrap_or(text.len()))
}

/// The host of an absolute reference, and its path.
fn authority(reference: &str) -> Option<(&str, &str)> {
    let after_scheme = match reference.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => rest,
        _ => reference.strip_prefix("//")?,
    };
    let (authority, path) = split_before(after_scheme, '/');
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = match host.strip_prefix('[') {
        Some(inside) => inside.split(']').next().unwrap_or(inside),
        None => host.split(':').next().unwrap_or(host),
    };
    Some((host, path))
}

#[cfg(test)]
mod tests;
