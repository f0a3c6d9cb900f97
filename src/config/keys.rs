//! Every key of the file: readers accept these and no others, `switchback check --schema` prints them, and a test
//! compares docs/configuration.md with them.

use super::section::{Absent, Key, Section, Shape};
use super::{bounds, provider, words};

macro_rules! section {
    ($name:ident = $called:literal, $meaning:literal $(and $other:ident)? => {
        $($key:literal = $shape:expr, $absent:expr, $told:literal;)+
    }) => {
        pub(super) static $name: Section = Section {
            name: $called,
            meaning: $meaning,
            keys: &[$(Key { name: $key, shape: $shape, absent: $absent, meaning: $told }),+],
            and: and_section!($($other)?),
        };
    };
}

macro_rules! and_section {
    () => {
        None
    };
    ($section:ident) => {
        Some(&$section)
    };
}

use Absent::{Required, Told, Written};
use Shape::{Amount, Duration, Flag, Json, List, Names, Number, OneOf, Reserved, Size, Suggested, Text, Word};

const NONE: Absent = Told("none");
const COUNT_MAX: u32 = bounds::ATTEMPTS_MAX;

fn no_names() -> Vec<&'static str> {
    Vec::new()
}

section! {
    FILE = "configuration", "Switchback's configuration: model name → ordered upstreams." => {
        "admin" = OneOf(&[Text, Shape::Section(&ADMIN)]), NONE,
            "The listener for the operator: `ADDRESS:PORT`, `unix:/path`, or a mapping with `address`.";
        "clients" = Reserved, NONE, "clients' own keys";
        "listen" = OneOf(&[Text, Shape::Section(&LISTENER), List(&OneOf(&[Text, Shape::Section(&LISTENER)]))]), Written("[127.0.0.1:8080]"),
            "Where clients connect: `ADDRESS:PORT`, `unix:/path`, or a mapping with `address`.";
        "log" = Shape::Section(&LOG), NONE, "How much is logged, and how.";
        "policy" = Shape::Section(&POLICY), NONE, "The defaults of every route.";
        "routes" = Names { usual: no_names, others: ".", shape: &CHAIN_OR_ROUTE, empty: false }, Required,
            "Model name, or a glob with `*` → an ordered list of targets. Exact names win, then the glob with most literal characters.";
        "server" = Shape::Section(&SERVER), NONE, "The process: threads, bounds, stopping.";
        "upstreams" = Names { usual: no_names, others: bounds::UPSTREAM_NAME_PATTERN, shape: &Shape::Section(&UPSTREAM), empty: false }, Required,
            "The providers' endpoints, by names of your own (`[a-z0-9][a-z0-9_-]*`).";
    }
}

const CHAIN: Shape = OneOf(&[List(&TARGET), Text]);
const CHAIN_OR_ROUTE: Shape = OneOf(&[List(&TARGET), Text, Shape::Section(&ROUTE)]);
const UPSTREAM_TARGET: Shape = OneOf(&[Text, Shape::Section(&TARGET_FIELDS)]);
const TARGET: Shape = OneOf(&[
    Text,
    Shape::Section(&TARGET_FIELDS),
    Shape::Section(&SPREAD),
    Shape::Section(&ROUTE_REFERENCE),
]);

section! {
    ADMIN = "admin", "A listener with a page, the status, metrics and probes." => {
        "address" = Text, Required, "`ADDRESS:PORT` or `unix:/path`.";
        "hosts" = List(&Text), NONE, "Host names that it accepts, besides `localhost`, loopback addresses and its own address.";
        "open" = Flag, Written("false"), "Allows an address that is not loopback.";
    }
}

section! {
    LISTENER = "listener", "An address with TLS or HTTP/2, or one for web pages." => {
        "address" = Text, Required, "`ADDRESS:PORT` or `unix:/path`.";
        "cors" = List(&Text), NONE, "Origins whose web pages may send requests and read the answers: `https://chat.example.org`; `*` for every page.";
        "h2c" = Flag, Written("false"), "HTTP/2 without TLS as well.";
        "mode" = Text, Told("0666"), "Who may connect to a unix socket, as octal permissions such as `0660`.";
        "hosts" = List(&Text), NONE, "If given, the only host names that it accepts, besides `localhost`, loopback addresses and its own address.";
        "tls" = Shape::Section(&LISTENER_TLS), NONE, "Offers `h2` and `http/1.1`.";
    }
}

