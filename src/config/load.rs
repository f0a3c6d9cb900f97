//! File → [`Config`] and every fault in it.

use std::path::Path;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Severity};
use super::document::{self, Node};
use super::files_read::{FilesRead, Read};
use super::load_options::LoadOptions;
use super::masking::Secrets;
use super::names::Names;
use super::reader::Reader;
use super::source::{Place, Source};
use super::{Config, admin, chain, file, keys, listen, policy, proxy, route, server, smart_quotes, upstream};

/// The outcome of [`load`].
pub struct Loaded {
    /// Present if and only if no diagnostic is an error.
    pub config: Option<Config>,
    /// The faults in the order of the file; what concerns the file as a whole comes first.
    pub diagnostics: Vec<Diagnostic>,
    /// Notes are no faults; they are in the order of the file, and only `check` shows them.
    pub notes: Vec<Diagnostic>,
    pub source: Source,
    pub read: Read,
}

impl Loaded {
    /// Every fault as a person reads it, a blank line after each. Holds no secret.
    pub fn render(&self, colour: bool) -> String {
        self.rendered(&self.diagnostics, colour)
    }

    /// Renders the notes in the same way.
    pub fn render_notes(&self, colour: bool) -> String {
        self.rendered(&self.notes, colour)
    }

    fn rendered(&self, diagnostics: &[Diagnostic], colour: bool) -> String {
        let rendered = diagnostics
            .iter()
            .map(|diagnostic| diagnostic.render(&self.source, colour) + "\n");
        rendered.collect()
    }

    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    }
}

/// Reads and validates `file` and the files that it names. It never fails: the outcome contains all faults.
pub fn load(file: &Path, options: &LoadOptions<'_>) -> Loaded {
    let bytes = file::read(file, file::CONFIGURATION_BYTES_MAX);
    let files_read = FilesRead::of(file, &bytes);
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()));
    match text {
        Ok(text) => {
            // A byte order mark is no part of the first line.
            let text = text.strip_prefix('\u{feff}').map(ToOwned::to_owned).unwrap_or(text);
            parse(Source::new(file.to_path_buf(), text), files_read, options)
        }
        Err(reason) => Loaded {
            config: None,
            diagnostics: vec![Diagnostic::of_file(
                "unreadable-file",
                format!("can't read the configuration: {reason}"),
            )],
            notes: Vec::new(),
            source: Source::new(file.to_path_buf(), String::new()),
            read: files_read.finish(),
        },
    }
}

/// Validates a text that is in no file; `name` stands for one in messages.
pub fn load_text(name: &Path, text: &str, options: &LoadOptions<'_>) -> Loaded {
    let files_read = FilesRead::of(name, &Ok(text.as_bytes().to_vec()));
    parse(Source::new(name.to_path_buf(), text.to_owned()), files_read, options)
}

fn parse(mut source: Source, files_read: FilesRead, options: &LoadOptions<'_>) -> Loaded {
    let root = match document::parse(&source) {
        Ok(root) => root,
        Err(mut fault) => {
            let secrets = Secrets::of_text(source.text());
            secrets.censor(&mut fault);
            source.hide(secrets.places);
            return Loaded {
                config: None,
                diagnostics: vec![fault],
                notes: Vec::new(),
                source,
                read: files_read.finish(),
            };
        }
    };
    let secrets = Secrets::of(&root, source.text());
    source.hide(secrets.places.clone());
    let mut reader = Reader::new(source, files_read, options);
    let config = config(&mut reader, &root);
    smart_quotes::warn(&mut reader, &root);
    let Reader {
        source,
        files_read,
        mut diagnostics,
        ..
    } = reader;
    diagnostics.iter_mut().for_each(|diagnostic| secrets.censor(diagnostic));
    // In the file's order; what an alias repeats is one fault.
    diagnostics
        .sort_by(|a, b| (a.place, a.severity, a.code, &a.message).cmp(&(b.place, b.severity, b.code, &b.message)));
    diagnostics.dedup();
    let (notes, diagnostics): (Vec<_>, Vec<_>) = diagnostics
        .into_iter()
        .partition(|diagnostic| diagnostic.severity == Severity::Note);
    let faultless = diagnostics
        .iter()
        .all(|diagnostic| diagnostic.severity == Severity::Warning);
    let read = files_read.finish();
    Loaded {
        config: config.filter(|_| faultless).map(|config| Config {
            hash: read.hash.clone().unwrap_or_default(),
            ..config
        }),
        diagnostics,
        notes,
        source,
        read,
    }
}

fn config(reader: &mut Reader<'_>, root: &Node) -> Option<Config> {
    let fields = reader.fields(root, Place::START, "the configuration", &keys::FILE)?;
    let policy = policy::policy(reader, fields.section("policy"));
    let listen = listen::listeners(reader, fields.section("listen"));
    let admin = admin::admin(reader, fields.section("admin"), &listen);
    fields.required(reader, "upstreams");
    let (upstreams, is_whole) = match fields.section("upstreams") {
        Some((node, at)) => {
            let proxy = proxy::of_server(reader, fields.section("server"));
            upstream::upstreams(reader, node, at, &policy, &proxy)
        }
        None => (Vec::new(), false),
    };
    let names = Names::of_upstreams(upstreams.iter().map(|upstream| &*upstream.name).collect(), is_whole);
    fields.required(reader, "routes");
    let drafts = match fields.section("routes") {
        Some((node, at)) => route::routes(reader, node, at, (&upstreams, &names), &policy),
        None => Vec::new(),
    };
    chain::check(reader, &drafts, &upstreams);
    let server = server::server(reader, fields.section("server"), &names);
    let log = server::log(reader, fields.section("log"));
    let routes = drafts.into_iter().map(|draft| draft.route).collect();
    Some(Config {
        file: reader.source.file.clone(),
        hash: Arc::default(),
        listen,
        admin,
        upstreams,
        routes,
        policy,
        server,
        log,
    })
}
