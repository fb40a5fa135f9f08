//! One definition of every kind, for the laws about states.

/// Definitions whose signals are joins.
pub const JOINS: [&str; 24] = [
    r#"{"event":"a"}"#,
    r#"{"event":"a","at_least":3}"#,
    r#"{"event":"a","at_least":2,"within":"3s"}"#,
    r#"{"event":"a","at_most":2,"within":"10s"}"#,
    r#"{"event":"b","exactly":0}"#,
    r#"{"event":"b","exactly":1,"within":"5s"}"#,
    r#"{"event":"*"}"#,
    r#"{"event":"*","at_least":4,"within":"10s"}"#,
    r#"{"event":"*","where":{"p":{"exists":true}},"at_most":1}"#,
    r#"{"event":"a","since":"2027-01-15T08:00:05Z"}"#,
    r#"{"event":"a","since":"2027-01-15T08:00:03Z","until":"2027-01-15T08:00:10.000001Z","exactly":2}"#,
    r#"{"event":"a","since":"2027-01-15T08:00:10Z","until":"2027-01-15T08:00:05Z"}"#,
    r#"{"event":"b","where":{"p":{"gte":0.7},"q.k":{"in":["a",1,true]}},"at_least":2}"#,
    r#"{"event":"b","where":{"p":{"contains":"a"}},"within":"1m"}"#,
    r#"{"event":"a","not_followed_by":{"event":"b"}}"#,
    r#"{"event":"a","not_followed_by":{"event":"b"},"for":"3s"}"#,
    r#"{"event":"a","within":"10s","not_followed_by":{"event":"a"},"for":"2s"}"#,
    r#"{"event":"*","within":"5s","followed_by":{"event":"*","where":{"p":{"exists":true}}}}"#,
    r#"{"event":"c","since":"2027-01-15T08:00:05Z","followed_by":{"event":"b"}}"#,
    r#"{"event":"profile.updated","where":{"traits.p":{"exists":true}},"at_least":2}"#,
    r#"{"trait":"p","gt":0.5}"#,
    r#"{"trait":"email","exists":true}"#,
    r#"{"all":[{"trait":"name","starts_with":"a"},{"not":{"event":"c","within":"2s"}}]}"#,
    r#"{"any":[{"trait":"q","in_next":"10s"},{"trait":"p","in_last":"10s"}]}"#,
];

/// Definitions that count points.
pub const COUNTERS: [&str; 2] = [r#"{"score":"points","at_least":2.1}"#, r#"{"not":{"score":"minus","at_most":-3}}"#];

/// The definitions of these conditions.
pub fn definitions(conditions: &[&str]) -> Vec<String> {
    conditions.iter().map(|when| format!(r#"{{"when":{when}}}"#)).collect()
}
