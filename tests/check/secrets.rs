//! Keys show nowhere: not in messages, not in source lines, not in `Debug`.

use switchback::config::{self, Key, KeyPolicy, LoadOptions};

use crate::builder::Check;

const SECRET: &str = "sk-9f8e7d";

/// Ways to write a credential into the file, right and wrong; `SECRET` stands for it.
const WRITTEN: [&str; 27] = [
    "upstreams: { u: { url: nowhere, key: SECRET } }",
    "upstreams: { u: { url: nowhere, key: 'SECRET' , kye: SECRET } }",
    "upstreams: { u: { url: nowhere, key: \"${NONE:-SECRET}\" } }",
    "upstreams: { u: { url: nowhere, key: [SECRET] } }",
    "upstreams: { u: { url: nowhere, key: { value: SECRET } } }",
    "upstreams: { u: { url: nowhere, key: { env: SECRET } } }",
    "upstreams: { u: { url: nowhere, api_key: SECRET } }",
    "upstreams: { u: { url: nowhere, Authorization: [Bearer SECRET] } }",
    "upstreams: { u: { url: nowhere, key: none, key: SECRET } }",
    "upstreams: { u: { url: nowhere, key: \"SECRET\\n\\nx\" } }",
    "upstreams: { u: { url: nowhere, headers: { authorization: Bearer SECRET }, x: 1 } }",
    "upstreams: { u: { url: nowhere, headers: { x y: SECRET } } }",
    "upstreams: { u: { url: nowhere, query: { key: SECRET }, x: 1 } }",
    "upstreams: { u: { url: 'https://me:SECRET@host/v1' } }",
    "upstreams: { u: { url: 'http://a', balance: { url: '/left?k=SECRET#x', pointer: x } } }",
    "upstreams: { u: { url: 'http://a', balance: { url: 'http://b/left?k=SECRET', pointer: x, key: SECRET, u: '?SECRET' } } }",
    "x: &k SECRET\nupstreams: { u: { url: nowhere, key: *k } }",
    "upstreams: { u: { key: SECRET, url: [ } }",
    "upstreams:\n  u:\n    key: SECRET: x\n",
    "upstreams: { u: { url: 'https://host/v1?key=SECRET' } }",
    "upstreams: { u: { url: 'host/v1?key=SECRET://' } }",
    "upstreams: { u: { url: 'https://host/v1?key=SECRET', key: [ } }",
    "upstreams: { u: { url: &k SECRET, key: *k } }",
    "x: &k SECRET\nupstreams: { u: { url: *k, key: *k, protocol: *k } }",
    "x: &d { key: SECRET }\nupstreams: { u: { <<: *d, url: nowhere } }",
    "upstreams: { u: { key: &k SECRET, url: 'http://a', provider: *k, http: *k } }\nroutes: { m: [*k] }",
    "upstreams: { u: { query: { key: &k SECRET }, url: 'http://a', timeouts: { idle: *k } } }\nroutes: { m: [{ upstream: *k }] }",
];

/// Keys as providers make them, which are hidden wherever they were pasted.
const PASTED: [&str; 3] = [
    "sk-proj-Ab12Cd34Ef56Gh78Ij90",
    "aB3dE6gH9jK2mN5pQ8sT1v",
    "0123456789abcdef0123456789abcdef",
];

#[test]
fn a_key_that_was_pasted_elsewhere_is_not_printed() {
    for written in [
        "upstreams: { u: { url: SECRET } }",
        "upstreams: { u: { url: 'https://SECRET' , SECRET: 1 } }",
        "upstreams: { SECRET: { url: nowhere } }\nroutes: { m: [SECRETx, 'SECRET/m', { upstream: SECRETy }] }",
        "upstreams: { u: { url: 'http://a', protocol: SECRET, provider: \"SECRET\\n\", timeouts: { idle: SECRET } } }\nroutes: { m: [u], n: SECRET }",
        "SECRET: 1",
        "upstreams: { u: { url: 'http://a', key: { env: 'SECRET x' } } }\nroutes: { m: [{ route: SECRET }] }",
        "upstreams: { u: { url: 'http://a', key: { file: SECRET } } }\nlisten: [SECRET]",
        "upstreams: { u: { url: SECRET, [ } }",
        "upstreams: { u: { url: *SECRET } }",
        "upstreams: { u: { url: http://a } }\nroutes: { 'n`SECRET': [u], m: ['x`SECRET', 'n`SECRET', { route: 'x`SECRET`' }] }",
    ] {
        for key in PASTED {
            let outcome = Check::of(&written.replace("SECRET", key)).run(&["check", "c.yaml"]);
            assert_eq!(outcome.status, Some(1), "{written}");
            // Half of it is too much.
            for shown in [&key[..key.len() / 2], &key[key.len() / 2..]] {
                assert!(!outcome.stderr.contains(shown), "{written}\n{}", outcome.stderr);
            }
            assert!(outcome.stderr.contains("error["), "{written}");
        }
    }
}

#[test]
fn a_key_in_the_file_is_not_printed() {
    for written in WRITTEN {
        let outcome = Check::of(&written.replace("SECRET", SECRET)).run(&["check", "c.yaml"]);
        assert_eq!(outcome.status, Some(1), "{written}");
        assert!(!outcome.stderr.contains(SECRET), "{written}\n{}", outcome.stderr);
        assert!(outcome.stderr.contains("error["), "{written}");
    }
}

