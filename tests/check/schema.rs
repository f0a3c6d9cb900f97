//! `check --schema`: the schema accepts what `check` accepts, both refuse what is wrong, and the documentation's tables are
//! the schema's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Value, json};
use switchback::classify::{Class, Scope};
use switchback::config::{self, Config, KeyPolicy, LoadOptions, Loaded, Policy, TimeoutOverrides};

use crate::builder::{Check, pem};
use crate::shipped::shipped;

fn schema() -> Value {
    let outcome = Check::new().run(&["check", "--schema"]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&outcome.stdout).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft7::options().build(&schema()).unwrap()
}

/// A file as an editor sees it. Variables are hidden from the YAML parser, as `check` does it: they may stand between braces.
fn editors_view(yaml: &str) -> Value {
    let mut hidden = String::new();
    for (number, part) in yaml.split("${").enumerate() {
        match (number, part.split_once('}')) {
            (0, _) | (_, None) => hidden += part,
            (_, Some((name, rest))) => hidden += &format!("$<{}>{rest}", name.replace(':', "=")),
        }
    }
    let value: Value = serde_yaml::from_str(&hidden).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    serde_json::from_str(&value.to_string().replace("$<", "${")).unwrap()
}

fn faults(validator: &Validator, value: &Value) -> Vec<String> {
    let faults = validator.iter_errors(value);
    faults
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect()
}

fn case(name: &str) -> String {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/cases");
    fs::read_to_string(cases.join(name)).unwrap()
}

#[test]
fn what_check_accepts_the_schema_accepts() {
    let validator = validator();
    let mut files: Vec<String> = shipped().iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/cases");
    for entry in fs::read_dir(cases).unwrap() {
        let printed = entry.unwrap().path();
        let valid = printed.extension().is_some_and(|extension| extension == "txt")
            && fs::read_to_string(&printed).unwrap().ends_with("exit status 0\n");
        if valid {
            files.push(fs::read_to_string(printed.with_extension("yaml")).unwrap());
        }
    }
    // Other ways to write values, all of which the readers take.
    files.push(
        "upstreams: { u: { url: 'http://localhost', http: 1, prefill: 'TRUE', max_inflight: '4', key: 12345, \
         timeouts: { connect: 1.5 s, idle: '${IDLE:-3s}' }, provider: mine, query: {}, headers: {}, remove_headers: [], forward_headers: [] } }\n\
         routes: { 'gpt-4.1': [u], '1': [u/4.1], m: { targets: [u], on: { 429: deliver, auth: retry } } }\n\
         server: { max_body: 1024, threads: 2 }\npolicy: { retry: { same_target: 0 }, on: {} }\n"
            .to_owned(),
    );
    let last = files.last().unwrap();
    assert_eq!(Check::of(last).run(&["check", "c.yaml"]).status, Some(0), "{last}");
    assert!(files.len() > 12);
    for file in files {
        let faults = faults(&validator, &editors_view(&file));
        assert!(faults.is_empty(), "{faults:#?}\n{file}");
    }
}

#[test]
fn wrong_types_unknown_keys_and_bad_values_are_refused() {
    let validator = validator();
    for name in [
        "wrong-types.yaml",
        "unknown-keys.yaml",
        "missing-keys.yaml",
        "missing-sections.yaml",
        "quantities.yaml",
        "policy.yaml",
    ] {
        // A mapping as a key is a fault that JSON has no words for.
        let text = case(name).replace("[d]: {}", "d: {}");
        assert!(!validator.is_valid(&editors_view(&text)), "{name}");
    }
    for wrong in [
        json!({ "timeouts": { "headers": 30 } }),
        json!({ "timeouts": { "headers": "0s" } }),
        json!({ "timeouts": { "headers": "soon" } }),
        json!({ "timeouts": null }),
        json!({ "on": { "no_class": "retry" } }),
        json!({ "on": { "200": "retry" } }),
        json!({ "on": { "auth": "ignore" } }),
        json!({ "exhausted": "both" }),
        json!({ "retry": { "attempts": 0 } }),
        json!({ "retry": { "attempts": "some" } }),
    ] {
        let mut file = every_section();
        file["policy"] = wrong;
        assert!(!validator.is_valid(&file), "{}", file["policy"]);
        assert!(load(&file).config.is_none(), "{}", file["policy"]);
    }
}

