//! The members of a request, and the fields of a form, that the gateway reads, and the spellings that some readers take
//! for them.
//!
//! Readers of JSON disagree on members that are given twice, and many of them heed no case: Go's takes `Model` for
//! `model`, even `ſtream` for `stream`. What the gateway reads must be what the upstream reads.

/// A member that the gateway reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    Model,
    Stream,
    /// How many choices are asked for.
    Choices,
    /// Its value names state that one account keeps: an earlier answer, a conversation.
    PreviousResponse,
    Conversation,
}

/// How a name is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    Exact,
    /// Only some readers take it for the member.
    Alike,
}

/// Longer names are folded by nobody into one of ours.
const FOLDED_MAX_BYTES: usize = 64;

impl Member {
    const ALL: [Self; 5] = [
        Self::Model,
        Self::Stream,
        Self::Choices,
        Self::PreviousResponse,
        Self::Conversation,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Stream => "stream",
            Self::Choices => "n",
            Self::PreviousResponse => "previous_response_id",
            Self::Conversation => "conversation",
        }
    }

    /// The member that is called `name`, or that some reader takes it for.
    pub(super) fn called(name: &str) -> Option<(Self, Spelling)> {
        if !name.is_ascii() {
            let alike = (name.len() <= FOLDED_MAX_BYTES).then(|| folded(name))?;
            let member = Self::ALL.into_iter().find(|member| member.name() == alike)?;
            return Some((member, Spelling::Alike));
        }
        let is_alike = |member: &Self| member.name().len() == name.len() && name.eq_ignore_ascii_case(member.name());
        let member = Self::ALL.into_iter().find(is_alike)?;
        let spelling = if member.name() == name {
            Spelling::Exact
        } else {
            Spelling::Alike
        };
        Some((member, spelling))
    }

    /// The same for a field of a form, where some readers also take off spaces, quotes and an index: `model[]`.
    pub(super) fn field_called(name: &[u8]) -> Option<(Self, Spelling)> {
        let name = String::from_utf8_lossy(name);
        let bare = name.split('[').next().unwrap_or_default();
        let bare = bare.trim_matches(|char: char| char.is_whitespace() || matches!(char, '\'' | '"'));
        let (member, spelling) = Self::called(bare)?;
        let spelling = if bare == name { spelling } else { Spelling::Alike };
        Some((member, spelling))
    }
}

/// `name` without case, as Unicode folds it: `ſ` is an `s`, and the sign for kelvin a `k`.
fn folded(name: &str) -> String {
    let upper = name.chars().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).collect()
}

/// Members that were seen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen(u8);

impl Seen {
    /// Whether `member` was there before.
    pub(super) fn again(&mut self, member: Member) -> bool {
        let bit = 1 << member as u8;
        let again = self.0 & bit != 0;
        self.0 |= bit;
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{ScanError, scan};
    use Spelling::{Alike, Exact};

    #[test]
    fn names_and_what_is_taken_for_them() {
        for (name, expected) in [
            ("model", Some((Member::Model, Exact))),
            ("Model", Some((Member::Model, Alike))),
            ("MODEL", Some((Member::Model, Alike))),
            ("stream", Some((Member::Stream, Exact))),
            ("\u{17f}tream", Some((Member::Stream, Alike))),
            ("n", Some((Member::Choices, Exact))),
            ("N", Some((Member::Choices, Alike))),
            ("Previous_Response_Id", Some((Member::PreviousResponse, Alike))),
            ("conver\u{17f}ation", Some((Member::Conversation, Alike))),
            ("models", None),
            ("möde", None),
            ("", None),
            (&"ſ".repeat(100), None),
        ] {
            assert_eq!(Member::called(name), expected, "{name}");
        }
        for (name, expected) in [
            (&b"model"[..], Some((Member::Model, Exact))),
            (b"model[]", Some((Member::Model, Alike))),
            (b" model", Some((Member::Model, Alike))),
            (b"'Model'", Some((Member::Model, Alike))),
            (b"file", None),
            (b"\xffmodel", None),
        ] {
            assert_eq!(Member::field_called(name), expected, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn what_readers_of_json_disagree_on_is_a_fault() {
        use ScanError::{MemberAlike, MemberTwice};
        let cases: [(&[u8], ScanError); 5] = [
            (
                b"{\"model\":\"m\",\"Model\":1}",
                MemberAlike {
                    member: "model",
                    offset: 13,
                },
            ),
            (
                "{\"model\":\"m\",\"\u{17f}tream\":1}".as_bytes(),
                MemberAlike {
                    member: "stream",
                    offset: 13,
                },
            ),
            (b"{\"N\":1}", MemberAlike { member: "n", offset: 1 }),
            (
                b"{\"stream\":true,\"\\u0073tream\":false}",
                MemberTwice {
                    member: "stream",
                    offset: 15,
                },
            ),
            (
                b"{\"conversation\":null,\"conversation\":\"c\"}",
                MemberTwice {
                    member: "conversation",
                    offset: 21,
                },
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(scan(body), Err(expected), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn each_member_is_seen_for_itself() {
        let mut seen = Seen::default();
        for member in Member::ALL {
            assert!(!seen.again(member));
            assert!(seen.again(member));
        }
    }
}
