//! Forms against examples, and against a reader that shares nothing with the scan.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::body::{Edits, segments};

const B: &[u8] = b"b0undary";

/// A form of parts `(header lines, content)`.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (header, content) in parts {
        body.extend_from_slice(format!("--b0undary\r\n{header}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b0undary--\r\n");
    body
}

const MODEL: &str = "content-disposition: form-data; name=\"model\"";
const FILE: &str = "content-disposition: form-data; name=\"file\"; filename=\"model\"\r\ncontent-type: audio/wav";

fn name(body: &[u8]) -> Option<String> {
    scan_form(body, B).unwrap().model.map(|model| model.name)
}

#[test]
fn the_field_may_follow_the_file() {
    let wave: &[u8] = b"\0\"model\"\r\n--b0undar\r\n\r\n--b0undaryX\r\n--\r\n\xff\r\n";
    let body = form(&[(FILE, wave), (MODEL, b"whisper-1"), (FILE, wave)]);
    let facts = scan_form(&body, B).unwrap();
    let model = facts.model.unwrap();
    assert_eq!((model.name.as_str(), model.notation), ("whisper-1", Notation::Text));
    assert_eq!(&body[model.span], b"whisper-1");
    assert!(!facts.stream && !facts.pinned);
}

#[test]
fn stream_is_a_word() {
    for (value, expected) in [
        ("true", true),
        ("True", true),
        ("1", true),
        ("false", false),
        ("", false),
    ] {
        let body = form(&[("Content-Disposition: form-data; name=stream", value.as_bytes())]);
        let facts = scan_form(&body, B).unwrap();
        assert_eq!((facts.stream, facts.model), (expected, None), "{value}");
    }
}

#[test]
fn headers_are_spelled_in_many_ways() {
    for header in [
        "Content-Disposition: form-data; name=\"model\"",
        "CONTENT-DISPOSITION:form-data;NAME=model",
        "content-disposition: form-data; filename=\"a;b name=x\"; name=\"model\" ; ",
        "content-disposition: form-data; name=\"model\"; filename=\"a\\\"b.wav\"",
        "content-disposition: form-data; name=\"model\"\r\ncontent-transfer-encoding: 8Bit",
        "content-type: text/plain; name=\"no\"\r\ncontent-disposition: form-data; name=\"model\"\r\nx:",
    ] {
        assert_eq!(name(&form(&[(header, b"m")])).as_deref(), Some("m"), "{header}");
    }
    for header in [
        "content-disposition: form-data; name=\"models\"",
        "content-disposition: form-data; filename=\"model\"",
        "content-type: text/plain; name=\"model\"",
        "x-content-disposition: form-data; name=\"model\"",
    ] {
        assert_eq!(name(&form(&[(header, b"m")])), None, "{header}");
    }
}

#[test]
fn delimiters_are_told_from_content() {
    for (body, expected) in [
        // An empty line, padding, and more of both at the end.
        (
            &b"\r\n--b0undary \t\r\ncontent-disposition: form-data; name=model\r\n\r\nm\r\n--b0undary-- \r\n\r\n"[..],
            Some("m"),
        ),
        (
            b"--b0undary\r\ncontent-disposition: form-data; name=model\r\n\r\nm\r\n--b0undary--",
            Some("m"),
        ),
        // Without content.
        (
            b"--b0undary\r\ncontent-disposition: form-data; name=model\r\n\r\n\r\n--b0undary--",
            Some(""),
        ),
        // Without headers, without parts.
        (b"--b0undary\r\n\r\nmodel\r\n--b0undary--", None),
        (b"--b0undary--", None),
    ] {
        assert_eq!(name(body).as_deref(), expected, "{}", body.escape_ascii());
    }
}