section! {
    LISTENER_TLS = "listener-tls", "The certificate that the listener presents." => {
        "cert" = Text, Required, "A PEM file: the certificate, followed by its intermediates.";
        "key" = Text, Required, "A PEM file: the certificate's private key.";
    }
}

section! {
    UPSTREAM = "upstream", "A provider's endpoint." => {
        "url" = Text, Required, "The base URL that one would give the provider's own SDK: `https://api.openai.com/v1`, `https://api.anthropic.com`.";
        "body" = Shape::Section(&BODY), NONE, "Members of each request's JSON body that are set or dropped.";
        "balance" = OneOf(&[Word(words::balance_presets), Shape::Section(&BALANCE)]), NONE,
            "How the remaining credit is read: by a provider's name, or a mapping.";
        "cooldown" = Shape::Section(&COOLDOWN), Told("from `policy`"), "When and for how long it is skipped.";
        "forward_headers" = List(&Text), NONE,
            "Client headers to forward that are otherwise withheld: those of browsers, networks, accounts and credentials.";
        "headers" = Names { usual: no_names, others: bounds::HEADER_NAME_PATTERN, shape: &Text, empty: true }, NONE, "Added to every request to it.";
        "http" = Word(words::http_versions), Written("auto"), "`auto` asks the server (ALPN).";
        "key" = OneOf(&[Suggested(words::keys), Shape::Section(&KEY)]), Written("none"),
            "The credential: `${VAR}`, `{ env: VAR }`, `{ file: PATH }`, `{ credential: NAME }`, `passthrough` (the client's own) or `none`.";
        "key_header" = Text, Told("by protocol"),
            "The header that carries the key: `authorization` with `Bearer ` for openai, `x-api-key` for anthropic, unless another is named.";
        "max_inflight" = Number { least: 1, most: bounds::INFLIGHT_MAX }, NONE,
            "The most requests at once; more go to the next target (class `saturated`).";
        "prefill" = Flag, Written("false"),
            "It continues a trailing assistant message, so a chat stream that breaks off may be resumed here.";
        "protocol" = OneOf(&[Word(words::protocols), List(&Word(words::protocols))]), Told("by the URL"),
            "The protocol that it speaks, or a list of both: `openai`, unless the URL is known to be Anthropic's.";
        "provider" = Suggested(provider::names), Told("from the URL's host"), "Selects rules that apply to one provider only.";
        "proxy" = Suggested(words::proxies), Told("from `server`"),
            "The proxy that leads to it: `http://`, `https://` or `socks5://` with host and port, `env`, or `none`.";
        "query" = Names { usual: no_names, others: "", shape: &Text, empty: true }, NONE, "Query parameters of every request to it; they replace the client's of the same names.";
        "remove_headers" = List(&Text), NONE, "Removed from every request to it.";
        "timeouts" = Shape::Section(&TIMEOUTS), Told("from `policy`"), "Its own clocks.";
        "tls" = Shape::Section(&UPSTREAM_TLS), Told("system roots"), "Which authorities to trust, and which certificate to present.";
    }
}

section! {
    KEY = "key", "Where the credential comes from: one of these." => {
        "credential" = Text, NONE, "A file of that name in `$CREDENTIALS_DIRECTORY` (systemd's `LoadCredential=`).";
        "env" = Text, NONE, "The environment variable that holds it.";
        "file" = Text, NONE, "The file that holds it; a trailing newline is dropped.";
    }
}

section! {
    BALANCE = "balance", "How the remaining credit is read: `from` a known provider, or by `url` and `pointer`." => {
        "every" = Duration, Written("60s"), "The time between readings, at least `1s`.";
        "from" = Word(words::balance_presets), NONE, "A provider whose own endpoint is known.";
        "low" = Amount, Written("1.0"), "The log warns below this amount, in the provider's unit.";
        "pointer" = Text, NONE, "A JSON pointer (RFC 6901) to the remaining amount in the answer; with `url`.";
        "url" = Text, NONE, "A path at the upstream, from its root, optionally with a query; with `pointer`.";
    }
}

