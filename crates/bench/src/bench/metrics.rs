//! What the program says of itself at `/metrics`.

use anyhow::Result;

use super::http::Connection;

/// A reading of `/metrics`.
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) async fn read(connection: &mut Connection) -> Result<Self> {
        Ok(Self(connection.text("/metrics").await?))
    }

    /// The sum over all labels of this name; 0 if it isn't there.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let rest = if rest.starts_with('{') { rest.rsplit_once('}')?.1 } else { rest };
            rest.starts_with(' ').then(|| rest.trim().parse::<f64>().ok())?
        };
        self.0.lines().filter_map(value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_added_up_and_other_names_left_out() {
        let metrics = Metrics("# HELP a b\na{x=\"1\"} 2\na{x=\"2\"} 3\na_sum 7\nab 9\n".to_owned());
        assert_eq!((metrics.sum("a"), metrics.sum("a_sum"), metrics.sum("c")), (5.0, 7.0, 0.0));
    }
}