#[test]
fn each_fault_has_its_name() {
    use FormError::*;
    let long_header = format!("x: {}\r\n{MODEL}", "y".repeat(PART_HEADER_MAX_BYTES));
    for (body, expected) in [
        (Vec::new(), BoundaryNotFound),
        (b"{\"model\":\"m\"}".to_vec(), BoundaryNotFound),
        (b"--b0undar\r\n".to_vec(), BoundaryNotFound),
        (
            b"--b0undary\n\nlines end in CRLF\n--b0undary--\n".to_vec(),
            BareLineEnd { offset: 10 },
        ),
        (form(&[("x: y", b"a\n--b0undary\r\n\r\nb")]), BareLineEnd { offset: 21 }),
        (form(&[("x: y", b"a\n--b0undary--")]), Epilogue { offset: 36 }),
        (form(&[("x: y", b"a\r\n--b0undary\nb")]), BareLineEnd { offset: 33 }),
        ([b"preamble\r\n", &form(&[])[..]].concat(), Preamble),
        ([b"--b0undaryX\r\n", &form(&[])[..]].concat(), Preamble),
        ([b" ", &form(&[])[..]].concat(), BoundaryNotFound),
        ([&form(&[])[..], b"x"].concat(), Epilogue { offset: 14 }),
        ([&form(&[])[..], b"--b0undary\r\n"].concat(), Epilogue { offset: 14 }),
        (b"--b0undary--x".to_vec(), Epilogue { offset: 12 }),
        (b"--b0undary\r\nx: y".to_vec(), Truncated { offset: 16 }),
        (
            b"--b0undary\r\nx: y\r\n\r\nz\r\n--b0undar".to_vec(),
            Truncated { offset: 32 },
        ),
        (
            b"--b0undary\r\nx: y\r\n\r\nz\r\n--b0undary".to_vec(),
            Truncated { offset: 33 },
        ),
        (form(&[("no colon", b"")]), PartHeader { offset: 10 }),
        (form(&[(": nameless", b"")]), PartHeader { offset: 10 }),
        (form(&[("x: y\r\n folded: z", b"")]), PartHeader { offset: 10 }),
        (
            form(&[("content-disposition: form-data; name=\"model", b"")]),
            PartHeader { offset: 10 },
        ),
        (
            form(&[("content-disposition: form-data; name=\"a\" b", b"")]),
            PartHeader { offset: 10 },
        ),
        (
            form(&[("content-disposition: form-data; name", b"")]),
            PartHeader { offset: 10 },
        ),
        (
            form(&[("content-disposition: form-data; name=a; name=model", b"")]),
            PartHeader { offset: 10 },
        ),
        (
            form(&[(&format!("{MODEL}\r\n{MODEL}"), b"")]),
            PartHeader { offset: 10 },
        ),
        (
            form(&[("content-disposition: form-data; name*=utf-8''model", b"")]),
            PartHeader { offset: 10 },
        ),
        (
            form(&[("content-disposition: form-data; name=\"mod\\el\"", b"")]),
            PartHeader { offset: 10 },
        ),
        (
            form(&[(
                "content-disposition: form-data; name=a; filename=\"x\\\"; name=model; b=\\\"\"",
                b"",
            )]),
            PartHeader { offset: 10 },
        ),
        (
            form(&[("content-disposition: form-data; name=a\nx: y", b"")]),
            PartHeader { offset: 10 },
        ),
        (
            form(&[("content-disposition: form-data; name=a\rx: y", b"")]),
            PartHeader { offset: 10 },
        ),
        (
            form(&[("content-disposition: form-data; name=Model", b"")]),
            FieldAlike {
                field: "model",
                offset: 58,
            },
        ),
        (
            form(&[("content-disposition: form-data; name=\"stream[]\"", b"")]),
            FieldAlike {
                field: "stream",
                offset: 63,
            },
        ),
        (
            form(&[(&format!("{MODEL}\r\ncontent-transfer-encoding: base64"), b"bQ==")]),
            FieldEncoded {
                field: "model",
                offset: 95,
            },
        ),
        (
            form(&[
                ("content-disposition: form-data; name=n", b"1"),
                ("content-disposition: form-data; name=n", b"2"),
            ]),
            FieldTwice {
                field: "n",
                offset: 111,
            },
        ),
        (form(&[(&long_header, b"")]), PartHeaderTooLong { offset: 10 }),
        (
            form(&[(MODEL, b"a"), (MODEL, b"a")]),
            ModelTwice { first: 60, second: 123 },
        ),
        (
            format!("--b0undary\r\n{MODEL}\r\n\r\n--b0undary--\r\n").into_bytes(),
            ModelEmpty { offset: 60 },
        ),
        (form(&[(MODEL, b"\xff")]), ModelNotUtf8 { offset: 60 }),
        (form(&[(MODEL, b"a\r\nb")]), ModelControlCharacter { offset: 60 }),
        (form(&[(MODEL, &[b'm'; 1025])]), ModelTooLong { length: 1025 }),
        (form(&vec![("x: y", &b""[..]); PARTS_MAX + 1]), TooManyParts),
    ] {
        assert_eq!(scan_form(&body, B), Err(expected), "{}", body.escape_ascii());
    }
    assert!(scan_form(&form(&vec![("x: y", &b""[..]); PARTS_MAX]), B).is_ok());
}

