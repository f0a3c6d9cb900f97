use super::*;
use http::HeaderValue;
use proptest::prelude::*;

const SSE: &str = "text/event-stream";
const JSON: &str = "application/json";

fn headers(content_type: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
    }
    headers
}

/// Feeds `pieces` until the judge has decided, then ends the body.
fn judged(status: u16, content_type: &str, kind: StreamKind, pieces: &[&[u8]]) -> (Judgement, Vec<u8>) {
    let mut judge = Judge::new(status, &headers(content_type), kind);
    let decided = pieces
        .iter()
        .map(|piece| judge.feed(piece))
        .find(|judgement| *judgement != Judgement::Undecided);
    let judgement = decided.unwrap_or_else(|| judge.end());
    assert_eq!(judge.feed(b"more"), judgement, "it stays");
    (judgement, judge.error_payload().to_vec())
}

struct Case {
    content_type: &'static str,
    kind: StreamKind,
    text: &'static str,
    /// None: begun. Some: failed, with this payload.
    fails_with: Option<&'static str>,
}

fn cases() -> Vec<Case> {
    use StreamKind::{Chat, Messages, Other, Responses};
    let case = |content_type, kind, text, fails_with| Case {
        content_type,
        kind,
        text,
        fails_with,
    };
    vec![
        case(
            SSE,
            Chat,
            ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\ndata:{\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n",
            None,
        ),
        case(
            SSE,
            Chat,
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\r\n\r\ndata: {\"error\":{\"code\":502}}\r\n\r\n",
            Some("{\"error\":{\"code\":502}}"),
        ),
        case(
            SSE,
            Chat,
            "\u{feff}data: {\"error\":{\"code\":502}}\n\n",
            Some("{\"error\":{\"code\":502}}"),
        ),
        case(SSE, Chat, ": keep-alive\n\n: keep-alive\n\n", Some("")),
        case(SSE, Chat, "data: [DONE]\n\n", Some("")),
        case(
            SSE,
            Chat,
            "data: {\"error\":\"half an event\"}",
            Some("{\"error\":\"half an event\"}"),
        ),
        case(SSE, Chat, "", Some("")),
        case(
            SSE,
            Chat,
            "{\"error\":{\"message\":\"json under sse\"}}",
            Some("{\"error\":{\"message\":\"json under sse\"}}"),
        ),
        case(
            SSE,
            Chat,
            "data: {\"choices\":[{\"delta\":\ndata: {\"content\":\"two lines\"}}]}\n\n",
            None,
        ),
        case(SSE, Chat, "event: error\ndata: no json\n\n", Some("no json")),
        case(SSE, Other, "data: whatever\n\n", None),
        case(
            SSE,
            Responses,
            "event: response.created\ndata: {\"type\":\"response.created\"}\n\nevent: response.in_progress\ndata: {\"type\":\"response.in_progress\"}\n\nevent: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"insufficient_quota\"}}}\n\n",
            Some("{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"insufficient_quota\"}}}"),
        ),
        case(
            SSE,
            Messages,
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[]}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
            Some("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}"),
        ),
        case(
            SSE,
            Messages,
            "event: content_block_delta\rdata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\r\r",
            None,
        ),
        case(
            JSON,
            Chat,
            "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
            None,
        ),
        case("", Chat, "event: error\ndata: {\"error\":1}\n\n", Some("{\"error\":1}")),
        case(
            JSON,
            Chat,
            "{\"id\":\"c\",\"choices\":[{\"message\":{\"content\":\"error\"}}]}",
            None,
        ),
        case(
            JSON,
            Chat,
            "\n\n  \n{\"error\":{\"message\":\"late\"}}\n",
            Some("\n\n  \n{\"error\":{\"message\":\"late\"}}\n"),
        ),
        case(JSON, Chat, "{\"error\":null,\"choices\":[{\"index\":0}]}", None),
        case(
            "text/plain",
            Chat,
            "[{\"error\":{\"code\":503}}]",
            Some("[{\"error\":{\"code\":503}}]"),
        ),
        case(
            JSON,
            Other,
            "{\"error\":{\"code\":503}}",
            Some("{\"error\":{\"code\":503}}"),
        ),
        case(JSON, Other, "{\"object\":\"list\",\"data\":[{\"error\":{}}]}", None),
        case(JSON, Chat, "", Some("")),
        case(JSON, Other, "", None),
        case(
            "text/html",
            Chat,
            "<!DOCTYPE html><title>app</title>",
            Some("<!DOCTYPE html><title>app</title>"),
        ),
        case("text/html", Other, "<!DOCTYPE html><title>app</title>", None),
        case("audio/mpeg", Other, ":\u{1}\u{2}", None),
        case("text/plain", Chat, "dat", None),
        case("text/plain", Chat, "hello", None),
    ]
}

fn check(case: &Case, pieces: &[&[u8]], how: &str) {
    let (judgement, payload) = judged(200, case.content_type, case.kind, pieces);
    let expected = if case.fails_with.is_some() {
        Judgement::Failed
    } else {
        Judgement::Begun
    };
    assert_eq!(judgement, expected, "{how}: {}", case.text);
    assert_eq!(
        String::from_utf8_lossy(&payload),
        case.fails_with.unwrap_or_default(),
        "{how}: {}",
        case.text
    );
}

#[test]
fn every_split_of_every_answer_is_judged_alike() {
    for case in cases() {
        let bytes = case.text.as_bytes();
        check(&case, &[bytes], "whole");
        check(&case, &bytes.chunks(1).collect::<Vec<_>>(), "byte by byte");
        for at in 0..=bytes.len() {
            let (head, rest) = bytes.split_at(at);
            check(&case, &[head, rest], &format!("split at {at}"));
        }
    }
}

proptest! {
    #[test]
    fn any_pieces_are_judged_alike(which in 0..cases().len(), sizes in prop::collection::vec(0usize..60, 0..30)) {
        let case = cases().swap_remove(which);
        let mut rest = case.text.as_bytes();
        let mut pieces = Vec::new();
        for size in sizes {
            let (head, tail) = rest.split_at(size.min(rest.len()));
            pieces.push(head);
            rest = tail;
        }
        pieces.push(rest);
        check(&case, &pieces, "random pieces");
    }

    #[test]
    fn no_bytes_make_it_panic_or_hold_without_end(status in 200u16..600, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for content_type in [SSE, JSON, ""] {
            let mut judge = Judge::new(status, &headers(content_type), StreamKind::Chat);
            for _ in 0..=HELD_MAX_BYTES / bytes.len().max(1) {
                judge.feed(&bytes);
            }
            prop_assert!(bytes.is_empty() || judge.feed(b"x") != Judgement::Undecided);
            prop_assert!(judge.error_payload().len() <= HELD_MAX_BYTES);
        }
    }
}

#[test]
fn an_event_counts_once_it_is_whole() {
    let mut judge = Judge::new(200, &headers(SSE), StreamKind::Chat);
    assert_eq!(
        judge.feed(b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n"),
        Judgement::Undecided
    );
    assert_eq!(judge.feed(b"\n"), Judgement::Begun);
    assert!(judge.is_event_stream());
}

#[test]
fn an_error_status_waits_for_its_body() {
    let mut judge = Judge::new(429, &headers(JSON), StreamKind::Chat);
    assert!(judge.awaits_error_body());
    assert_eq!(judge.feed(b"{\"error\":"), Judgement::Undecided);
    assert_eq!(judge.feed(b"1}"), Judgement::Undecided);
    assert_eq!(judge.end(), Judgement::Failed);
    assert_eq!(judge.error_payload(), b"{\"error\":1}");

    let mut judge = Judge::new(500, &headers(""), StreamKind::Chat);
    assert_eq!(judge.feed(&vec![b'x'; HELD_MAX_BYTES - 1]), Judgement::Undecided);
    assert_eq!(judge.feed(b"yz"), Judgement::Failed);
    assert_eq!(judge.error_payload().len(), HELD_MAX_BYTES);
}

#[test]
fn an_error_under_200_waits_for_its_body_too() {
    let mut judge = Judge::new(200, &headers(JSON), StreamKind::Chat);
    assert_eq!(judge.feed(b"{\"error\":{\"mess"), Judgement::Undecided);
    assert!(judge.awaits_error_body());
    assert_eq!(judge.feed(b"age\":\"no\"}}"), Judgement::Undecided);
    assert_eq!(judge.end(), Judgement::Failed);
    assert_eq!(judge.error_payload(), b"{\"error\":{\"message\":\"no\"}}");
}

#[test]
fn comments_without_end_begin_at_the_bound() {
    let mut judge = Judge::new(200, &headers(SSE), StreamKind::Chat);
    let comment = b": OPENROUTER PROCESSING\n\n";
    let fed = std::iter::repeat_with(|| judge.feed(comment))
        .take_while(|seen| *seen == Judgement::Undecided)
        .count();
    assert_eq!(fed, HELD_MAX_BYTES / comment.len());
}

#[test]
fn statuses_without_an_answer_to_judge_begin_at_once() {
    for status in [204, 205, 301, 304] {
        assert_eq!(
            Judge::new(status, &headers(""), StreamKind::Chat).feed(b""),
            Judgement::Begun,
            "{status}"
        );
    }
    assert_eq!(Judge::new(202, &headers(""), StreamKind::Chat).end(), Judgement::Begun);
}

#[test]
fn compressed_answers_are_judged_by_what_they_say() {
    let gzip = |text: &[u8]| {
        use std::io::Write;
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    };
    let mut packed = headers(JSON);
    packed.insert(http::header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let error = br#"{"error":{"message":"no"}}"#;
    for (status, text, expected) in [
        (200, &error[..], Judgement::Failed),
        (429, &error[..], Judgement::Failed),
        (200, &br#"{"id":"x","choices":[{"index":0}]}"#[..], Judgement::Begun),
    ] {
        for bytes in [gzip(text), text.to_vec()] {
            let plain = bytes == text;
            for size in [1, 5, 1000] {
                let mut judge = Judge::new(status, &packed, StreamKind::Chat);
                for piece in bytes.chunks(size) {
                    judge.feed(piece);
                }
                let judgement = judge.end();
                if plain && status == 200 {
                    assert_eq!(
                        judgement,
                        Judgement::Begun,
                        "what can't be read is the client's to read"
                    );
                } else {
                    assert_eq!(judgement, expected);
                }
                if status == 429 {
                    assert_eq!(judge.error_payload(), error, "pieces of {size}, plain: {plain}");
                }
            }
        }
    }
}
