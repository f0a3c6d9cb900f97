//! The file's keys as a JSON Schema, for editors: completion, descriptions, and most faults while one types.
//!
//! Draft 7 is what editors support best (yaml-language-server). The schema never refuses what `check` accepts; `check`
//! finds more: names that refer to each other, files, addresses.

use serde_json::{Map, Value, json};

use super::keys;
use super::section::{Absent, Key, Section, Shape};

/// Any value may be, or hold, a variable.
const VARIABLE: &str = r"\$\{";

/// Returns the schema, a JSON object. Sections that are used in several places are in `definitions`, under their names.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let Value::Object(mut root) = section(&keys::FILE, &mut definitions) else {
        return Value::Bool(true);
    };
    root.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
    root.insert("title".into(), json!("Switchback"));
    root.insert("definitions".into(), Value::Object(definitions));
    Value::Object(root)
}

fn section(section: &'static Section, definitions: &mut Map<String, Value>) -> Value {
    let usable = || section.all().filter(|key| !key.is_reserved());
    let properties: Map<String, Value> = usable()
        .map(|key| (key.name.to_owned(), described(key, definitions)))
        .collect();
    let required: Vec<&str> = usable()
        .filter(|key| key.absent == Absent::Required)
        .map(|key| key.name)
        .collect();
    json!({
        "type": "object",
        "description": section.meaning,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn described(key: &'static Key, definitions: &mut Map<String, Value>) -> Value {
    let mut value = shape(&key.shape, definitions);
    let Some(fields) = value.as_object_mut() else {
        return value;
    };
    let meaning = match key.absent {
        Absent::Required => format!("{} Required.", key.meaning),
        Absent::Written(text) => {
            fields.insert("default".into(), written(text));
            format!("{} Default: `{text}`.", key.meaning)
        }
        Absent::Told(text) => format!("{} Default: {text}.", key.meaning),
    };
    fields.insert("description".into(), json!(meaning));
    // Editors that know Markdown show this one.
    fields.insert("markdownDescription".into(), json!(meaning));
    value
}

/// A default's own type: a number, a boolean, a list, else its text.
fn written(text: &str) -> Value {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(item) => json!([item]),
        None => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}

fn shape(of: &'static Shape, definitions: &mut Map<String, Value>) -> Value {
    match of {
        Shape::Text | Shape::Reserved => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Json => json!(true),
        Shape::Duration => pattern(
            &["string"],
            r"^(?=.*[1-9])\+?[0-9]*\.?[0-9]+\s*(ms|s|m|h)$",
            "durations are written like `250ms`, `2s`, `10m` or `1h`",
        ),
        Shape::Amount => {
            let mut amount = pattern(
                &["number", "string"],
                r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE]\+?[0-9]+)?$",
                "a number, as in `5` or `0.5`",
            );
            amount["minimum"] = json!(0);
            amount
        }
        Shape::Size => {
            let mut size = pattern(
                &["string", "integer"],
                r"^(?=.*[1-9])\+?[0-9]+\s*(B|[kK]B|MB|GB|KiB|MiB|GiB)?$",
                "write a size like `64KiB` or `32MiB`, or plain bytes",
            );
            size["minimum"] = json!(1);
            size
        }
        Shape::Flag => pattern(
            &["boolean", "string"],
            "^([Tt]rue|TRUE|[Ff]alse|FALSE)$",
            "write `true` or `false`",
        ),
        Shape::Number { least, most } => {
            let told = format!("a whole number between {least} and {most}");
            let mut number = pattern(&["integer", "string"], r"^\+?[0-9]+$", &told);
            number["minimum"] = json!(least);
            number["maximum"] = json!(most);
            number
        }
        Shape::Word(words) => json!({ "anyOf": [word(&words()), variable()] }),
        Shape::Suggested(words) => json!({ "anyOf": [word(&words()), shape(&Shape::Text, definitions)] }),
        Shape::Section(inner) => {
            if !definitions.contains_key(inner.name) {
                let inner_schema = section(inner, definitions);
                definitions.insert(inner.name.into(), inner_schema);
            }
            json!({ "$ref": format!("#/definitions/{}", inner.name) })
        }
        Shape::List(item) => {
            json!({ "type": "array", "minItems": least_items(item), "items": shape(item, definitions) })
        }
        Shape::OneOf(shapes) => {
            let shapes: Vec<Value> = shapes.iter().map(|of| shape(of, definitions)).collect();
            json!({ "anyOf": shapes })
        }
        Shape::Names {
            usual,
            others,
            shape: of,
            empty,
        } => {
            let of = shape(of, definitions);
            let usual: Map<String, Value> = usual().into_iter().map(|name| (name.into(), of.clone())).collect();
            json!({
                "type": "object",
                "properties": usual,
                "patternProperties": { format!("{others}|{VARIABLE}"): of },
                "additionalProperties": false,
                "minProperties": u8::from(!empty),
            })
        }
    }
}

/// Returns the least length of a list: an empty `remove_headers: []` is harmless, but any other list must name
/// something.
fn least_items(item: &Shape) -> u8 {
    u8::from(!matches!(item, Shape::Text))
}

fn pattern(types: &[&str], pattern: &str, told: &str) -> Value {
    json!({
        "type": types,
        "pattern": format!("{pattern}|{VARIABLE}"),
        // yaml-language-server says this in place of the pattern.
        "patternErrorMessage": told,
    })
}

/// One of `words`; one that reads as a number (`http: 2`) may be that number.
fn word(words: &[&str]) -> Value {
    let numbers = words
        .iter()
        .filter_map(|word| word.parse::<u32>().ok())
        .map(Value::from);
    let all: Vec<Value> = words.iter().map(|word| json!(word)).chain(numbers).collect();
    json!({ "enum": all })
}

fn variable() -> Value {
    json!({ "type": "string", "pattern": VARIABLE })
}
