//! Labelled answers, and how many of them are classified as labelled.

use std::fmt::Write;

use anyhow::Context;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::Answer;

pub(super) struct Case {
    id: String,
    /// A class by its name; `None`: no failure.
    label: Option<String>,
    answer: Answer,
}

#[derive(Deserialize)]
struct Written {
    provider: Option<String>,
    status: u16,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: String,
    path: Option<String>,
    #[serde(default)]
    request: String,
    class: Option<String>,
}

pub(super) struct Score {
    total: usize,
    misses: Vec<Miss>,
}

struct Miss {
    id: String,
    expected: Option<String>,
    got: Option<&'static str>,
    rule: Option<&'static str>,
}

/// # Errors
/// Fails if the text is no JSON array of cases.
pub(super) fn parse(text: &[u8]) -> anyhow::Result<Vec<Case>> {
    let values: Vec<Value> = serde_json::from_slice(text).context("not a JSON array")?;
    let cases = values.into_iter().enumerate().map(|(index, value)| {
        let id = match value.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(id) if !id.is_null() => id.to_string(),
            _ => format!("#{}", index + 1),
        };
        let written: Written = serde_json::from_value(value).with_context(|| format!("case {id}"))?;
        Ok(Case {
            id,
            label: written.class,
            answer: Answer {
                status: written.status,
                headers: headers(&written.headers),
                body: written.body.into_bytes(),
                provider: written.provider,
                path: written.path,
                request: written.request.into_bytes(),
            },
        })
    });
    cases.collect()
}

/// Reads name → value or list of values. Names that no response can carry (a recorder's `:status`) are skipped.
fn headers(written: &Map<String, Value>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in written {
        let Ok(name) = name.parse::<HeaderName>() else { continue };
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if let Ok(value) = HeaderValue::from_bytes(text.trim().as_bytes()) {
                headers.append(name.clone(), value);
            }
        }
    }
    headers
}

pub(super) fn score(cases: &[Case]) -> Score {
    let misses = cases.iter().filter_map(|case| {
        let verdict = case.answer.failure().map(|failure| failure.verdict);
        let got = verdict.map(|verdict| verdict.class.name());
        (got != case.label.as_deref()).then(|| Miss {
            id: case.id.clone(),
            expected: case.label.clone(),
            got,
            rule: verdict.map(|verdict| verdict.rule),
        })
    });
    Score {
        total: cases.len(),
        misses: misses.collect(),
    }
}

impl Score {
    pub(super) fn is_full(&self) -> bool {
        self.misses.is_empty()
    }

    pub(super) fn render(&self, as_json: bool) -> String {
        let right = self.total - self.misses.len();
        if as_json {
            let misses: Vec<Value> = self.misses.iter().map(Miss::to_json).collect();
            return format!("{}\n", json!({ "total": self.total, "right": right, "misses": misses }));
        }
        let mut text = String::new();
        for miss in &self.misses {
            let rule = miss.rule.map_or_else(String::new, |rule| format!(" (rule {rule})"));
            // Writing to a `String` can't fail.
            let _ = writeln!(
                text,
                "{}: expected {}, got {}{rule}",
                miss.id,
                miss.expected.as_deref().unwrap_or("none"),
                miss.got.unwrap_or("none")
            );
        }
        let _ = writeln!(text, "{right}/{}", self.total);
        text
    }
}

impl Miss {
    fn to_json(&self) -> Value {
        json!({ "id": self.id, "expected": self.expected, "got": self.got, "rule": self.rule })
    }
}
