//! What comes out: figures with their spread, the machine that they are from, as a table or as JSON.

use anyhow::Result;
use serde_json::{Map, Value, json};
use weir_bench::process::{load_average, machine, sync_time};

use super::Place;

/// The figures of one run of the program.
pub(crate) struct Report {
    machine: String,
    sync: String,
    load: Vec<f64>,
    rows: Vec<Row>,
    notes: Vec<String>,
    section: &'static str,
}

struct Row {
    section: &'static str,
    name: String,
    unit: &'static str,
    values: Vec<f64>,
}

impl Report {
    /// Looks at the machine.
    pub(crate) fn begin(place: &Place) -> Result<Self> {
        let scratch = place.scratch()?;
        let (median, p99) = sync_time(scratch.path())?;
        Ok(Self {
            machine: machine(),
            sync: format!("{:.0} µs (p99 {:.0})", median.as_secs_f64() * 1e6, p99.as_secs_f64() * 1e6),
            load: vec![load_average()],
            rows: Vec::new(),
            notes: Vec::new(),
            section: "",
        })
    }

    /// What follows is about this.
    pub(crate) fn section(&mut self, name: &'static str) {
        self.section = name;
    }

    /// Adds a reading of a figure. Readings of one name and unit are one row: median, least and most.
    pub(crate) fn add(&mut self, name: impl Into<String>, unit: &'static str, value: f64) {
        let name = name.into();
        let section = self.section;
        match self.rows.iter_mut().find(|row| row.section == section && row.name == name && row.unit == unit) {
            Some(row) => row.values.push(value),
            None => self.rows.push(Row { section, name, unit, values: vec![value] }),
        }
    }

    /// Adds a sentence that the figures can't be read without.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Notes how busy the machine is now.
    pub(crate) fn look_at_load(&mut self) {
        self.load.push(load_average());
    }

    /// Prints everything.
    pub(crate) fn print(mut self, as_json: bool) -> Result<()> {
        self.look_at_load();
        if as_json {
            println!("{}", serde_json::to_string_pretty(&self.json())?);
            return Ok(());
        }
        let load: Vec<String> = self.load.iter().map(|load| format!("{load:.1}")).collect();
        println!("machine: {}; fdatasync of 4 KiB {}; load average {}", self.machine, self.sync, load.join(", "));
        self.notes.iter().for_each(|note| println!("{note}"));
        let mut section = None;
        for row in &self.rows {
            if section.replace(row.section) != Some(row.section) {
                let gap = if row.section.is_empty() { "" } else { ": " };
                println!("\n| {}{gap}what | median | least–most | unit |\n|---|---:|---:|---|", row.section);
            }
            let (median, least, most) = spread(&row.values);
            let range =
                if row.values.len() > 1 { format!("{}–{}", figure(least), figure(most)) } else { String::new() };
            println!("| {} | {} | {range} | {} |", row.name, figure(median), row.unit);
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let (median, least, most) = spread(&row.values);
                let mut object = Map::new();
                object.insert("backend".into(), row.section.into());
                object.insert("what".into(), row.name.as_str().into());
                object.insert("unit".into(), row.unit.into());
                object.insert("median".into(), median.into());
                object.insert("least".into(), least.into());
                object.insert("most".into(), most.into());
                object.insert("readings".into(), row.values.clone().into());
                object.into()
            })
            .collect();
        json!({"machine": self.machine, "fdatasync": self.sync, "load_average": self.load, "notes": self.notes,
            "figures": rows})
    }
}

/// Median (the upper one of an even number), least and most.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (at(sorted.len() / 2), at(0), at(sorted.len().saturating_sub(1)))
}

/// Three digits that mean something, thousands apart.
fn figure(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut out = String::new();
    for (index, digit) in whole.char_indices() {
        if index > 0 && (whole.len() - index) % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(rest) = rest {
        out.push('.');
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_median_least_and_most() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), (2.0, 1.0, 3.0));
        assert_eq!(spread(&[3.0, 1.0]), (3.0, 1.0, 3.0));
    }

    #[test]
    fn figures_have_thousands_apart() {
        let said: Vec<String> = [1_234_567.8, 999.0, 12.345, 0.0123, -1_000.0].into_iter().map(figure).collect();
        assert_eq!(said, ["1,234,568", "999", "12.3", "0.012", "-1,000"]);
    }
}
