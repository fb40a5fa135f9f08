//! Definitions at the door: grammar, one form, and what is derived from them.

use weir_control::{Kind, Name, NewDefinition};
use weir_http::{FieldError, Problem};
use weir_segment::{Definition, ScoreDefinition, true_of_empty_history};

use crate::canonical::compact;

/// Why a definition is refused: everything that is wrong with it, in the order of the text.
#[derive(Debug)]
pub(crate) struct Wrong(Vec<weir_segment::Problem>);

/// Reads a definition and derives what the record carries, so that the fold never has to read it.
pub(crate) fn accept(kind: Kind, slug: &str, text: &str) -> Result<NewDefinition, Wrong> {
    let (names, true_of_empty) = match kind {
        Kind::Segment => {
            let definition = Definition::parse(text).map_err(Wrong)?;
            (definition.scores().into_iter().map(Name::score).collect(), true_of_empty_history(&definition))
        }
        Kind::Score => {
            ScoreDefinition::parse(text).map_err(Wrong)?;
            (Vec::new(), false)
        }
    };
    Ok(NewDefinition { slug: slug.to_owned(), body: compact(text), names, true_of_empty })
}

/// The definitions that a new workspace starts with: segments and scores.
pub(crate) fn built_in() -> (Vec<NewDefinition>, Vec<NewDefinition>) {
    let accepted = |kind, all: Vec<NewDefinition>| {
        let each = |each: NewDefinition| accept(kind, &each.slug, &each.body).expect("built-in definitions are valid");
        all.into_iter().map(each).collect()
    };
    (accepted(Kind::Segment, weir_control::builtin::segments()), accepted(Kind::Score, weir_control::builtin::scores()))
}

impl From<Wrong> for Problem {
    /// What can't be read, or says one of our names twice, is malformed: 400. The rest is 422.
    fn from(Wrong(problems): Wrong) -> Self {
        let worst = problems.iter().find(|each| each.code == "duplicate_name").or(problems.first()).cloned();
        let errors = problems.into_iter().map(|each| FieldError::new(each.pointer, each.message)).collect();
        match worst {
            Some(json) if json.code == "json_invalid" => Problem::json_invalid(json.message),
            Some(twice) if twice.code == "duplicate_name" => {
                Problem::malformed(twice.code, format!("{}: {}", twice.pointer, twice.message)).with_errors(errors)
            }
            first => Problem::invalid(first.map_or("invalid_definition", |first| first.code), errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_definitions_are_accepted_as_they_are() {
        assert_eq!(built_in(), (weir_control::builtin::segments(), weir_control::builtin::scores()));
    }

    #[test]
    fn names_and_the_empty_history_are_derived() {
        let text = r#"{ "when": {"all": [{"score": "points", "at_most": 9}, {"not": {"event": "x"}}]} }"#;
        let accepted = accept(Kind::Segment, "quiet", text).unwrap();
        assert_eq!(accepted.names, [Name::score("points")]);
        assert!(accepted.true_of_empty);
        assert_eq!(accepted.body, compact(text));
        let accepted = accept(Kind::Segment, "busy", r#"{"when":{"event":"x"}}"#).unwrap();
        assert!(accepted.names.is_empty() && !accepted.true_of_empty);
    }

    #[test]
    fn what_cannot_be_read_is_malformed_and_the_rest_invalid() {
        for (text, status, code) in [
            ("{", 400, "json_invalid"),
            (r#"{"when":{"event":"x"},"when":{"event":"x"}}"#, 400, "duplicate_name"),
            (r#"{"when":{"event":"x","atleast":2}}"#, 422, "unknown_field"),
            ("[]", 422, "invalid_definition"),
        ] {
            let problem = Problem::from(accept(Kind::Segment, "x", text).unwrap_err());
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code), "{text}");
        }
    }
}