#[test]
fn the_boundary_is_a_parameter() {
    let longest = "b".repeat(BOUNDARY_BYTES_MAX);
    for (content_type, expected) in [
        ("multipart/form-data; boundary=b", Ok("b")),
        ("multipart/form-data;charset=x; Boundary=\"a b:c\" ;", Ok("a b:c")),
        (&*format!("multipart/form-data; boundary={longest}"), Ok(&*longest)),
        ("multipart/form-data", Err(FormError::NoBoundary)),
        ("multipart/form-data; xboundary=b", Err(FormError::NoBoundary)),
        ("multipart/form-data; boundary=", Err(FormError::BadBoundary)),
        ("multipart/form-data; boundary=\"b ", Err(FormError::BadBoundary)),
        ("multipart/form-data; boundary=\"b \"", Err(FormError::BadBoundary)),
        (
            "multipart/form-data; boundary=a; boundary=b",
            Err(FormError::BadBoundary),
        ),
        ("multipart/form-data; boundary", Err(FormError::BadBoundary)),
        ("multipart/form-data; boundary*=utf-8''b", Err(FormError::BadBoundary)),
        ("multipart/form-data; boundary=\"a\\b\"", Err(FormError::BadBoundary)),
        (
            &*format!("multipart/form-data; boundary={longest}b"),
            Err(FormError::BadBoundary),
        ),
    ] {
        let found = boundary(content_type.as_bytes());
        assert_eq!(
            found,
            expected.map(|boundary| boundary.as_bytes().to_vec()),
            "{content_type}"
        );
    }
}

/// A reader as simple as can be, for forms without preamble and padding: header and content of each part.
fn naive(body: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let body = [b"\r\n", body].concat();
    let (opening, closing) = (b"\r\n--b0undary\r\n", b"\r\n--b0undary--");
    let mut cuts = Vec::new();
    for at in 0..body.len() {
        if body[at..].starts_with(closing) {
            cuts.push(at);
            break;
        }
        if body[at..].starts_with(opening) {
            cuts.push(at);
        }
    }
    cuts.windows(2)
        .map(|cut| {
            let part = &body[cut[0] + opening.len()..cut[1]];
            let blank = (0..part.len()).find(|&at| part[at..].starts_with(b"\r\n\r\n")).unwrap();
            (part[..blank].to_vec(), part[blank + 4..].to_vec())
        })
        .collect()
}

/// Content that is full of what delimiters are made of, but is none.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 9] = [
        b"\r\n",
        b"--",
        b"b0undary",
        b"\r\n--b0undary",
        b"-",
        b"\r",
        b"\n",
        b"model",
        b"\0\xff",
    ];
    let piece = prop_oneof![
        prop::sample::select(pieces.to_vec()).prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..8)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("holds a delimiter", |content| {
            let around = [b"\r\n", &content[..], b"\r\n--b0undary"].concat();
            ["\r\n", "\n", "--", " ", "\t"]
                .iter()
                .all(|end| memmem::find(&around, format!("\n--b0undary{end}").as_bytes()).is_none())
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Splicing and then reading gives the original's parts with `model` replaced; all other bytes are equal.
    #[test]
    fn splice_then_read_is_read_then_replace(
        files in prop::collection::vec(content(), 0..4),
        place in any::<Index>(),
        own in "[a-z0-9/.-]{0,20}",
        other in "[ -~ä-ü]{0,30}",
        stream in any::<bool>(),
    ) {
        let mut parts: Vec<(&str, &[u8])> = files.iter().map(|content| (FILE, &content[..])).collect();
        parts.insert(place.index(parts.len() + 1), (MODEL, own.as_bytes()));
        let streams = stream.to_string();
        parts.push(("content-disposition: form-data; name=\"stream\"", streams.as_bytes()));
        let body = Bytes::from(form(&parts));
        let facts = scan_form(&body, B).unwrap();
        prop_assert_eq!(facts.stream, stream);
        let model = facts.model.clone().unwrap();
        prop_assert_eq!(&model.name, &own);

        let sent: Vec<u8> = segments(&body, &facts, Some(&other), Edits::NONE).iter().flat_map(|piece| piece.to_vec()).collect();
        prop_assert_eq!(&sent[..model.span.start], &body[..model.span.start]);
        prop_assert!(sent.ends_with(&body[model.span.end..]));
        let mut expected = naive(&body);
        prop_assert_eq!(expected.len(), parts.len());
        for (header, content) in &mut expected {
            if header == MODEL.as_bytes() {
                *content = other.clone().into_bytes();
            }
        }
        prop_assert_eq!(naive(&sent), expected);
        prop_assert_eq!(scan_form(&sent, B).unwrap().model.unwrap().name, other);
    }

    /// Whatever comes, there is an answer; a span that is given holds the name.
    #[test]
    fn mutated_forms(
        content in content(),
        changes in prop::collection::vec((any::<Index>(), prop::sample::select(b"\r\n-b\";:= m\0\xff".to_vec())), 0..4),
        cut in any::<Index>(),
    ) {
        let mut body = form(&[(FILE, &content), (MODEL, b"whisper"), (FILE, &content)]);
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let cut = cut.index(2 * body.len());
        body.truncate(cut);
        match scan_form(&body, B) {
            Ok(facts) => {
                if let Some(model) = facts.model {
                    prop_assert_eq!(&body[model.span], model.name.as_bytes());
                }
            }
            // A client's error never repeats what the client sent.
            Err(error) => prop_assert!(!error.to_string().contains("whisper")),
        }
    }
}
