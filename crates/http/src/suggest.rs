//! "Did you mean": the known word nearest to an unknown one.

/// The nearest of `known` within two edits that don't replace most of the word.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = 2.min(word.chars().count() / 2);
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean …?`, or which words there are.
pub(crate) fn remedy(word: &str, known: &[&str]) -> String {
    // An overlong word is nobody's typing error, and the distance takes time in proportion to it.
    if word.len() <= 64
        && let Some(near) = nearest(word, known.iter().copied())
    {
        return format!("did you mean `{near}`?");
    }
    match known {
        [] => "none is known here".to_owned(),
        _ => format!("known are {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_typing_error_and_no_more() {
        let known = ["name", "properties", "timestamp", "id"];
        assert_eq!(nearest("propertes", known), Some("properties"));
        assert_eq!(nearest("nmae", known), Some("name"));
        assert_eq!(nearest("timeStamp", known), Some("timestamp"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("x", known), None);
        assert_eq!(remedy("colour", &known), "known are `name`, `properties`, `timestamp`, `id`");
        assert_eq!(remedy(&"n".repeat(100_000), &["name"]), "known are `name`");
    }
}
