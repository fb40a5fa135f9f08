//! The one form in which definitions are kept.
//!
//! Two puts of the same JSON up to white space are one version, so definitions are compared and kept without white
//! space between the tokens. Nothing else is touched: the order of fields, the digits of numbers and the escapes of
//! strings stay as their author wrote them, since the body is shown again.

/// `text`, which must be JSON, without white space between its tokens.
pub(crate) fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        if !quoted && matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn white_space_goes_and_everything_else_stays() {
        let text = "{ \"b\" :\t1.50,\r\n \"a\\\" : \": [ \"x  y\", \"\\\\\" , { } ] }";
        assert_eq!(compact(text), r#"{"b":1.50,"a\" : ":["x  y","\\",{}]}"#);
    }

    #[test]
    fn the_built_in_definitions_have_this_form() {
        use weir_control::builtin::{ABANDONED_CART, ABANDONED_CART_NEVER_ORDERED, POINTS};
        for body in [ABANDONED_CART, ABANDONED_CART_NEVER_ORDERED, POINTS] {
            assert_eq!(compact(body), body);
        }
    }

    proptest! {
        #[test]
        fn it_means_the_same_and_is_stable(text in "[\\\\\"a \t\n]{0,12}", key in "[\\\\\"a ]{0,6}", number in -9.0..9.0) {
            let value = serde_json::json!({ key: [text, number, null], "x": {} });
            let spaced = serde_json::to_string_pretty(&value).unwrap();
            let once = compact(&spaced);
            prop_assert_eq!(&once, &value.to_string());
            prop_assert_eq!(compact(&once), once);
        }
    }
}
