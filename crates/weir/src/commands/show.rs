//! Answers for people, and for programs.

use serde_json::Value;
use weir_lifecycle::Unsaid;

/// How an answer is shown: its lines.
pub(super) type Show = fn(&Value) -> Vec<String>;

/// Says it on standard output.
pub(super) fn say(show: Show, answer: &Value) -> Result<(), Unsaid> {
    let lines = show(answer);
    if lines.is_empty() { Ok(()) } else { weir_lifecycle::say(&lines.join("\n")) }
}

/// The answer as it came.
pub(super) fn json(answer: &Value) -> Vec<String> {
    if answer.is_null() { Vec::new() } else { vec![answer.to_string()] }
}

/// Lists as lines, objects as names and values.
pub(super) fn text(answer: &Value) -> Vec<String> {
    let fields = match answer {
        Value::Object(fields) => fields,
        Value::Null => return vec!["done".to_owned()],
        _ => return Vec::new(),
    };
    let mut lines = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Array(rows) if rows.iter().any(Value::is_object) => {
                lines.push(format!("{name}:"));
                lines.extend(rows.iter().map(|row| format!("  {}", line(row))));
            }
            Value::Object(_) => lines.push(format!("{name}: {value}")),
            value => lines.push(format!("{name}: {}", plain(value))),
        }
    }
    lines
}

fn line(row: &Value) -> String {
    let Some(fields) = row.as_object() else { return plain(row) };
    let shown = fields.iter().filter(|(_, value)| !value.is_null());
    shown.map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join("  ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
