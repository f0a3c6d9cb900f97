use super::*;

fn check(lines: &[&str]) -> Result<RequestFraming, HeaderFault> {
    let header = lines.join("\r\n") + "\r\n\r\n";
    assert_eq!(header_len(header.as_bytes(), 0), Some(header.len()), "{lines:?}");
    check_header(header.as_bytes())
}

fn with(field: &str) -> Result<RequestFraming, HeaderFault> {
    check(&["POST /v1/x?y=%20 HTTP/1.1", "Host: a.example:8080", field])
}

#[test]
fn what_clients_send() {
    let length = |bytes| {
        Ok(RequestFraming {
            body: BodyFraming::Length(bytes),
            asks_upgrade: false,
        })
    };
    assert_eq!(with("content-length: 57"), length(57));
    assert_eq!(with("Content-Length:57"), length(57));
    assert_eq!(with("x-empty:"), length(0));
    assert_eq!(with("x-text: \u{e9}\tz"), length(0));
    assert_eq!(check(&["GET / HTTP/1.0"]), length(0));
    assert_eq!(check(&["OPTIONS * HTTP/1.1", "host: a_b"]), length(0));
    assert_eq!(check(&["GET http://[::1]:80/x HTTP/1.1", "host: [::1]:80"]), length(0));
    for host in ["localhost", "127.0.0.1:1", "[::1]", "a.example."] {
        assert_eq!(
            check(&["GET / HTTP/1.1", &format!("host: {host}")]),
            length(0),
            "{host}"
        );
    }
    assert_eq!(
        with("Transfer-Encoding: Chunked").map(|framing| framing.body),
        Ok(BodyFraming::Chunked)
    );
    assert!(with("upgrade: websocket").is_ok_and(|framing| framing.asks_upgrade));
}

#[test]
fn lengths_that_are_none() {
    for value in [
        "",
        "-1",
        "+57",
        "0x20",
        "1e3",
        "57, 57",
        "5 7",
        "99999999999999999999999",
        "५",
    ] {
        let field = format!("content-length: {value}");
        assert_eq!(with(&field), Err(HeaderFault::ContentLength), "{value}");
    }
    assert_eq!(
        check(&["POST / HTTP/1.1", "host: a", "content-length: 5", "Content-Length: 5"]),
        Err(HeaderFault::ContentLength)
    );
    assert_eq!(
        check(&[
            "POST / HTTP/1.1",
            "host: a",
            "content-length: 5",
            "transfer-encoding: chunked"
        ]),
        Err(HeaderFault::TwoFramings)
    );
}

#[test]
fn transfer_encodings_that_are_none() {
    for value in [
        "",
        "xchunked",
        "chunked, identity",
        "gzip, chunked",
        "identity",
        "chunked;q=1",
        "chunked, chunked",
    ] {
        let field = format!("transfer-encoding: {value}");
        assert_eq!(with(&field), Err(HeaderFault::TransferEncoding), "{value}");
    }
    let twice = [
        "POST / HTTP/1.1",
        "host: a",
        "transfer-encoding: chunked",
        "transfer-encoding: chunked",
    ];
    assert_eq!(check(&twice), Err(HeaderFault::TransferEncoding));
    let old = ["POST / HTTP/1.0", "transfer-encoding: chunked"];
    assert_eq!(check(&old), Err(HeaderFault::TransferEncoding));
}

#[test]
fn hosts_that_are_none() {
    assert_eq!(check(&["GET / HTTP/1.1"]), Err(HeaderFault::Host));
    assert_eq!(check(&["GET / HTTP/1.1", "host: a", "host: a"]), Err(HeaderFault::Host));
    assert_eq!(check(&["GET / HTTP/1.0", "host: a", "host: b"]), Err(HeaderFault::Host));
    for host in [
        "", " ", "a b", "a@b", "a/b", "a:b", "a:1:2", "[::1", "[x]", ":80", "a,b:\"", "a\u{e9}",
    ] {
        assert_eq!(
            check(&["GET / HTTP/1.1", &format!("host: {host}")]),
            Err(HeaderFault::Host),
            "{host}"
        );
    }
    assert_eq!(check(&["GET http://a/x HTTP/1.1", "host: b"]), Err(HeaderFault::Host));
}