/// A valid file with each section in it.
fn every_section() -> Value {
    json!({
        "listen": [{ "address": "127.0.0.1:0", "tls": { "cert": "cert.pem", "key": "key.pem" } }],
        "admin": { "address": "127.0.0.1:9091" },
        "upstreams": { "u": {
            "url": "https://a.example", "key": { "env": "SET" }, "tls": { "ca": "cert.pem" }, "timeouts": {}, "cooldown": {},
            "balance": { "from": "openrouter" }, "body": {},
        } },
        "routes": {
            "m": { "targets": [{ "upstream": "u" }, { "spread": [{ "target": "u/a" }] }, { "route": "n" }] },
            "n": ["u/b"],
        },
        "policy": { "timeouts": {}, "retry": {}, "cooldown": {}, "keepalive": { "every": "15s" } },
        "server": { "passthrough": { "upstream": "u" } },
        "log": {},
    })
}

/// Where [`every_section`] has each section of the schema.
const PLACES: [(&str, &str); 22] = [
    ("configuration", ""),
    ("admin", "/admin"),
    ("listener", "/listen/0"),
    ("listener-tls", "/listen/0/tls"),
    ("upstream", "/upstreams/u"),
    ("key", "/upstreams/u/key"),
    ("balance", "/upstreams/u/balance"),
    ("body", "/upstreams/u/body"),
    ("upstream-tls", "/upstreams/u/tls"),
    ("route", "/routes/m"),
    ("target", "/routes/m/targets/0"),
    ("spread", "/routes/m/targets/1"),
    ("spread-item", "/routes/m/targets/1/spread/0"),
    ("route-reference", "/routes/m/targets/2"),
    ("policy", "/policy"),
    ("keepalive", "/policy/keepalive"),
    ("timeouts", "/policy/timeouts"),
    ("retry", "/policy/retry"),
    ("cooldown", "/policy/cooldown"),
    ("server", "/server"),
    ("passthrough", "/server/passthrough"),
    ("log", "/log"),
];

fn load(file: &Value) -> Loaded {
    let check = Check::of(&file.to_string())
        .file("cert.pem", pem("CERTIFICATE"))
        .file("key.pem", pem("PRIVATE KEY"));
    let env = |name: &str| (name == "SET").then(|| "value".to_owned());
    let options = LoadOptions {
        env: &env,
        keys: KeyPolicy::Required,
    };
    config::load(&check.path().join("c.yaml"), &options)
}

/// Name → key → its schema; the file itself is `configuration`.
fn sections() -> BTreeMap<String, Value> {
    let schema = schema();
    let properties = |section: &Value| section["properties"].clone();
    let definitions = schema["definitions"].as_object().unwrap().iter();
    let mut sections: BTreeMap<String, Value> = definitions.map(|(name, it)| (name.clone(), properties(it))).collect();
    sections.insert("configuration".into(), properties(&schema));
    sections
}

/// A key that no reader reads would be taken without effect: each is given what no key takes, and must be complained of.
#[test]
fn every_key_of_the_schema_is_read() {
    let (validator, sections) = (validator(), sections());
    let base = every_section();
    assert_eq!(faults(&validator, &base), [""; 0]);
    let loaded = load(&base);
    assert!(loaded.config.is_some(), "{}", loaded.render(false));
    let placed: BTreeSet<&str> = PLACES.iter().map(|(name, _)| *name).collect();
    let defined: BTreeSet<&str> = sections.keys().map(String::as_str).collect();
    assert_eq!(
        defined, placed,
        "say in PLACES, and in every_section(), where the new section stands"
    );
    for (section, place) in PLACES {
        let keys = sections[section].as_object().unwrap().keys();
        for key in keys.map(String::as_str).chain(["nobody_reads_this"]) {
            let mut file = base.clone();
            file.pointer_mut(place).unwrap()[key] = json!([["x"]]);
            assert!(
                !validator.is_valid(&file),
                "the schema takes anything for `{key}` of {section}"
            );
            assert!(load(&file).config.is_none(), "no reader reads `{key}` of {section}");
        }
    }
}

#[test]
fn defaults_are_what_a_file_without_the_key_gets() {
    let mut written = every_section();
    // `listen` has its own default as a whole.
    written["listen"] = json!(["127.0.0.1:8080"]);
    let mut bare = written.clone();
    bare.as_object_mut().unwrap().remove("listen");
    let sections = sections();
    let mut defaults = 0;
    for (section, place) in PLACES.into_iter().filter(|(_, place)| !place.starts_with("/listen")) {
        for (key, schema) in sections[section].as_object().unwrap() {
            let target = written.pointer_mut(place).unwrap();
            // What a route leaves out comes from `policy`; so it does not have the default of its own.
            if let Some(default) = schema.get("default").filter(|_| target.get(key).is_none()) {
                target[key] = match default.as_str() {
                    Some("{}") => json!({}),
                    _ => default.clone(),
                };
                defaults += 1;
            }
        }
    }
    assert!(defaults > 25, "{defaults}");
    // A route's own policy is told apart from the one that it inherits.
    let shown = |file: &Value| {
        let config: Config = load(file).config.unwrap();
        let timeouts = config.policy.timeouts(None);
        let policy = Policy {
            timeouts: TimeoutOverrides::default(),
            ..config.policy
        };
        let mut shown = format!(
            "{:#?}{:#?}{:#?}{policy:#?}{timeouts:#?}{:#?}",
            config.admin, config.listen, config.upstreams, config.server
        );
        shown += &format!("{:#?}{:#?}", config.log, config.routes[1]);
        shown
    };
    assert_eq!(shown(&written), shown(&bare));
}

