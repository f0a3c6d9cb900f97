//! `${NAME}`, `${NAME:-text}` and `$${` in a scalar that YAML has already parsed, so that a value can't become YAML.

/// A scalar with its variables replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) value: String,
    pub(super) origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The text is as the file has it.
    Written,
    /// Exactly one `${NAME}` and nothing else: the file contains no part of the value.
    Variable,
    /// Written text and variables (or their defaults) mixed.
    Mixed,
    /// At least one variable was unset and got the stand-in.
    StandIn,
}

/// A faulty `${…}`: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadVariable {
    /// The `${…}` itself, as written.
    pub(super) written: String,
    /// How many earlier `${` the text contains, escaped ones included; this locates it in the source.
    pub(super) nth: usize,
    pub(super) kind: BadVariableKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadVariableKind {
    Unset(String),
    Unclosed,
    Name,
}

/// Replaces every variable; one that is unset and has no default by `stand_in`, if there is one.
///
/// # Errors
/// Every variable that is unset and has neither, or is not written right, in order.
pub(super) fn expand(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    stand_in: Option<&str>,
) -> Result<Expanded, Vec<BadVariable>> {
    let mut value = String::with_capacity(text.len());
    let mut bad = Vec::new();
    let mut rest = text;
    let mut nth = 0;
    let mut origin = Origin::Written;
    while let Some(at) = rest.find("${") {
        let escaped = rest[..at].ends_with('$');
        value.push_str(if escaped { &rest[..at - 1] } else { &rest[..at] });
        if escaped {
            value.push_str("${");
            rest = &rest[at + 2..];
            nth += 1;
            continue;
        }
        let Some(end) = rest[at..].find('}') else {
            bad.push(BadVariable {
                written: rest[at..].to_owned(),
                nth,
                kind: BadVariableKind::Unclosed,
            });
            rest = "";
            break;
        };
        let written = &rest[at..=at + end];
        let inner = &written[2..written.len() - 1];
        let (name, default) = inner
            .split_once(":-")
            .map_or((inner, None), |(name, default)| (name, Some(default)));
        let pure = written.len() == text.len() && default.is_none();
        origin = origin.max(if pure { Origin::Variable } else { Origin::Mixed });
        // As in a shell, `:-` also stands in for a variable that is set but empty.
        let found = env(name).filter(|found| default.is_none() || !found.is_empty());
        let mut reject = |kind| {
            bad.push(BadVariable {
                written: written.to_owned(),
                nth,
                kind,
            });
        };
        match (found.as_deref().or(default), stand_in) {
            _ if !is_name(name) => reject(BadVariableKind::Name),
            (Some(found), _) => value.push_str(found),
            (None, Some(stand_in)) => {
                value.push_str(stand_in);
                origin = Origin::StandIn;
            }
            (None, None) => reject(BadVariableKind::Unset(name.to_owned())),
        }
        rest = &rest[at + end + 1..];
        nth += 1;
    }
    value.push_str(rest);
    if bad.is_empty() {
        Ok(Expanded { value, origin })
    } else {
        Err(bad)
    }
}

/// Returns whether `text` is one `${NAME}` and nothing else.
pub(super) fn is_variable(text: &str) -> bool {
    text.strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(is_name)
}

/// Returns whether a variable can have this name.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("example.com".to_owned()),
            "EMPTY" => Some(String::new()),
            "EVIL" => Some("x}\n- ${HOST}".to_owned()),
            _ => None,
        }
    }

    fn value(text: &str) -> String {
        expand(text, &env, None).unwrap().value
    }

    #[test]
    fn variables_are_replaced() {
        assert_eq!(value("https://${HOST}/v1"), "https://example.com/v1");
        assert_eq!(value("${HOST}${HOST}"), "example.comexample.com");
        assert_eq!(value("${NONE:-text}"), "text");
        assert_eq!(value("${NONE:-}"), "");
        assert_eq!(value("${EMPTY:-text}"), "text");
        assert_eq!(value("${EMPTY}"), "");
        assert_eq!(value("${HOST:-text}"), "example.com");
    }

    #[test]
    fn a_doubled_dollar_is_literal() {
        assert_eq!(value("$${HOST}"), "${HOST}");
        assert_eq!(value("$${HOST} ${HOST}"), "${HOST} example.com");
        assert_eq!(value("$HOST $ $$ {}"), "$HOST $ $$ {}");
    }

    #[test]
    fn what_a_variable_holds_is_not_read_again() {
        assert_eq!(value("${EVIL}"), "x}\n- ${HOST}");
    }

    #[test]
    fn every_bad_variable_is_reported() {
        let bad = expand("$${A} ${NONE} ${1x} ${HOST} ${", &env, None).unwrap_err();
        let kinds: Vec<_> = bad.into_iter().map(|bad| (bad.nth, bad.written, bad.kind)).collect();
        assert_eq!(
            kinds,
            [
                (1, "${NONE}".to_owned(), BadVariableKind::Unset("NONE".to_owned())),
                (2, "${1x}".to_owned(), BadVariableKind::Name),
                (4, "${".to_owned(), BadVariableKind::Unclosed),
            ]
        );
    }

    #[test]
    fn the_origin_tells_whether_the_file_holds_the_value() {
        let origin = |text| expand(text, &env, None).unwrap().origin;
        assert_eq!(origin("plain"), Origin::Written);
        assert_eq!(origin("$${HOST}"), Origin::Written);
        assert_eq!(origin("${HOST}"), Origin::Variable);
        assert_eq!(origin("${NONE:-text}"), Origin::Mixed);
        assert_eq!(origin("a${HOST}"), Origin::Mixed);
    }

    #[test]
    fn a_stand_in_takes_the_place_of_what_is_unset_only() {
        let stand_in = |text| expand(text, &env, Some("x")).unwrap();
        assert_eq!(
            stand_in("${NONE}/${HOST}"),
            Expanded {
                value: "x/example.com".to_owned(),
                origin: Origin::StandIn
            }
        );
        assert_eq!(
            stand_in("${NONE:-y}"),
            Expanded {
                value: "y".to_owned(),
                origin: Origin::Mixed
            }
        );
    }
}