section! {
    UPSTREAM_TLS = "upstream-tls", "Which authorities to trust, and which certificate to present." => {
        "ca" = Text, Told("system roots"), "A PEM file: the only trusted authorities.";
        "cert" = Text, NONE, "A PEM file: the client certificate; with `key`.";
        "key" = Text, NONE, "A PEM file: the client certificate's private key; with `cert`.";
        "server_name" = Text, Told("the URL's host"), "The name that the certificate must have.";
        "verify" = Flag, Written("true"), "`false` trusts any certificate, with a warning at every start and reload.";
    }
}

section! {
    ROUTE = "route", "A chain with a policy of its own." and POLICY => {
        "models" = OneOf(&[Word(words::listed), List(&Text)]), Told("its own name; none for a glob"),
            "What `GET /v1/models` lists of a glob: names, or `ask` for those that its upstreams list.";
        "targets" = CHAIN, Required, "The chain: each target is tried when those before it have failed.";
    }
}

section! {
    TARGET_FIELDS = "target", "A model at an upstream." => {
        "body" = Shape::Section(&BODY), Told("from the upstream"), "Members of each request's JSON body that are set or dropped.";
        "model" = Text, Told("the requested name"), "Its name there; `*` stands for the requested name.";
        "prefill" = Flag, Told("from the upstream"), "It continues a trailing assistant message.";
        "timeouts" = Shape::Section(&TIMEOUTS), Told("from the route"), "Its own clocks.";
        "target" = Text, NONE, "`UPSTREAM/MODEL`, in place of `upstream` and `model`.";
        "upstream" = Text, Told("one of `upstream` and `target`"), "A name from `upstreams`.";
    }
}

section! {
    BODY = "body", "What is changed in JSON bodies." => {
        "drop" = List(&Text), NONE, "Names of top-level members to leave out.";
        "set" = Names { usual: no_names, others: "", shape: &Json, empty: true }, NONE, "Top-level members, and the values that they get.";
    }
}

section! {
    SPREAD = "spread", "Equals: one is drawn by weight for each request; if it fails, the others follow." => {
        "spread" = List(&OneOf(&[Text, Shape::Section(&TARGET_FIELDS), Shape::Section(&SPREAD_ITEM)])), Required, "The equals.";
    }
}

section! {
    SPREAD_ITEM = "spread-item", "One of the equals." => {
        "target" = UPSTREAM_TARGET, Required, "`UPSTREAM`, `UPSTREAM/MODEL` or `{ upstream, model }`.";
        "weight" = Number { least: 1, most: bounds::WEIGHT_MAX }, Written("1"), "Its share among the others.";
    }
}

section! {
    ROUTE_REFERENCE = "route-reference", "Another route's chain continues here." => {
        "route" = Text, Required, "A name from `routes`.";
    }
}

section! {
    POLICY = "policy", "What is done about failures." => {
        "cooldown" = Shape::Section(&COOLDOWN), NONE, "When and for how long failing targets are skipped.";
        "keepalive" = OneOf(&[Duration, Shape::Section(&KEEPALIVE)]), NONE, "How a stream's client is kept while nothing comes for it (off by default).";
        "exhausted" = Word(words::exhausted), Written("last"), "Which answer the client gets when all have failed.";
        "on" = Names { usual: words::classes, others: "^[45][0-9][0-9]$", shape: &Word(words::actions), empty: true }, Written("{}"),
            "Class or status code → what is done.";
        "retry" = Shape::Section(&RETRY), NONE, "How often to retry, and after which waits.";
        "timeouts" = Shape::Section(&TIMEOUTS), NONE, "The six clocks.";
    }
}

section! {
    KEEPALIVE = "keepalive", "What fills the silence of a stream." => {
        "before_first_token" = Flag, Written("false"), "The first silence answers the client, though no upstream has begun to answer.";
        "every" = Duration, Required, "After so long a silence a comment is sent.";
    }
}

section! {
    TIMEOUTS = "timeouts", "The six clocks." => {
        "answer" = Duration, Written("10m"), "Request sent → response header, where the request does not stream: providers send it when all is written.";
        "connect" = Duration, Written("3s"), "Picking the address → connection (TLS included) ready.";
        "deadline" = Duration, Written("15m"), "Request received → commit; it never cuts an answer that has begun.";
        "first_token" = Duration, Written("2m"), "Response header → first meaningful event of a stream (10m where models are loaded on demand).";
        "headers" = Duration, Written("60s"), "Request sent → response header of a stream (10m where models are loaded on demand).";
        "idle" = Duration, Written("5m"), "One byte → the next, of a body that has begun.";
    }
}

