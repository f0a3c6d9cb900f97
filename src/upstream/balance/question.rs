//! What a provider is asked about an account, and what its answers say. Without I/O.

use serde_json::Value;
use thiserror::Error;

use crate::config::{BalancePreset, BalanceSource};
use crate::protocol::Protocol;
use crate::upstream::path;

/// The limit that the one-api family states for a token without one (`controller/billing.go` of one-api and new-api).
const ONE_API_UNLIMITED: f64 = 100_000_000.0;
/// A remainder of a subtraction below this precision is rounding.
const PLACES: f64 = 1e6;

/// What is left on an account.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Remaining {
    /// `None`: the provider knows of no limit, which does not say how much the account has.
    pub amount: Option<f64>,
    /// The currency in ISO 4217, if it is known what the amount counts.
    pub currency: Option<&'static str>,
    /// The account serves no more requests.
    pub is_spent: bool,
}

impl Remaining {
    fn of(amount: f64, currency: Option<&'static str>) -> Self {
        let amount = (amount * PLACES).round() / PLACES;
        Self {
            amount: Some(amount),
            currency,
            is_spent: amount <= 0.0,
        }
    }

    fn unlimited(currency: Option<&'static str>) -> Self {
        Self {
            amount: None,
            currency,
            is_spent: false,
        }
    }
}

/// One request of a poll. A poll has at most two.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// How much more the key may spend.
    OpenRouterKey,
    /// What the account has. Only a management key may ask.
    OpenRouterCredits,
    DeepSeek,
    Moonshot,
    OneApiLimit,
    OneApiUsage {
        limit: f64,
    },
    At {
        path_and_query: String,
        pointer: String,
    },
}

/// What an answer leads to.
#[derive(Debug, PartialEq)]
pub enum Answer {
    Told(Remaining),
    Ask(Question),
}

/// Why an answer cannot be read. It shows nothing of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unreadable {
    #[error("the answer's status is {0}")]
    Status(u16),
    #[error("the answer is not JSON")]
    NotJson,
    #[error("`{0}` leads nowhere in the answer")]
    Nowhere(String),
    #[error("`{0}` leads to no number in the answer")]
    NoNumber(String),
}

impl Question {
    /// Returns the question with which a poll begins.
    pub fn first(source: &BalanceSource) -> Self {
        match source {
            BalanceSource::Preset(BalancePreset::OpenRouter) => Self::OpenRouterKey,
            BalanceSource::Preset(BalancePreset::DeepSeek) => Self::DeepSeek,
            BalanceSource::Preset(BalancePreset::Moonshot) => Self::Moonshot,
            BalanceSource::Preset(BalancePreset::OneApi) => Self::OneApiLimit,
            BalanceSource::At {
                path_and_query,
                pointer,
            } => Self::At {
                path_and_query: path_and_query.clone(),
                pointer: pointer.clone(),
            },
        }
    }

    /// Returns the path and query of the question, at an upstream with this base path and this query on all of its
    /// requests.
    pub fn path_and_query(&self, base_path: &str, own_query: &str) -> String {
        // As Anthropic's paths: one `/v1`, whether the base URL ends in it or not.
        let below_base = |path| path::at_upstream(base_path, Protocol::Anthropic, path, "", own_query);
        let at_root = |path: &str, query| path::at_upstream(path, Protocol::OpenAi, "", query, own_query);
        match self {
            Self::OpenRouterKey => below_base("/v1/key"),
            Self::OpenRouterCredits => below_base("/v1/credits"),
            Self::OneApiLimit => below_base("/v1/dashboard/billing/subscription"),
            Self::OneApiUsage { .. } => below_base("/v1/dashboard/billing/usage"),
            // The base URL may be that of another protocol (`/anthropic`); these are not below it.
            Self::DeepSeek => at_root("/user/balance", ""),
            Self::Moonshot => at_root("/v1/users/me/balance", ""),
            Self::At { path_and_query, .. } => match path_and_query.split_once('?') {
                Some((path, query)) => at_root(path, query),
                None => at_root(path_and_query, ""),
            },
        }
    }

