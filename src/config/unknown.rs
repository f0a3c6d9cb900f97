//! Words and names that are not known here, and which one was probably meant.

use super::diagnostic::Diagnostic;
use super::reader::{Reader, quote};
use super::section::Section;
use super::source::Place;
use crate::notation::nearest::nearest;

/// A nearest name is suggested for this many faults at most: the effort grows with faults × names.
const HELPED_MAX: usize = 50;

/// Keys as other programs call them, in lower case and without `_` and `-`: the section, their names, ours.
const ELSEWHERE: [(&str, &[&str], &str); 15] = [
    (
        "upstream",
        &[
            "baseurl", "apibase", "apiurl", "base", "endpoint", "address", "host", "server", "uri",
        ],
        "url",
    ),
    (
        "upstream",
        &[
            "apikey",
            "apitoken",
            "authtoken",
            "token",
            "secret",
            "credential",
            "password",
            "auth",
        ],
        "key",
    ),
    (
        "upstream",
        &["type", "api", "apitype", "apiformat", "format", "kind", "wireapi"],
        "protocol",
    ),
    ("upstream", &["vendor"], "provider"),
    (
        "upstream",
        &["extraheaders", "defaultheaders", "customheaders", "httpheaders"],
        "headers",
    ),
    (
        "upstream",
        &["params", "queryparams", "extraquery", "defaultquery"],
        "query",
    ),
    (
        "upstream",
        &["concurrency", "maxconcurrency", "maxparallelrequests"],
        "max_inflight",
    ),
    ("configuration", &["models", "model", "modellist", "aliases"], "routes"),
    (
        "configuration",
        &["providers", "backends", "targets", "endpoints"],
        "upstreams",
    ),
    (
        "configuration",
        &["port", "address", "bind", "host", "listener", "listeners"],
        "listen",
    ),
    ("configuration", &["logging"], "log"),
    ("target", &["provider", "backend"], "upstream"),
    ("route", &["chain", "upstreams", "fallbacks", "providers"], "targets"),
    ("timeouts", &["ttft", "firsttokentimeout"], "first_token"),
    ("timeouts", &["total", "request", "overall"], "deadline"),
];

impl Reader<'_> {
    /// Reports a key that `section` does not have. Returns the one that was probably meant.
    pub(super) fn unknown_key(
        &mut self,
        place: Place,
        name: &str,
        what: &str,
        section: &'static Section,
    ) -> Option<&'static str> {
        let usable: Vec<&'static str> = section
            .all()
            .filter(|key| !key.is_reserved())
            .map(|key| key.name)
            .collect();
        let meant = elsewhere(name, section.name).or_else(|| self.near(name, &usable));
        let help = match meant {
            Some(meant) => Some(format!("did you mean {}?", quote(meant))),
            None => listed(&usable, quote),
        };
        self.report(Diagnostic {
            help,
            ..Diagnostic::error("unknown-key", place, format!("unknown key {} in {what}", quote(name)))
        });
        meant
    }

    /// Reports a word that is not among `known`, Switchback's own words; the help is the nearest one, or all of a short
    /// list.
    pub(super) fn unknown(&mut self, code: &'static str, place: Place, message: String, name: &str, known: &[&str]) {
        let help = match self.near(name, known) {
            Some(near) => Some(format!("did you mean {}?", quote(near))),
            None => listed(known, quote),
        };
        self.report(Diagnostic {
            help,
            ..Diagnostic::error(code, place, message)
        });
    }

    /// Says the same of a name, where `known` are names of the configuration.
    pub(super) fn help_with_name(&self, name: &str, known: &[&str]) -> Option<String> {
        match self.near(name, known) {
            Some(near) => Some(format!("did you mean {}?", self.quote_name(near))),
            None => listed(known, |known| self.quote_name(known)),
        }
    }

    fn near<'k>(&self, name: &str, known: &[&'k str]) -> Option<&'k str> {
        if self.diagnostics.len() < HELPED_MAX {
            nearest(name, known.iter().copied())
        } else {
            None
        }
    }
}

/// The key of `section` that other programs call `name`.
fn elsewhere(name: &str, section: &str) -> Option<&'static str> {
    let bare: String = name.chars().filter(|letter| !matches!(letter, '_' | '-')).collect();
    let bare = bare.to_lowercase();
    ELSEWHERE
        .iter()
        .find(|(of, names, _)| *of == section && names.contains(&bare.as_str()))
        .map(|&(_, _, ours)| ours)
}

fn listed(known: &[&str], quoted: impl Fn(&str) -> String) -> Option<String> {
    if known.is_empty() || known.len() > 24 {
        return None;
    }
    let known: Vec<String> = known.iter().map(|known| quoted(known)).collect();
    Some(format!("known here: {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn what_other_programs_say_leads_to_a_key_that_there_is() {
        let sections = [
            &keys::FILE,
            &keys::UPSTREAM,
            &keys::TARGET_FIELDS,
            &keys::ROUTE,
            &keys::TIMEOUTS,
        ];
        for (section, names, ours) in ELSEWHERE {
            let section = sections.into_iter().find(|known| known.name == section).unwrap();
            assert!(section.key(ours).is_some(), "{ours}");
            for name in names {
                assert!(section.key(name).is_none(), "{name} is a key itself");
            }
        }
        assert_eq!(elsewhere("BASE-URL", "upstream"), Some("url"));
        assert_eq!(elsewhere("apiKey", "upstream"), Some("key"));
        assert_eq!(elsewhere("apiKey", "route"), None);
    }
}
