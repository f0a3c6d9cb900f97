//! The pieces in which a stream comes change nothing.

use super::*;

/// What is no JSON, and what belongs to another protocol, is skipped or read depending on the pieces in which it comes.
#[test]
fn what_a_stream_should_not_have_is_read_alike_however_it_comes() {
    let begun = "data: {\"choices\":[{\"index\":0}]}\n\n";
    let failed = "{\"type\":\"response.failed\"}";
    let given_up = "{\"choices\":[{\"finish_reason\":\"network_error\"}]}";
    let behind = "{\"type\":\"x\"} {\"error\":1}";
    for (kind, data, is_complete, reported) in [
        (StreamKind::Chat, "{}[DONE]{}", false, None),
        (StreamKind::Chat, "{\"choices\":[{}]}}[DONE]{\"a\":0}", false, None),
        (StreamKind::Chat, failed, false, Some(failed)),
        (StreamKind::Chat, behind, false, None),
        (StreamKind::Responses, behind, false, None),
        (StreamKind::Chat, "{\"type\":error,\"object\":error}", false, None),
        (StreamKind::Other, "{\"type\":error,\"object\":error}", true, None),
        (StreamKind::Other, failed, true, Some(failed)),
        (StreamKind::Other, given_up, true, Some(given_up)),
    ] {
        let text = format!("{begun}data:{data}\n\n");
        for size in 1..=text.len() {
            let mut end = StreamEnd::new(kind);
            text.as_bytes().chunks(size).for_each(|piece| end.feed(piece));
            assert_eq!(end.is_complete(), is_complete, "{kind:?}, {size}: {data}");
            let told = end
                .take_reported()
                .map(|told| String::from_utf8_lossy(&told).into_owned());
            assert_eq!(told.as_deref(), reported, "{kind:?}, {size}: {data}");
        }
    }
}

#[test]
fn what_is_kept_of_an_event_is_the_same_however_it_comes() {
    let long = "x".repeat(2 * REPORT_BYTES_MAX);
    for text in [
        "data: {\"type\":\"x\",\"y\":\"z\"}\nevent: error\n\n".to_owned(),
        format!("event: error\ndata: {{\"type\":\"x\",\"y\":\"z\"}}\ndata: {long}\n\n"),
        format!("data: {{\"error\":\"{long}\"}}\ndata: z\n\n"),
        "data: {\"error\":\"y\"} z\ndata: z\n\n".to_owned(),
    ] {
        let reported = |size: usize| {
            let mut end = StreamEnd::new(StreamKind::Messages);
            text.as_bytes().chunks(size).for_each(|piece| end.feed(piece));
            end.take_reported().expect("an error is reported")
        };
        let at_once = reported(text.len());
        assert!(at_once.len() <= REPORT_BYTES_MAX);
        for size in [1, 2, 3, 7, 30, 1000] {
            assert_eq!(reported(size), at_once, "{size}");
        }
    }
}

/// Bytes that strangers may send, out of what means something.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: [&str; 39] = [
        "\n",
        "\n\n",
        "\r",
        "\r\n",
        "data:",
        "data: ",
        "data",
        "event: error",
        "event:",
        "id: 1",
        ": x",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        ",",
        ":",
        "\"index\":0",
        "\"index\":1",
        "\"index\"",
        "\"finish_reason\":null",
        "\"finish_reason\":\"stop\"",
        "null",
        "\"choices\":[{",
        "\"choices\":[]",
        "\"error\"",
        "{\"type\":\"message_stop\"",
        "{\"type\":\"x\"",
        "\"type\":\"error\"",
        "data: {\"choices\":[{\"index\":0,\"delta\":{}}]}\n\n",
        "data: {",
        "}\n\n",
        "\"finish_reason\":\"network_error\"",
        "{\"type\":\"response.failed\"",
        "\"object\":\"error\"",
        "[DONE]",
        "\u{feff}",
    ];
    prop::collection::vec(prop::sample::select(&WORDS[..]), 0..40).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes_are_read_alike_however_they_come(text in any_bytes(), cuts in prop::collection::vec(1usize..40, 0..60)) {
        for kind in [StreamKind::Chat, StreamKind::Responses, StreamKind::Messages, StreamKind::Other] {
            let mut at_once = StreamEnd::new(kind);
            at_once.feed(&text);
            let mut in_pieces = StreamEnd::new(kind);
            let mut rest = &text[..];
            for &cut in &cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                in_pieces.feed(head);
                rest = tail;
            }
            in_pieces.feed(rest);
            prop_assert_eq!(in_pieces.is_complete(), at_once.is_complete(), "{:?}", kind);
            prop_assert_eq!(in_pieces.cut(), at_once.cut(), "{:?}", kind);
            prop_assert_eq!(in_pieces.take_reported(), at_once.take_reported(), "{:?}", kind);
        }
    }
}