    /// Reads the answer of `host`.
    ///
    /// # Errors
    /// The answer cannot be read.
    pub fn answered(&self, host: &str, status: u16, body: &[u8]) -> Result<Answer, Unreadable> {
        if *self == Self::OpenRouterCredits && matches!(status, 401 | 403) {
            // Not a management key.
            return Ok(Answer::Told(Remaining::unlimited(Some("USD"))));
        }
        if !(200..300).contains(&status) {
            return Err(Unreadable::Status(status));
        }
        let body: Value = serde_json::from_slice(body).map_err(|_| Unreadable::NotJson)?;
        let told = match self {
            Self::OpenRouterKey => return openrouter_key(&body),
            Self::OpenRouterCredits => {
                let left = number(&body, "/data/total_credits")? - number(&body, "/data/total_usage")?;
                Remaining::of(left, Some("USD"))
            }
            Self::DeepSeek => deepseek(&body)?,
            Self::Moonshot => Remaining::of(number(&body, "/data/available_balance")?, moonshot_currency(host)),
            Self::OneApiLimit => {
                let limit = number(&body, "/hard_limit_usd")?;
                if limit < ONE_API_UNLIMITED {
                    return Ok(Answer::Ask(Self::OneApiUsage { limit }));
                }
                Remaining::unlimited(None)
            }
            // Hundredths of whatever the relay counts in: dollars, yuan or tokens.
            Self::OneApiUsage { limit } => Remaining::of(limit - number(&body, "/total_usage")? / 100.0, None),
            Self::At { pointer, .. } => Remaining::of(number(&body, pointer)?, None),
        };
        Ok(Answer::Told(told))
    }
}

/// A null limit means that the key has none: the account is asked about, if the key may.
fn openrouter_key(body: &Value) -> Result<Answer, Unreadable> {
    const LIMIT: &str = "/data/limit_remaining";
    const BUDGET: &str = "/data/effective_budget/remaining_usd";
    let limit = body.pointer(LIMIT);
    if limit.is_none() && body.pointer(BUDGET).is_none() {
        return Err(Unreadable::Nowhere(LIMIT.to_owned()));
    }
    let amounts = [LIMIT, BUDGET]
        .into_iter()
        .filter(|pointer| body.pointer(pointer).is_some_and(|value| !value.is_null()));
    let amounts: Vec<f64> = amounts.map(|pointer| number(body, pointer)).collect::<Result<_, _>>()?;
    let least = amounts.into_iter().reduce(f64::min);
    let is_management_key = body.pointer("/data/is_management_key").and_then(Value::as_bool);
    Ok(match least {
        Some(amount) => Answer::Told(Remaining::of(amount, Some("USD"))),
        None if is_management_key == Some(false) => Answer::Told(Remaining::unlimited(Some("USD"))),
        None => Answer::Ask(Question::OpenRouterCredits),
    })
}

/// One balance a currency, and the account is good as long as one is: the largest counts.
fn deepseek(body: &Value) -> Result<Remaining, Unreadable> {
    const INFOS: &str = "/balance_infos";
    let is_available = body.pointer("/is_available").and_then(Value::as_bool);
    let infos = body.pointer(INFOS).and_then(Value::as_array);
    let infos = infos.ok_or_else(|| Unreadable::Nowhere(INFOS.to_owned()))?;
    let mut largest: Option<Remaining> = None;
    for info in infos {
        let currency = match info.pointer("/currency").and_then(Value::as_str) {
            Some("CNY") => Some("CNY"),
            Some("USD") => Some("USD"),
            _ => None,
        };
        let remaining = Remaining::of(number(info, "/total_balance")?, currency);
        if largest.is_none_or(|largest| remaining.amount > largest.amount) {
            largest = Some(remaining);
        }
    }
    match (largest, is_available) {
        (Some(largest), is_available) => Ok(Remaining {
            is_spent: largest.is_spent || is_available == Some(false),
            ..largest
        }),
        (None, Some(false)) => Ok(Remaining::of(0.0, None)),
        (None, _) => Err(Unreadable::Nowhere(format!("{INFOS}/0"))),
    }
}

/// The platform is two: one bills in dollars, one in yuan.
fn moonshot_currency(host: &str) -> Option<&'static str> {
    match host.rsplit('.').next() {
        Some("ai") => Some("USD"),
        Some("cn") => Some("CNY"),
        _ => None,
    }
}

/// Finds the number, or the string that contains one, to which an RFC 6901 pointer leads.
fn number(body: &Value, pointer: &str) -> Result<f64, Unreadable> {
    let found = body
        .pointer(pointer)
        .ok_or_else(|| Unreadable::Nowhere(pointer.to_owned()))?;
    let number = match found {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| Unreadable::NoNumber(pointer.to_owned()))
}

#[cfg(test)]
mod tests;
