//! Which file names which, read from `use` lines and paths, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::is_word;

/// The files that name each other, and what each of them names of the others.
pub(crate) type Circle = BTreeMap<String, BTreeSet<String>>;

/// What one file says of others.
#[derive(Default)]
struct File {
    /// The names that its `use` lines bring in, and the paths that they stand for.
    brought_in: BTreeMap<String, Vec<String>>,
    /// The paths that it makes use of itself, from the crate's root.
    named: Vec<Vec<String>>,
}

/// The circles among files, of which `sources` has the code by the path of the module: `config::load`.
///
/// A name counts for the file that defines it, whoever hands it on: a `pub use` names nobody, unless the file makes use of
/// the name itself, and nor does a `mod`.
pub(crate) fn circles(sources: &BTreeMap<String, String>) -> Vec<Circle> {
    let files: BTreeMap<&str, File> = sources
        .iter()
        .map(|(module, code)| (module.as_str(), File::read(module, code)))
        .collect();
    let named = files.iter().map(|(module, file)| {
        let others = file.named.iter().filter_map(|path| defining(&files, path));
        (*module, others.filter(|other| other != module).collect())
    });
    let named: BTreeMap<&str, BTreeSet<&str>> = named.collect();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        named.keys().map(|module| (*module, reached(&named, module))).collect();
    let mut found: BTreeSet<BTreeSet<&str>> = BTreeSet::new();
    for (module, others) in &reached {
        let back = others.iter().copied().filter(|other| reached[other].contains(module));
        let circle: BTreeSet<&str> = back.collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    let members = |circle: BTreeSet<&str>| {
        let within = |module: &str| {
            named[module]
                .intersection(&circle)
                .map(|other| (*other).to_owned())
                .collect()
        };
        circle
            .iter()
            .map(|module| ((*module).to_owned(), within(module)))
            .collect()
    };
    found.into_iter().map(members).collect()
}

/// The modules that one comes to from `start` by following names.
fn reached<'m>(named: &BTreeMap<&'m str, BTreeSet<&'m str>>, start: &'m str) -> BTreeSet<&'m str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(module) = open.pop() {
        open.extend(named[module].iter().filter(|other| reached.insert(**other)));
    }
    reached
}

/// The file that defines what `path` names.
fn defining<'m>(files: &BTreeMap<&'m str, File>, path: &[String]) -> Option<&'m str> {
    let file = |length: usize| files.get_key_value(path[..length].join("::").as_str());
    let handed_on = (1..path.len()).find_map(|length| {
        let (_, by) = file(length).filter(|_| file(length + 1).is_none())?;
        let target = by.brought_in.get(&path[length])?;
        Some([target, &path[length + 1..]].concat())
    });
    match handed_on {
        // A name that is brought in under itself would lead here again.
        Some(further) if further != path => defining(files, &further),
        _ => (1..=path.len()).rev().find_map(|length| Some(*file(length)?.0)),
    }
}

impl File {
    fn read(module: &str, code: &str) -> Self {
        let mut file = Self::default();
        let (uses, rest) = split(&without_visibilities(code));
        let children: Vec<&str> = rest
            .match_indices("mod ")
            .filter_map(|(at, _)| declared(&rest[at..]))
            .collect();
        let declarations = children.iter().map(|child| format!("mod {child};"));
        let rest = declarations.fold(rest.clone(), |rest, declaration| rest.replace(&declaration, ""));
        let own: Vec<String> = rest.split(|char| !is_word(char)).map(str::to_owned).collect();
        for (is_public, tree) in uses {
            for (path, name) in leaves(&tree) {
                let Some(path) = from_root(module, &children, &path) else {
                    continue;
                };
                if !is_public || own.contains(&name) {
                    file.named.push(path.clone());
                }
                file.brought_in.insert(name, path);
            }
        }
        let paths = paths(&rest).into_iter();
        file.named
            .extend(paths.filter_map(|path| from_root(module, &children, &path)));
        file
    }
}

/// `pub(super)` and the like become `pub`.
fn without_visibilities(code: &str) -> String {
    let mut parts = code.split("pub(");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |before, part| {
        before + "pub" + part.split_once(')').map_or("", |(_, rest)| rest)
    })
}

