//! The control address, and the stand-ins' beginning and end.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;

use serde_json::json;
use switchback::drill::{FaultSpec, StandIns};
use switchback::protocol::Protocol;

use crate::client::{self, get, post, send};
use crate::{at, chat, control, spec, start};

#[test]
fn a_fault_may_hold_for_one_model() {
    let stand_ins = start(&["openrouter=429,model=openai/gpt-4o"]);
    let openrouter = at(&stand_ins, "openrouter");
    let status = |model: &str| post(openrouter, "/api/v1/chat/completions", &chat(model, false)).status;
    assert_eq!((status("openai/gpt-4o"), status("other")), (429, 200));
    control(&stand_ins, "POST", "/drill/openrouter?fault=500&model=a%2Fb");
    assert_eq!(
        (status("openai/gpt-4o"), status("a/b"), status("other")),
        (429, 500, 200)
    );
    let state = control(&stand_ins, "GET", "/drill/openrouter");
    assert_eq!(state["models"], json!({ "openai/gpt-4o": "429", "a/b": "500" }));
    assert_eq!(
        (&state["fault"], &state["requests"], &state["faulted"]),
        (&json!("ok"), &json!(5), &json!(3))
    );
    control(&stand_ins, "DELETE", "/drill/openrouter?model=a/b");
    assert_eq!((status("openai/gpt-4o"), status("a/b")), (429, 200));
    control(&stand_ins, "POST", "/drill/openrouter?fault=ok");
    assert_eq!(status("openai/gpt-4o"), 200);
}

#[test]
fn the_control_address_says_what_is_wrong() {
    let stand_ins = start(&["openai=slow:5s"]);
    let control = stand_ins.control();
    let list = get(control, "/drill").json();
    assert_eq!(list["upstreams"].as_array().unwrap().len(), 4);
    assert_eq!(list["upstreams"][0]["fault"], "slow:5s");
    assert_eq!(list["upstreams"][0]["address"], at(&stand_ins, "openai").to_string());
    for (method, target, status, words) in [
        ("POST", "/drill/opnai?fault=429", 404, "did you mean openai?"),
        ("GET", "/drill/nobody", 404, "openai, anthropic, openrouter, deepseek"),
        ("POST", "/drill/openai", 400, "say which fault"),
        ("POST", "/drill/openai?fault=hagn", 400, "did you mean `hang`?"),
        ("POST", "/drill/openai?fault=refuse&model=m", 400, "can't be limited"),
        ("PUT", "/drill/openai?fault=429", 405, "POST"),
        ("POST", "/drill", 405, "/drill/UPSTREAM"),
        ("GET", "/", 404, "/drill"),
        ("GET", "/drilling", 404, "/drill"),
    ] {
        let reply = send(control, method, target, "", "");
        assert_eq!(reply.status, status, "{method} {target}");
        assert!(
            reply.json()["error"].as_str().unwrap().contains(words),
            "{method} {target}: {reply:?}"
        );
    }
    assert_eq!(
        get(control, "/drill/openai").json()["fault"],
        "slow:5s",
        "nothing has changed"
    );
}

#[test]
fn web_pages_are_kept_off_the_control_address() {
    let stand_ins = start(&[]);
    let with = |host: &str, more: &str| {
        let mut stream = client::connect(stand_ins.control());
        write!(
            stream,
            "POST /drill/openai?fault=500 HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{more}\r\n"
        )
        .unwrap();
        client::read(&mut stream).status
    };
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1:80.evil.example",
        "",
        "localhost.evil:80",
    ] {
        assert_eq!(with(host, ""), 403, "{host}");
    }
    assert_eq!(with("localhost:1", "origin: http://localhost:1\r\n"), 403);
    assert_eq!(control(&stand_ins, "GET", "/drill/openai")["fault"], "ok");
    for host in ["127.0.0.1", "localhost:8080", "[::1]:9"] {
        assert_eq!(with(host, ""), 200, "{host}");
    }
}

#[test]
fn a_fault_of_an_unknown_upstream_is_refused_at_start() {
    let fault: FaultSpec = "opnai=429".parse().unwrap();
    let error = StandIns::start(vec![spec("openai", &[Protocol::OpenAi])], &[fault]).unwrap_err();
    assert!(error.to_string().contains("did you mean openai?"), "{error}");
}

#[test]
fn dropping_the_stand_ins_closes_every_port() {
    let stand_ins = start(&[]);
    let (openai, control) = (at(&stand_ins, "openai"), stand_ins.control());
    drop(stand_ins);
    for address in [openai, control] {
        assert_eq!(
            TcpStream::connect(address).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    }
}