#[test]
fn lines_that_are_none() {
    for (line, fault) in [
        ("x : y", HeaderFault::FieldName),
        ("x", HeaderFault::FieldName),
        (": y", HeaderFault::FieldName),
        ("x\0: y", HeaderFault::FieldName),
        ("\u{e9}: y", HeaderFault::FieldName),
        ("x: y\0", HeaderFault::FieldValue),
        ("x: y\rz", HeaderFault::FieldValue),
        ("x: \u{7f}", HeaderFault::FieldValue),
        (" folded", HeaderFault::Folded),
        ("\tfolded", HeaderFault::Folded),
    ] {
        assert_eq!(with(line), Err(fault), "{line:?}");
    }
    for (line, fault) in [
        ("", HeaderFault::RequestLine),
        ("hello there", HeaderFault::RequestLine),
        ("GET /", HeaderFault::RequestLine),
        ("GET  / HTTP/1.1", HeaderFault::RequestLine),
        ("GET /a b HTTP/1.1", HeaderFault::RequestLine),
        ("GET a HTTP/1.1", HeaderFault::RequestLine),
        ("G(T / HTTP/1.1", HeaderFault::RequestLine),
        ("GET / http/1.1", HeaderFault::RequestLine),
        ("GET / HTTP/1.1 ", HeaderFault::RequestLine),
        ("GET /\u{1} HTTP/1.1", HeaderFault::RequestLine),
        ("GET / HTTP/2.0", HeaderFault::Version),
        ("PRI * HTTP/2.0", HeaderFault::Version),
        ("CONNECT a:1 HTTP/1.1", HeaderFault::Connect),
    ] {
        let header = format!("{line}\r\nhost: a\r\n\r\n");
        assert_eq!(check_header(header.as_bytes()), Err(fault), "{line:?}");
    }
}

#[test]
fn line_feeds_alone_end_it_and_are_refused() {
    for header in [
        "GET / HTTP/1.1\nhost: a\n\n",
        "GET / HTTP/1.1\r\nhost: a\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\n",
    ] {
        assert_eq!(header_len(header.as_bytes(), 0), Some(header.len()), "{header:?}");
        assert_eq!(
            check_header(header.as_bytes()),
            Err(HeaderFault::BareLineFeed),
            "{header:?}"
        );
    }
}

#[test]
fn too_many_fields() {
    let header = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(FIELDS_MAX));
    assert_eq!(check_header(header.as_bytes()), Err(HeaderFault::TooLarge));
}

#[test]
fn its_end_is_found_however_it_comes() {
    let header = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let request = [header, &b"body\r\n\r\n"[..]].concat();
    let mut seen = 0;
    for come in 1..=request.len() {
        let found = header_len(&request[..come], seen);
        assert_eq!(found, (come >= header.len()).then_some(header.len()), "{come} bytes");
        if found.is_none() {
            seen = come;
        }
    }
}

#[test]
fn what_a_log_may_show() {
    assert_eq!(
        method_and_path(b"GET /v1/models?key=secret HTTP/1.1\r\n"),
        Some(("GET", "/v1/models"))
    );
    assert_eq!(method_and_path(b"GET /\xc3\xa9 HTTP/1.1\r\n"), None);
    assert_eq!(method_and_path(b"GET / HTTP/1.1"), None);
    assert_eq!(method_and_path(b"\x16\x03\x01\n"), None);
}

#[test]
fn what_can_be_no_request_is_seen_at_once() {
    for start in ["", "G", "GET", "GET ", "GET /\"", "M-SEARCH *"] {
        assert!(may_be_request(start.as_bytes()), "{start:?}");
    }
    for start in ["\u{16}\u{3}", "el\":", " GET", "{", &"x".repeat(33), "\0"] {
        assert!(!may_be_request(start.as_bytes()), "{start:?}");
    }
}