/// The `use` lines, and whether they are public; and the code without them.
fn split(code: &str) -> (Vec<(bool, String)>, String) {
    let mut uses = Vec::new();
    let mut rest = String::new();
    let mut left = code;
    while let Some(at) = left.find("use ") {
        let (before, line) = left.split_at(at);
        let end = line.find(';').unwrap_or(line.len());
        if before.ends_with(is_word) {
            rest.push_str(&left[..at + 4]);
            left = &line[4..];
            continue;
        }
        uses.push((before.trim_end().ends_with("pub"), line[4..end].to_owned()));
        rest.push_str(before);
        left = &line[end..];
    }
    (uses, rest + left)
}

/// `mod name;` → `name`.
fn declared(code: &str) -> Option<&str> {
    let (name, _) = code.strip_prefix("mod ")?.split_once(';')?;
    name.chars().all(is_word).then_some(name)
}

/// The paths of a `use` line, each with the name that it brings in: `a::{b, c as d}` → `a::b`, `b`; `a::c`, `d`.
fn leaves(tree: &str) -> Vec<(Vec<String>, String)> {
    let Some((prefix, group)) = tree.split_once('{') else {
        let (path, alias) = tree
            .split_once(" as ")
            .map_or((tree, None), |(path, alias)| (path, Some(alias)));
        let mut path: Vec<String> = path.split("::").map(|part| part.trim().to_owned()).collect();
        path.retain(|part| !part.is_empty());
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = alias
            .map(|alias| alias.trim().to_owned())
            .or_else(|| path.last().cloned());
        return name.map(|name| (path, name)).into_iter().collect();
    };
    let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
    let mut depth = 0_usize;
    let items = group.split(|char| {
        depth = depth + usize::from(char == '{') - usize::from(char == '}');
        char == ',' && depth == 0
    });
    items
        .flat_map(|item| leaves(&format!("{}{}", prefix.trim(), item.trim())))
        .collect()
}

/// Every path of two or more words.
fn paths(code: &str) -> Vec<Vec<String>> {
    let words = code.split(|char: char| !is_word(char) && char != ':');
    let paths = words.filter(|word| word.contains("::"));
    paths
        .map(|path| path.split("::").map(str::to_owned).collect())
        .collect()
}

/// `path` as it is written in `module`, from the crate's root. `None`: it leads out of the crate, or to the file's own names.
fn from_root(module: &str, children: &[&str], path: &[String]) -> Option<Vec<String>> {
    let own: Vec<String> = module.split("::").map(str::to_owned).collect();
    let ups = path.iter().take_while(|part| *part == "super").count();
    let base = match path.first()?.as_str() {
        "crate" | "switchback" => return Some(path[1..].to_vec()),
        "super" => &own[..own.len().checked_sub(ups)?],
        "self" => return Some([&own, &path[1..]].concat()),
        child if children.contains(&child) => &own[..],
        _ => return None,
    };
    Some([base, &path[ups..]].concat())
}

fn found(sources: &[(&str, &str)]) -> Vec<Vec<String>> {
    let sources = sources
        .iter()
        .map(|(module, code)| ((*module).to_owned(), (*code).to_owned()));
    let circles = circles(&sources.collect());
    circles.into_iter().map(|circle| circle.into_keys().collect()).collect()
}

#[test]
fn circles_are_found_through_groups_paths_and_what_is_handed_on() {
    for (a, b) in [
        ("use super::b::B;", "use crate::a::{A, C};"),
        ("fn f() { super::b::g() }", "use super::{a::{self}, c};"),
        ("use super::C;", "use super::a::A as Other;"),
    ] {
        let sources = [
            ("m", "mod a;\nmod b;\npub use b::C;"),
            ("m::a", a),
            ("m::b", &b.replace("crate::", "crate::m::")),
        ];
        assert_eq!(found(&sources), [["m::a", "m::b"]], "{a} {b}");
    }
    let sources = [
        ("m", "mod a;\npub use a::A;\nfn f() -> A { a::f() }"),
        ("m::a", "use super::f;"),
    ];
    assert_eq!(found(&sources), [["m", "m::a"]]);
}

#[test]
fn declaring_handing_on_and_visibility_make_no_circle() {
    let sources = [
        ("m", "mod a;\nmod b;\npub use a::A;"),
        (
            "m::a",
            "use super::b::B;\nuse std::fmt;\npub(in crate::m) fn f() -> impl Sized + use<> {}",
        ),
        ("m::b", "use std::m::a;\nfn f() { a::b::c() }"),
    ];
    assert!(found(&sources).is_empty());
}
