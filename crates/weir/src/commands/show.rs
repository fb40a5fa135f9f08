//! Answers for people, and for programs.

#![expect(clippy::print_stdout, reason = "answers go to standard output")]

use serde_json::Value;

/// The answer as it came.
pub(super) fn json(answer: &Value) -> anyhow::Result<()> {
    if !answer.is_null() {
        println!("{answer}");
    }
    Ok(())
}

/// Lists as lines, objects as names and values.
pub(super) fn text(answer: &Value) -> anyhow::Result<()> {
    let Some(fields) = answer.as_object() else {
        if answer.is_null() {
            println!("done");
        }
        return Ok(());
    };
    for (name, value) in fields {
        match value {
            Value::Array(rows) if rows.iter().any(Value::is_object) => {
                println!("{name}:");
                rows.iter().for_each(|row| println!("  {}", line(row)));
            }
            Value::Object(_) => println!("{name}: {value}"),
            value => println!("{name}: {}", plain(value)),
        }
    }
    Ok(())
}

fn line(row: &Value) -> String {
    let Some(fields) = row.as_object() else { return plain(row) };
    let shown = fields.iter().filter(|(_, value)| !value.is_null());
    shown.map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join("  ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
