//! `switchback classify`: what an answer means, by the table that judges production.

mod answer;
mod cases;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use http::{HeaderName, HeaderValue};
use serde_json::json;

use super::terminal;
use crate::classify::{Action, Class, Verdict};
use crate::config;
use answer::Answer;

/// The largest body or file of cases that is read; no error answer is larger.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Classify an upstream's answer: print its class, what is done about it, and the rule that matched
///
/// The answer is judged and classified as in production; actions are the defaults, without the `policy.on` of any
/// configuration. Exit status: 0 classified (with --cases: all as labelled), 1 some case is not as labelled, 2 wrong
/// arguments.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The answer's status
    #[arg(long, value_name = "CODE", required_unless_present = "cases", value_parser = clap::value_parser!(u16).range(100..=999))]
    status: Option<u16>,

    /// A header of the answer; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,

    /// The answer's body, `-` for standard input [default: an empty body]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,

    /// The body of the request that was answered: what the answer repeats of it does not count as the upstream's own words
    /// [default: nothing is repeated]
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,

    /// The base URL of the upstream, as in a configuration: its host identifies the provider
    #[arg(long, value_name = "URL", conflicts_with = "provider")]
    upstream: Option<String>,

    /// The provider, for rules that apply to a single one
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,

    /// The path of the request, such as `/v1/messages` [default: inferred from the body]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,

    /// Classify every answer in a JSON array of `{id, provider, status, headers, body, request, class}`, and compare
    /// the classes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["status", "headers", "body", "request", "upstream", "provider", "path"])]
    cases: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let result = match &arguments.cases {
        Some(file) => compare(file, arguments.json),
        None => of_arguments(arguments).map(|answer| (told(&answer, arguments.json), ExitCode::SUCCESS)),
    };
    match result {
        Ok((text, exit)) => {
            io::stdout().lock().write_all(text.as_bytes())?;
            Ok(exit)
        }
        Err(error) => {
            terminal::complain(&format!("error: {error:#}"));
            Ok(ExitCode::from(terminal::BAD_USAGE))
        }
    }
}

fn compare(file: &Path, as_json: bool) -> anyhow::Result<(String, ExitCode)> {
    let cases = cases::parse(&read(file)?).with_context(|| shown(file))?;
    let score = cases::score(&cases);
    Ok((score.render(as_json), ExitCode::from(u8::from(!score.is_full()))))
}

fn of_arguments(arguments: &Arguments) -> anyhow::Result<Answer> {
    let provider = match &arguments.upstream {
        Some(url) => config::provider_of(url)
            .map_err(|reason| anyhow::anyhow!("--upstream {reason}"))?
            .map(str::to_owned),
        None => arguments.provider.clone(),
    };
    Ok(Answer {
        status: arguments.status.context("no --status")?,
        headers: arguments.headers.iter().cloned().collect(),
        body: arguments.body.as_deref().map(read).transpose()?.unwrap_or_default(),
        provider,
        path: arguments.path.clone(),
        request: arguments.request.as_deref().map(read).transpose()?.unwrap_or_default(),
    })
}

/// The file, or standard input for `-`.
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
    }
    .with_context(|| format!("can't read {}", shown(file)))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        bail!("{} is larger than {FILE_BYTES_MAX} bytes", shown(file));
    }
    Ok(bytes)
}

fn shown(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("it has no colon: write 'retry-after: 20'")?;
    let name = name
        .trim()
        .parse::<HeaderName>()
        .map_err(|_| format!("`{}` is no header's name", name.trim()))?;
    let value =
        HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| "its value has a character that no header has")?;
    Ok((name, value))
}

fn told(answer: &Answer, as_json: bool) -> String {
    let failure = answer.failure();
    let class = failure.as_ref().map(|failure| failure.verdict.class);
    let action = class.map_or(Action::Deliver, Class::default_action).name();
    let rule = failure.as_ref().map(|failure| failure.verdict.rule);
    if as_json {
        let basis = failure.as_ref().map(|failure| failure.verdict.basis.name());
        let told = json!({ "class": class.map(Class::name), "action": action, "rule": rule, "basis": basis });
        return format!("{told}\n");
    }
    let Some(failure) = failure else {
        return format!("class   none (not a failure)\naction  {action}\n");
    };
    let Verdict { class, rule, basis, .. } = failure.verdict;
    let wait = failure.wait.map_or_else(String::new, |wait| {
        format!("wait    {} s, as the answer asks\n", wait.as_secs_f64())
    });
    format!(
        "class   {}\naction  {action}\nrule    {rule}\nbasis   {}\n{wait}",
        class.name(),
        basis.name()
    )
}