/// A variable in a place where it does not belong: messages show its name.
#[test]
fn what_a_variable_holds_is_not_printed() {
    for place in [
        "upstreams: { u: { url: ${V} } }\nroutes: { m: [u] }",
        "upstreams: { u: { url: http://a, protocol: ${V}, provider: ${V}, http: ${V}, key: ${V} } }\nroutes: { m: [\"${V}\"] }",
        "upstreams: { u: { url: http://a, timeouts: { idle: ${V} }, key_header: ${V}, remove_headers: [\"a ${V}\"] } }\nroutes: { m: [u] }",
        "upstreams: { u: { url: http://a, headers: { ${V}: \"${V}\\nx\" } } }\nroutes: { m: [u] }",
        "upstreams: { ${V}: { url: http://a, tls: { ca: ${V}, server_name: \"${V} x\" } } }\nroutes: { ${V}: [] }",
        "upstreams: { u: { url: http://a, key: { file: ${V} } } }\nroutes: { m: [{ route: ${V} }, { upstream: ${V} }] }",
        "upstreams: { u: { url: http://a, key: { credential: ${V} } } }\nroutes: { m: [u], '${V}*': [u, u], '${V}**': [u] }\nlisten: [\"${V}\"]",
        "upstreams: { u: { url: http://a } }\nroutes: { '${V}': [{ route: '${V}' }] }\nserver: { passthrough: ${V}, threads: ${V}, max_body: ${V} }",
        "upstreams: { u: { url: http://a } }\nroutes: { m: [u] }\npolicy: { on: { ${V}: ${V} }, exhausted: ${V} }\nlog: { level: ${V} }",
    ] {
        // In capitals too: a name with capitals can't name an upstream.
        let secret = SECRET.to_uppercase();
        let outcome = Check::of(place).env("V", &secret).run(&["check", "c.yaml"]);
        assert_eq!(outcome.status, Some(1), "{place}\n{}", outcome.stderr);
        assert!(!outcome.stderr.contains(&secret), "{place}\n{}", outcome.stderr);
    }
}

/// A variable where it does belong, and a fault that speaks of it elsewhere: of names as they are written, of others not.
#[test]
fn what_a_variable_holds_is_not_printed_where_another_fault_lists_it() {
    for (text, expected) in [
        (
            "upstreams: { '${V}': { url: http://a } }\nroutes: { m: [nobody] }",
            "known here: `${V}`",
        ),
        (
            "upstreams: { '${V}': { url: http://a } }\nroutes: { m: [sk-9f8e7] }",
            "did you mean `${V}`?",
        ),
        (
            "upstreams: { 'a-${V}': { url: http://a } }\nroutes: { m: [{ upstream: nobody }] }\nserver: { passthrough: nobody }",
            "known here: `a-${V}`",
        ),
        (
            "upstreams: { u: { url: http://a } }\nroutes: { '${V}/${V}': [u], n: [{ route: nothing }] }",
            "known here: `${V}/${V}`, `n`",
        ),
        (
            "upstreams: { u: { url: http://a } }\nroutes: { '${V}': [u], n: ['${V}'] }",
            "to use the route of this name, write `{ route: ${V} }`",
        ),
        (
            "upstreams: { '${V}': { url: http://a } }\nroutes: { '${V}': ['${V}', '${V}'], n: [] }",
            "the chain of `${V}` asks upstream `${V}` for the same model twice",
        ),
        (
            "upstreams: { u: { url: http://a, remove_headers: ['${V}'], forward_headers: ['${V}'] } }\nroutes: { m: [u] }",
            "`${V}` is in `remove_headers` too",
        ),
        (
            "upstreams: { u: { url: 'https://${V}.example', balance: { url: 'https://b.example/', pointer: '' }, key: '${V}' } }\n\
             routes: { m: [u] }",
            "this URL is not at the upstream's own address",
        ),
        (
            "upstreams: { u: { url: https://a, key: { credential: 'keys_${V}' } } }\nroutes: { m: [u] }",
            "write the key to `/etc/switchback/keys/${V}`",
        ),
    ] {
        let check = Check::of(text)
            .env("V", SECRET)
            .env("CREDENTIALS_DIRECTORY", "/nowhere");
        let outcome = check.run(&["check", "c.yaml"]);
        assert_eq!(outcome.status, Some(1), "{text}\n{}", outcome.stderr);
        assert!(!outcome.stderr.contains(SECRET), "{text}\n{}", outcome.stderr);
        assert!(outcome.stderr.contains(expected), "{text}\n{}", outcome.stderr);
    }
}

#[test]
fn debug_shows_no_secret() {
    let yaml = format!(
        "upstreams:\n  a: {{ url: https://a.example, key: {SECRET}, headers: {{ x-a: {SECRET} }}, query: {{ key: {SECRET} }} }}\n  \
         b: {{ url: https://b.example, key: ${{V}} }}\nroutes: {{ m: [a, b] }}\n"
    );
    let check = Check::of(&yaml);
    let env = |name: &str| (name == "V").then(|| SECRET.to_owned());
    let loaded = config::load(
        &check.path().join("c.yaml"),
        &LoadOptions {
            env: &env,
            keys: KeyPolicy::Required,
        },
    );
    assert!(!format!("{:?}{:?}{:?}", loaded.config, loaded.source, loaded.diagnostics).contains(SECRET));
    let upstreams = loaded.config.unwrap().upstreams;
    assert_eq!(upstreams.len(), 2);
    for upstream in upstreams {
        assert!(matches!(&upstream.key, Key::Secret(secret) if secret.expose() == SECRET));
    }
}
