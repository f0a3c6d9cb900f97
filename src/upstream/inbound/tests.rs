use super::*;
use crate::config::{self, KeyPolicy, LoadOptions};
use http::header::{CONTENT_TYPE, SERVER};

const KEY: &str = "sk-0123456789abcdef";

fn upstream(url: &str, more: &str) -> Upstream {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.yaml");
    let yaml = format!("upstreams: {{ u: {{ url: '{url}', key: {KEY}{more} }} }}\nroutes: {{ m: [u] }}\n");
    std::fs::write(&file, yaml).unwrap();
    let env = |_: &str| None;
    let keys = KeyPolicy::Required;
    let config = config::load(&file, &LoadOptions { env: &env, keys }).config.unwrap();
    Upstream::compile(0, &config.upstreams[0], &config.policy, None)
}

fn screened(upstream: &Upstream, name: &HeaderName, value: &str) -> String {
    match upstream.screen(name, &HeaderValue::from_str(value).unwrap()) {
        Screened::Passes => value.to_owned(),
        Screened::Changed(changed) => changed.to_str().unwrap().to_owned(),
        Screened::Dropped => "-".to_owned(),
    }
}

#[test]
fn references_to_the_upstream_lead_by_way_of_the_gateway() {
    let upstream = upstream(
        "http://10.0.0.7:8000/openai/v1",
        ", query: { code: sesame, api-version: '2024-10-21' }",
    );
    for (location, expected) in [
        (
            "http://10.0.0.7:8000/openai/v1/files/?code=sesame&api-version=2024-10-21",
            "/v1/files/",
        ),
        ("/openai/v1/files/?a=1&code=sesame#x", "/v1/files/?a=1#x"),
        ("//10.0.0.7:8000/openai/v1/files?code=other", "/v1/files"),
        ("HTTPS://10.0.0.7/openai/v1", "/v1"),
        ("http://10.0.0.7:8000", "/"),
        ("http://user@10.0.0.7:8000/login?next=%2F", "/login?next=%2F"),
        ("files/?code=sesame", "files/"),
        (
            "https://blob.example/f?sig=1&code=2",
            "https://blob.example/f?sig=1&code=2",
        ),
        (
            "https://blob.example/f?sig=1&code=sesame",
            "https://blob.example/f?sig=1",
        ),
        ("https://10.0.0.70/x", "https://10.0.0.70/x"),
        ("", ""),
    ] {
        for name in [LOCATION, CONTENT_LOCATION] {
            assert_eq!(screened(&upstream, &name, location), expected, "{location}");
        }
    }
    for (refresh, expected) in [
        ("5; url=http://10.0.0.7:8000/openai/v1/x?code=sesame", "5; url=/v1/x"),
        ("0;URL='/openai/v1/x?code=sesame'", "0;URL='/v1/x'"),
        ("5", "5"),
    ] {
        assert_eq!(screened(&upstream, &REFRESH, refresh), expected);
    }
    let link = "<http://10.0.0.7:8000/openai/v1/a?code=sesame&page=2>; rel=\"next\", <https://docs.example/>; rel=help";
    let expected = "</v1/a?page=2>; rel=\"next\", <https://docs.example/>; rel=help";
    assert_eq!(screened(&upstream, &LINK, link), expected);
}

#[test]
fn a_base_url_without_a_path_is_the_root() {
    let upstream = upstream("https://api.anthropic.com", "");
    for (location, expected) in [
        ("https://api.anthropic.com/v1/messages", "/v1/messages"),
        ("/v1/messages", "/v1/messages"),
        ("/other", "/v1/other"),
    ] {
        assert_eq!(screened(&upstream, &LOCATION, location), expected);
    }
}

#[test]
fn no_secret_and_no_name_of_the_gateways_own_passes() {
    let upstream = upstream(
        "https://a.example/v1",
        ", headers: { x-tenant: tenant-secret-0123, x-on: yes }",
    );
    for (name, value, expected) in [
        (SERVER, "yes", "yes"),
        (CONTENT_TYPE, "text/plain", "text/plain"),
        (SERVER, "said Bearer sk-0123456789abcdef", "-"),
        (LOCATION, "https://b.example/?k=sk-0123456789abcdef", "-"),
        (SERVER, "for tenant-secret-0123", "-"),
        (HeaderName::from_static("x-gateway-upstream"), "me", "-"),
        (HeaderName::from_static("x-gateway-anything"), "me", "-"),
    ] {
        assert_eq!(screened(&upstream, &name, value), expected, "{name}: {value}");
    }
}
