//! A tool call, where the request forces one.

use serde_json::{Map, Value, json};

/// The call of a tool that the client offered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ToolCall {
    pub name: String,
    /// An object with the required properties, each with a value of its type.
    pub arguments: Value,
}

/// Finds the tool that must be called, in any of the three request shapes: chat nests a tool in `function`, responses
/// and messages do not; the schema is `parameters` or `input_schema`.
pub(crate) fn forced(body: &Value) -> Option<ToolCall> {
    let choice = &body["tool_choice"];
    let kind = choice.as_str().or_else(|| choice["type"].as_str())?;
    if !matches!(kind, "required" | "function" | "any" | "tool") {
        return None;
    }
    let wanted = name(choice);
    let tool = body["tools"]
        .as_array()?
        .iter()
        .find(|tool| name(tool).is_some_and(|offered| wanted.is_none_or(|wanted| wanted == offered)))?;
    let schema = [
        &tool["function"]["parameters"],
        &tool["parameters"],
        &tool["input_schema"],
    ]
    .into_iter()
    .find(|schema| schema.is_object())
    .unwrap_or(&Value::Null);
    Some(ToolCall {
        name: name(tool)?.to_owned(),
        arguments: arguments(schema),
    })
}

fn name(tool: &Value) -> Option<&str> {
    tool["function"]["name"].as_str().or_else(|| tool["name"].as_str())
}

fn arguments(schema: &Value) -> Value {
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let values: Map<String, Value> = required
        .iter()
        .filter_map(Value::as_str)
        .map(|property| (property.to_owned(), example(&schema["properties"][property])))
        .collect();
    Value::Object(values)
}

fn example(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => json!("stand-in"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_made_only_where_it_is_forced() {
        let schema = json!({ "type": "object", "required": ["city", "days", "unit"], "properties": {
            "city": { "type": "string" }, "days": { "type": "integer" }, "unit": { "enum": ["C", "F"] },
            "detail": { "type": "boolean" } } });
        let expected = Some(ToolCall {
            name: "weather".into(),
            arguments: json!({ "city": "stand-in", "days": 1, "unit": "C" }),
        });
        let chat = json!([{ "type": "function", "function": { "name": "other" } },
            { "type": "function", "function": { "name": "weather", "parameters": schema } }]);
        let responses = json!([{ "type": "function", "name": "weather", "parameters": schema }]);
        let messages = json!([{ "name": "weather", "input_schema": schema }]);
        for (tools, choice, expected) in [
            (
                &chat,
                json!({ "type": "function", "function": { "name": "weather" } }),
                expected.clone(),
            ),
            (
                &chat,
                json!({ "type": "function", "function": { "name": "unknown" } }),
                None,
            ),
            (&chat, json!("auto"), None),
            (&responses, json!("required"), expected.clone()),
            (
                &responses,
                json!({ "type": "function", "name": "weather" }),
                expected.clone(),
            ),
            (&messages, json!({ "type": "any" }), expected.clone()),
            (&messages, json!({ "type": "tool", "name": "weather" }), expected),
            (&messages, json!({ "type": "none" }), None),
        ] {
            assert_eq!(
                forced(&json!({ "tools": tools, "tool_choice": choice })),
                expected,
                "{choice}"
            );
        }
        assert_eq!(forced(&json!({ "tool_choice": "required" })), None);
    }
}
