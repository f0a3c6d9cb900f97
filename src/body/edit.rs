//! Top-level members of a JSON body are set or dropped for one target; everything else stays byte for byte.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::scan::members;

/// What is changed in a body.
#[derive(Debug, Clone, Copy)]
pub struct Edits<'a> {
    /// Names, and the JSON that each is set to.
    pub set: &'a [(Arc<str>, Arc<str>)],
    pub drop: &'a [Arc<str>],
}

impl Edits<'_> {
    pub const NONE: Self = Self { set: &[], drop: &[] };

    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.drop.is_empty()
    }

    fn touches(&self, name: &str) -> bool {
        self.drop.iter().any(|dropped| **dropped == *name) || self.set.iter().any(|(set, _)| **set == *name)
    }

    /// The pieces of `body`, a JSON object, with its members changed: those that are dropped or set are left out wherever they
    /// stand, and those that are set follow the others. The bytes of `replaced` give way to others. Copies nothing but what is
    /// new. `None`: it is no JSON object.
    pub(super) fn apply(&self, body: &Bytes, replaced: Option<&(Range<usize>, Bytes)>) -> Option<Vec<Bytes>> {
        let mut kept = Vec::new();
        let mut last_end = None;
        members(body, |name, value| {
            let place = offset(body, name)..offset(body, value) + value.len();
            last_end = Some(place.end);
            if !decoded(name).is_some_and(|name| self.touches(&name)) {
                kept.push(place);
            }
            Some(())
        })?;
        let open = body.iter().position(|&byte| byte == b'{')? + 1;
        let end = last_end.unwrap_or(open);
        let mut pieces = vec![body.slice(..open)];
        let mut is_first = true;
        let mut comma = || match std::mem::take(&mut is_first) {
            true => Bytes::new(),
            false => Bytes::from_static(b","),
        };
        for place in kept {
            pieces.push(comma());
            match replaced {
                Some((span, new)) if place.contains(&span.start) => {
                    pieces.push(body.slice(place.start..span.start));
                    pieces.push(new.clone());
                    pieces.push(body.slice(span.end..place.end));
                }
                _ => pieces.push(body.slice(place)),
            }
        }
        for (name, value) in self.set {
            pieces.push(comma());
            pieces.push(Bytes::from(format!("{}:{value}", serde_json::Value::from(&**name))));
        }
        pieces.push(body.slice(end..));
        Some(pieces)
    }
}

/// `part` was borrowed from `body`, so its address tells its place.
fn offset(body: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() - body.as_ptr().addr()
}

/// A name without its quotes and escapes.
fn decoded(name: &[u8]) -> Option<String> {
    serde_json::from_slice(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(body: &str, set: &[(&str, &str)], drop: &[&str]) -> Option<String> {
        let set: Vec<_> = set
            .iter()
            .map(|(name, value)| (Arc::from(*name), Arc::from(*value)))
            .collect();
        let drop: Vec<_> = drop.iter().map(|name| Arc::from(*name)).collect();
        let edits = Edits { set: &set, drop: &drop };
        let pieces = edits.apply(&Bytes::copy_from_slice(body.as_bytes()), None)?;
        Some(String::from_utf8(pieces.concat()).unwrap())
    }

    #[test]
    fn members_go_and_come_and_the_rest_stays_as_it_is() {
        for (body, set, drop, expected) in [
            (r#"{"a":1,"b":[2, 3],"c":4}"#, &[][..], &["b"][..], r#"{"a":1,"c":4}"#),
            (r#"{"a":1,"b":2}"#, &[], &["a", "b"], "{}"),
            (r#"{ "a" : 1 }"#, &[("t", r#""flex""#)], &[], r#"{"a" : 1,"t":"flex" }"#),
            ("{}", &[("n", "1")], &[], r#"{"n":1}"#),
            ("  {}\n", &[("n", "1")], &[], "  {\"n\":1}\n"),
            (r#"{"a":1,"a":2,"b":3}"#, &[("a", "5")], &[], r#"{"b":3,"a":5}"#),
            (r#"{"te\u006dp":1,"b":"temp"}"#, &[], &["temp"], r#"{"b":"temp"}"#),
            (r#"{"x":{"temp":1}}"#, &[], &["temp"], r#"{"x":{"temp":1}}"#),
        ] {
            assert_eq!(edited(body, set, drop).as_deref(), Some(expected), "{body}");
        }
        assert_eq!(edited("[1]", &[], &["a"]), None);
    }

    #[test]
    fn another_value_takes_its_place_too() {
        let body = Bytes::from_static(br#"{"model":"m","temperature":1}"#);
        let drop = [Arc::from("temperature")];
        let edits = Edits { set: &[], drop: &drop };
        let pieces = edits
            .apply(&body, Some(&(9..12, Bytes::from_static(b"\"other\""))))
            .unwrap();
        assert_eq!(pieces.concat(), br#"{"model":"other"}"#);
    }
}