/// Sections that docs/configuration.md tells in its text: forms of a value, not lists of keys.
const IN_TEXT: [&str; 7] = [
    "configuration",
    "key",
    "listener-tls",
    "route-reference",
    "spread",
    "spread-item",
    "target",
];

#[test]
fn the_tables_of_the_documentation_are_the_schemas() {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    let mut sections = sections();
    let policy = sections["policy"].clone();
    let route = sections.get_mut("route").unwrap().as_object_mut().unwrap();
    route.retain(|key, _| policy.get(key).is_none());
    assert_eq!(
        route.keys().collect::<Vec<_>>(),
        ["models", "targets"],
        "say it in docs/configuration.md, `routes`"
    );
    for (name, keys) in sections.iter().filter(|(name, _)| *name != "route") {
        let keys = keys.as_object().unwrap();
        if IN_TEXT.contains(&name.as_str()) {
            let untold: Vec<_> = keys.keys().filter(|key| !docs.contains(key.as_str())).collect();
            assert!(
                untold.is_empty(),
                "docs/configuration.md does not mention {untold:?} of {name}"
            );
            continue;
        }
        let marker = format!("<!-- keys: {name} -->\n");
        let (_, table) = docs
            .split_once(&marker)
            .unwrap_or_else(|| panic!("docs/configuration.md has no table after `{}`", marker.trim()));
        let mut told = BTreeMap::new();
        for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let names = cells[1].split(", ").map(|name| name.trim_matches('`').to_owned());
            told.extend(names.map(|name| (name, cells[2].to_owned())));
        }
        let expected: BTreeMap<String, String> = keys
            .iter()
            .map(|(key, schema)| (key.clone(), default(schema)))
            .collect();
        assert_eq!(
            told, expected,
            "keys and defaults of `{name}`: documentation (left), schema (right)"
        );
    }
}

/// The rows of a table in a page of the documentation whose first cell is a name in backticks: the name, and the other cells.
fn named_rows(page: &str) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| {
        row.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    });
    cells
        .map(|cells: Vec<String>| (cells[0].trim_matches('`').to_owned(), cells[1..].to_vec()))
        .collect()
}

#[test]
fn the_table_of_classes_is_that_of_the_program() {
    let told = named_rows("docs/behaviour.md");
    for class in Class::ALL.into_iter().filter(|class| {
        // What no answer and no policy decides is told in the text.
        !matches!(class, Class::Protocol | Class::ClientGone | Class::Broken)
    }) {
        let name = class.name();
        let row = told
            .get(name)
            .unwrap_or_else(|| panic!("docs/behaviour.md has no row for `{name}`"));
        let cools = match class.cools() {
            None => "no",
            Some(Scope::Target) => "target",
            Some(Scope::Upstream) => "upstream",
        };
        assert!(
            row[1].starts_with(class.default_action().name()),
            "the action of `{name}`: {row:?}"
        );
        assert!(row[2].starts_with(cools), "what `{name}` cools: {row:?}");
    }
    let answered = Class::ALL
        .into_iter()
        .filter_map(|class| Some((class.name(), class.usual_status()?)));
    let (names, statuses): (Vec<_>, Vec<_>) = answered.unzip();
    let cell = format!("| `{}` | ", names.join("`, `"));
    let statuses = statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/explain.md")).unwrap();
    let row = page.lines().find(|line| line.starts_with(&cell));
    let row = row.unwrap_or_else(|| panic!("docs/explain.md has no row that begins with {cell}"));
    assert!(
        row.contains(&format!("({statuses})")),
        "the statuses are {statuses}: {row}"
    );
}

/// As a table's second column has it.
fn default(schema: &Value) -> String {
    let description = schema["description"].as_str().unwrap();
    match description.rsplit_once(" Default: ") {
        Some((_, default)) => default.trim_end_matches('.').to_owned(),
        None => {
            assert!(description.ends_with(" Required."), "{description}");
            "required".to_owned()
        }
    }
}