section! {
    RETRY = "retry", "How often to retry, and after which waits." => {
        "attempts" = Number { least: 1, most: COUNT_MAX }, Written("6"), "The most attempts for one request, over all targets.";
        "backoff" = Duration, Written("250ms"), "The first wait before the same target is tried again (full jitter).";
        "max_backoff" = Duration, Written("2s"), "The longest wait that backoff leads to.";
        "max_wait" = Duration, Written("3s"), "A longer `retry-after` means the next target at once.";
        "same_target" = Number { least: 0, most: COUNT_MAX }, Written("1"), "The most retries at one target.";
    }
}

section! {
    COOLDOWN = "cooldown", "When and for how long failing targets are skipped." => {
        "after" = Number { least: 0, most: COUNT_MAX }, Written("3"), "How many failures in a row; `0`: such failures never keep a target out.";
        "auth" = Duration, Written("5m"), "For an upstream that refused the key.";
        "base" = Duration, Written("5s"), "The first cooldown, doubled by each failed trial.";
        "max" = Duration, Written("15s"), "The longest cooldown that doubling leads to.";
        "model_not_found" = Duration, Written("10m"), "For a target that does not know the model.";
        "out_of_credits" = Duration, Written("10m"), "For an upstream whose account is empty.";
    }
}

section! {
    SERVER = "server", "The process." => {
        "attempt_header" = Flag, Written("true"), "Answers say who served them and what was tried (`x-gateway-attempts`).";
        "client_timeout" = Duration, Written("60s"),
            "Bounds how long receiving the whole request may take; for a relayed request, each silence within it.";
        "connections" = OneOf(&[Word(words::auto), Number { least: 1, most: bounds::CONNECTIONS_MAX }]), Written("auto"),
            "The most client connections at once; `auto` is half of what the limit on open files leaves for sockets, at most 32768.";
        "drain" = Duration, Written("10m"), "Bounds how long running responses may take after a stop signal.";
        "idle" = Duration, Written("75s"), "Bounds how long a client's connection may be open without a request.";
        "max_body" = Size, Written("32MiB"), "The largest request body; larger ones get a 413.";
        "max_held" = Size, Written("1MiB"), "Bounds what is remembered of one stream that may be resumed; a longer one can't be.";
        "memory" = Size, Told("a quarter of the machine's"),
            "Bounds what all requests together hold in memory: bodies, raw and decoded, and answers that are held back.";
        "passthrough" = OneOf(&[Text, Shape::Section(&PASSTHROUGH)]), NONE,
            "The upstream for requests that no model routes (files, batches, …), or a mapping; without it they get a 404.";
        "proxy" = Suggested(words::proxies), Written("none"),
            "The proxy that leads to upstreams, but for those on this machine; `env`: by HTTPS_PROXY, HTTP_PROXY and NO_PROXY.";
        "send_timeout" = Duration, Written("5m"), "Bounds how long a client may accept none of its answer; every byte that it accepts restarts the clock.";
        "threads" = OneOf(&[Word(words::auto), Number { least: 1, most: bounds::THREADS_MAX }]), Written("auto"),
            "`auto` is one per core; a change takes effect at the next start.";
        "watch" = Flag, Written("true"), "Reloads a changed file automatically; with `false`, only on SIGHUP.";
    }
}

section! {
    PASSTHROUGH = "passthrough", "Where requests go that no model routes." => {
        "paths" = List(&Text), NONE,
            "Globs of paths that administer the account (organization, keys, billing, fine-tuning, …) and are open all the same.";
        "upstream" = Text, Required, "A name from `upstreams`.";
    }
}

section! {
    LOG = "log", "How much is logged, and how." => {
        "format" = Word(words::log_formats), Written("auto"), "`auto`: journald fields under systemd, text on a terminal, JSON otherwise.";
        "level" = Word(words::log_levels), Written("info"), "The least severe records that are written.";
    }
}
