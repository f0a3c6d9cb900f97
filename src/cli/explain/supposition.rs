//! `--if UPSTREAM=FATE`: what is supposed to happen to an attempt.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::classify::Class;
use crate::notation::duration;
use crate::routing::Step;

/// Lists every fate as a person writes it, for help texts.
pub(super) fn fates() -> String {
    let classes: Vec<&str> = answered().map(|(class, _)| class.name()).collect();
    format!(
        "a status from 400 to 599 (429:2s adds a retry-after); a class of answers ({}); refused; reset; a clock that runs out \
         (connect; timeout, which is headers or answer as the request is; first_token); ok",
        classes.join(", ")
    )
}

/// The classes that an answer can have, and the status that it usually comes with.
fn answered() -> impl Iterator<Item = (Class, u16)> {
    Class::ALL
        .into_iter()
        .filter_map(|class| Some((class, class.usual_status()?)))
}

/// Upstreams ask for no longer waits that would make a difference.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 86_400);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Supposition {
    pub(super) upstream: String,
    /// The model's name there; `None`: whatever model.
    pub(super) model: Option<String>,
    pub(super) fate: Fate,
    written: String,
}

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is answered.
    Served,
    /// It gets a failed answer. Without a class, the status alone decides.
    Answer {
        status: u16,
        class: Option<Class>,
        retry_after: Option<Duration>,
    },
    Refused,
    Reset,
    Clock(Clock),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Connect,
    /// The one that bounds the wait for the header: `headers` of a stream, `answer` of any other answer.
    Header,
    FirstToken,
}

const SILENT: [(&str, Fate); 8] = [
    ("ok", Fate::Served),
    ("refused", Fate::Refused),
    ("reset", Fate::Reset),
    ("connect", Fate::Clock(Clock::Connect)),
    ("headers", Fate::Clock(Clock::Header)),
    ("answer", Fate::Clock(Clock::Header)),
    ("timeout", Fate::Clock(Clock::Header)),
    ("first_token", Fate::Clock(Clock::FirstToken)),
];

impl Supposition {
    /// Returns whether it speaks of the same attempts as `other`.
    pub(super) fn concerns_the_same(&self, other: &Self) -> bool {
        self.upstream == other.upstream && self.model == other.model
    }

    pub(super) fn concerns(&self, step: &Step, requested: &str) -> bool {
        let there = step.model.as_deref().unwrap_or(requested);
        self.upstream == *step.target.upstream.name && self.model.as_deref().is_none_or(|model| model == there)
    }
}

impl fmt::Display for Supposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl FromStr for Supposition {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        const FORM: &str = "write UPSTREAM=FATE or UPSTREAM/MODEL=FATE, as in `openai=429`";
        // A model's name may have an equals sign, a fate has none.
        let (whom, fate) = written.rsplit_once('=').ok_or(FORM)?;
        let (upstream, model) = match whom.split_once('/') {
            Some((upstream, model)) => (upstream, Some(model)),
            None => (whom, None),
        };
        if upstream.is_empty() || model == Some("") {
            return Err(FORM.to_owned());
        }
        Ok(Self {
            upstream: upstream.to_owned(),
            model: model.map(str::to_owned),
            fate: fate.parse()?,
            written: written.to_owned(),
        })
    }
}

impl FromStr for Fate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(&(_, fate)) = SILENT.iter().find(|(name, _)| *name == text) {
            return Ok(fate);
        }
        let (head, retry_after) = match text.split_once(':') {
            Some((head, time)) => (head, Some(wait(time)?)),
            None => (text, None),
        };
        if let Some((class, status)) = answered().find(|(class, _)| class.name() == head) {
            return Ok(Self::Answer {
                status,
                class: Some(class),
                retry_after,
            });
        }
        match head.parse::<u16>() {
            Ok(status @ 400..=599) => Ok(Self::Answer {
                status,
                class: None,
                retry_after,
            }),
            Ok(status) => Err(format!("status {status} is not a failure: failures are 400 to 599")),
            Err(_) => Err(format!("`{text}` can't be supposed; there are: {}", fates())),
        }
    }
}

fn wait(text: &str) -> Result<Duration, String> {
    duration::read_whole(text)
        .filter(|wait| *wait <= RETRY_AFTER_MAX)
        .ok_or_else(|| format!("`{text}` is no time of at most a week: write 250ms, 2s, 10m or 24h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_are_read_as_written() {
        for (text, fate) in [
            ("openai=ok", Fate::Served),
            ("openai=timeout", Fate::Clock(Clock::Header)),
            (
                "openai=429:2s",
                Fate::Answer {
                    status: 429,
                    class: None,
                    retry_after: Some(Duration::from_secs(2)),
                },
            ),
            (
                "openai=overloaded",
                Fate::Answer {
                    status: 503,
                    class: Some(Class::Overloaded),
                    retry_after: None,
                },
            ),
        ] {
            let read: Supposition = text.parse().unwrap();
            assert_eq!((read.upstream.as_str(), read.fate), ("openai", fate), "{text}");
            assert_eq!(read.to_string(), text);
        }
        let read: Supposition = "openrouter/a/b=c=402".parse().unwrap();
        assert_eq!(read.model.as_deref(), Some("a/b=c"));
    }

    #[test]
    fn what_can_not_be_supposed_is_told_why() {
        for (text, expected) in [
            ("openai", "UPSTREAM=FATE"),
            ("=429", "UPSTREAM=FATE"),
            ("openai/=429", "UPSTREAM=FATE"),
            ("openai=200", "400 to 599"),
            ("openai=client_gone", "there are: a status"),
            ("openai=429:2", "250ms, 2s"),
            ("openai=429:99999999999999999999s", "a week"),
            ("openai=429:8760h", "a week"),
            ("openai=", "can't be supposed"),
        ] {
            let error = text.parse::<Supposition>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
