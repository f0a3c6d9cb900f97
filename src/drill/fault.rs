//! The ways in which a stand-in can be broken, as written on the command line and on the control address.

use crate::notation::duration;
use crate::notation::nearest::nearest;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What is wrong with a stand-in. Text and value go both ways: `parse` and `Display`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `ok`: nothing is wrong.
    Ok,
    /// `400` to `599`, the body in the provider's shape. `429:2s` says the wait that `retry-after` asks for.
    Status { code: u16, retry_after: Option<Duration> },
    /// `overloaded`: 529 from Anthropic, 503 from the others.
    Overloaded,
    /// `out-of-credits`: the answer that this provider gives to an empty account, whatever its status.
    OutOfCredits,
    /// `hang`: reads the request and never answers.
    Hang,
    /// `refuse`: nobody listens on the port, and open connections are closed.
    Refuse,
    /// `cut`: the connection ends when two thirds of the answer are sent.
    Cut,
    /// `stall`: the answer stops in its middle and the connection stays open.
    Stall,
    /// `error-in-200`: status 200, and the body is an error.
    ErrorIn200,
    /// `error-in-stream`: status 200, and the stream brings an error before anything meaningful.
    ErrorInStream,
    /// `slow:5s`: waits that long before it answers.
    Slow(Duration),
}

/// Longest wait that a fault may ask for.
pub const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Longest model name that a fault may be limited to, in bytes.
pub const MODEL_MAX_BYTES: usize = 256;

/// Every fault as a person writes it, for help texts.
pub const FAULTS: &str = "429, 402, 500 or any status from 400 to 599 (429:2s says the retry-after), overloaded, \
    out-of-credits, hang, refuse, cut, stall, error-in-200, error-in-stream, slow:5s, ok";

const NAMED: [(&str, Fault); 9] = [
    ("ok", Fault::Ok),
    ("overloaded", Fault::Overloaded),
    ("out-of-credits", Fault::OutOfCredits),
    ("hang", Fault::Hang),
    ("refuse", Fault::Refuse),
    ("cut", Fault::Cut),
    ("stall", Fault::Stall),
    ("error-in-200", Fault::ErrorIn200),
    ("error-in-stream", Fault::ErrorInStream),
];

/// Why a text is no fault, or no `UPSTREAM=FAULT`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let text = text.trim();
        if let Some((_, fault)) = NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(*fault);
        }
        let (head, time) = match text.split_once(':') {
            Some((head, time)) => (head, Some(time)),
            None => (text, None),
        };
        if head == "slow" {
            let time = time.ok_or_else(|| FaultError("`slow` needs a time: `slow:5s`".into()))?;
            return Ok(Fault::Slow(wait(time)?));
        }
        if !head.is_empty() && head.bytes().all(|byte| byte.is_ascii_digit()) {
            return match head.parse::<u16>() {
                Ok(code) if (400..=599).contains(&code) => Ok(Fault::Status {
                    code,
                    retry_after: time.map(wait).transpose()?,
                }),
                _ => Err(FaultError(format!(
                    "status {head} is no failure: a fault's status is from 400 to 599"
                ))),
            };
        }
        let names = NAMED.iter().map(|(name, _)| *name).chain(["slow:5s", "429"]);
        let help = nearest(text, names).map_or(String::new(), |name| format!("; did you mean `{name}`?"));
        Err(FaultError(format!(
            "unknown fault `{text}`{help} (there are: {FAULTS})"
        )))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Status {
                code,
                retry_after: None,
            } => write!(f, "{code}"),
            Fault::Status {
                code,
                retry_after: Some(wait),
            } => write!(f, "{code}:{}", duration::Whole(*wait)),
            Fault::Slow(wait) => write!(f, "slow:{}", duration::Whole(*wait)),
            named => {
                let name = NAMED
                    .iter()
                    .find(|(_, fault)| fault == named)
                    .map_or("", |(name, _)| *name);
                f.write_str(name)
            }
        }
    }
}

/// A fault of one upstream: `UPSTREAM=FAULT`, or `UPSTREAM=FAULT,model=MODEL` for the requests that ask
/// that upstream for that model (by the name that the upstream is sent).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultSpec {
    pub upstream: String,
    pub model: Option<String>,
    pub fault: Fault,
}

