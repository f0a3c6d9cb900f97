//! PromQL, read just well enough to see which metrics and labels an expression names.

use switchback::telemetry::metrics::names::Metric;

/// `name{label="…", …}`, or the name alone.
pub(crate) struct Selector {
    pub(crate) name: String,
    pub(crate) labels: Vec<String>,
}

/// Those of ours in `expression`.
pub(crate) fn selectors(expression: &str) -> Vec<Selector> {
    let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == ':';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_word) {
        let word = &rest[start..];
        let end = word.find(|char| !is_word(char)).unwrap_or(word.len());
        let (name, after) = word.split_at(end);
        rest = after;
        if !name.starts_with("switchback_") && !name.starts_with("process_") {
            continue;
        }
        let within = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let labels = within.map_or_else(Vec::new, |(matchers, _)| labels(matchers));
        if let Some((_, after)) = within {
            rest = after;
        }
        found.push(Selector {
            name: name.to_owned(),
            labels,
        });
    }
    found
}

/// The names before `=`, `!=`, `=~` and `!~`; values hold no commas but within quotes.
fn labels(matchers: &str) -> Vec<String> {
    let mut quoted = false;
    let bare: String = matchers
        .chars()
        .filter(|char| {
            quoted ^= *char == '"';
            !quoted && *char != '"'
        })
        .collect();
    bare.split(',')
        .map(|matcher| matcher.trim().trim_end_matches(['=', '~', '!']).to_owned())
        .filter(|label| !label.is_empty())
        .collect()
}

/// Histograms are asked for by the names of their parts.
pub(crate) fn is_series_of(name: &str, metric: &Metric) -> bool {
    match metric.kind {
        "histogram" => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|part| name.strip_suffix(part) == Some(metric.name)),
        _ => name == metric.name,
    }
}

#[test]
fn names_and_labels_are_found() {
    let found = selectors(r#"sum by (le) (rate(switchback_x_bucket{a="x,y", b!~"c"}[5m])) / process_y > on (z) up"#);
    let found: Vec<(&str, usize)> = found
        .iter()
        .map(|selector| (&*selector.name, selector.labels.len()))
        .collect();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].0, found[1]), ("switchback_x_bucket", ("process_y", 0)));
    assert_eq!(labels(r#"a="x,y", b!~"c", d=~"e|f""#), ["a", "b", "d"]);
}
