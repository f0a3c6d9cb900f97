//! HTTP/1.1 itself.

use std::io::{Read, Write};

use crate::{at, chat, client, start};

#[test]
fn http_itself_is_held_to() {
    let stand_ins = start(&[]);
    let openai = at(&stand_ins, "openai");
    let raw = |request: &str| {
        let mut stream = client::connect(openai);
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        client::read(&mut stream)
    };
    let body = chat("gpt-4o", false).to_string();
    let (first, second) = body.split_at(10);
    let chunked = format!(
        "a\r\n{first}\r\n{:x};x=y\r\n{second}\r\n0\r\ntrailer: 1\r\n\r\n",
        second.len()
    );
    let post = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n";
    let twice = format!("{post}transfer-encoding: chunked\r\n\r\n{chunked}").repeat(2);
    assert_eq!(raw(&twice).head.matches("200 OK").count(), 1);
    assert_eq!(
        raw(&twice).body.windows(6).filter(|six| six == b"200 OK").count(),
        1,
        "both are answered"
    );

    assert_eq!(raw("nonsense\r\n\r\n").status, 400);
    assert_eq!(raw("GET / HTTP/1.0\r\n\r\n").status, 505);
    assert_eq!(raw(&format!("{post}x: {}\r\n\r\n", "y".repeat(80_000))).status, 431);
    assert_eq!(raw(&format!("{post}content-length: x\r\n\r\n")).status, 400);
    assert_eq!(raw(&format!("{post}content-length: 99999999999\r\n\r\n")).status, 413);
    assert_eq!(
        raw(&format!("{post}transfer-encoding: chunked\r\n\r\nffffffff\r\n")).status,
        413
    );
    assert_eq!(
        raw(&format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n")).status,
        400
    );
    assert_eq!(
        raw(&format!(
            "{post}transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n"
        ))
        .status,
        400
    );

    let mut stream = client::connect(openai);
    let length = body.len();
    write!(
        stream,
        "{post}expect: 100-continue\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).unwrap();
    assert_eq!(client::read(&mut stream).status, 200);
}