impl FaultSpec {
    /// # Errors
    /// `refuse` with a model: which model is asked for is only known once the connection is open.
    pub fn new(upstream: String, model: Option<String>, fault: Fault) -> Result<Self, FaultError> {
        match &model {
            Some(_) if fault == Fault::Refuse => Err(FaultError(
                "`refuse` closes the port, so it can't be limited to one model; try `hang` or `500`".into(),
            )),
            Some(model) if model.is_empty() || model.len() > MODEL_MAX_BYTES => Err(FaultError(format!(
                "the model's name must have 1 to {MODEL_MAX_BYTES} bytes"
            ))),
            _ => Ok(Self { upstream, model, fault }),
        }
    }
}

impl FromStr for FaultSpec {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let form = "UPSTREAM=FAULT or UPSTREAM=FAULT,model=MODEL";
        let (upstream, rest) = text
            .split_once('=')
            .ok_or_else(|| FaultError(format!("`{text}` is not of the form {form}")))?;
        if let Some((upstream, model)) = upstream.split_once('/') {
            return Err(FaultError(format!(
                "for one model write {upstream}={rest},model={model}"
            )));
        }
        if upstream.is_empty() {
            return Err(FaultError(format!("no upstream in `{text}`: write {form}")));
        }
        let (fault, model) = match rest.split_once(',') {
            None => (rest, None),
            Some((fault, option)) => match option.strip_prefix("model=") {
                Some(model) => (fault, Some(model.to_owned())),
                None => return Err(FaultError(format!("`{option}` is not `model=MODEL`: write {form}"))),
            },
        };
        Self::new(upstream.to_owned(), model, fault.parse()?)
    }
}

impl fmt::Display for FaultSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.upstream, self.fault)?;
        self.model.as_ref().map_or(Ok(()), |model| write!(f, ",model={model}"))
    }
}

fn wait(text: &str) -> Result<Duration, FaultError> {
    if !matches!(duration::number_and_unit(text).1, "ms" | "s" | "m") {
        return Err(FaultError(format!("`{text}` is no time: write 250ms, 5s or 2m")));
    }
    duration::read_whole(text)
        .filter(|wait| *wait <= WAIT_MAX)
        .ok_or_else(|| FaultError(format!("`{text}` is no time from 0 to {}m", WAIT_MAX.as_secs() / 60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_reads_back_what_it_prints() {
        for text in [
            "ok",
            "400",
            "429",
            "429:2s",
            "503:250ms",
            "599",
            "overloaded",
            "out-of-credits",
            "hang",
            "refuse",
            "cut",
            "stall",
            "error-in-200",
            "error-in-stream",
            "slow:5s",
            "slow:250ms",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        assert_eq!(
            "slow:2m".parse::<Fault>().unwrap(),
            Fault::Slow(Duration::from_secs(120))
        );
    }

    #[test]
    fn what_is_no_fault_is_told_why() {
        for (text, expected) in [
            ("overlaoded", "did you mean `overloaded`?"),
            ("timeout", "there are: 429"),
            ("200", "from 400 to 599"),
            ("99999", "from 400 to 599"),
            ("slow", "slow:5s"),
            ("slow:5", "250ms, 5s or 2m"),
            ("slow:99999999999999999999s", "0 to 60m"),
            ("", "unknown fault"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_specification_names_upstream_fault_and_perhaps_model() {
        let spec: FaultSpec = "openrouter=slow:5s,model=openai/gpt-4o".parse().unwrap();
        assert_eq!(spec.upstream, "openrouter");
        assert_eq!(spec.model.as_deref(), Some("openai/gpt-4o"));
        assert_eq!(spec.fault, Fault::Slow(Duration::from_secs(5)));
        assert_eq!(spec.to_string(), "openrouter=slow:5s,model=openai/gpt-4o");
        for (text, expected) in [
            ("openai", "UPSTREAM=FAULT"),
            ("=429", "no upstream"),
            ("openai/gpt-4o=429", "write openai=429,model=gpt-4o"),
            ("openai=429,gpt-4o", "model=MODEL"),
            ("openai=429,model=", "1 to 256"),
            ("openai=refuse,model=gpt-4o", "can't be limited"),
        ] {
            let error = text.parse::<FaultSpec>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
