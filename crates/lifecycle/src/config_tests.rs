//! Where a value comes from, and what is told about those that can't be used.

use proptest::prelude::*;

use super::*;

const SETTINGS: &[Setting] = &[
    Setting::value("data", "DIR", "where the log and the tables are"),
    Setting::value("log_url", "URL", "where the log is").flagged("--log"),
    Setting::value("store_url", "URL", "where the tables are").flagged("--store").secret(),
    Setting::value("partitions", "N", "partitions of a new log"),
    Setting::switch("open", "ask for no key"),
];
const ELSEWHERE: &[Setting] = &[Setting::value("group", "NAME", "the group")];
const PROGRAM: Program<'_> =
    Program { name: "weir up", about: "Runs Weir.", settings: &[SETTINGS], elsewhere: &[ELSEWHERE] };

fn load(arguments: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> Config {
    let mut source = Source::of(arguments.iter().copied(), variables.iter().copied());
    if let Some(text) = file {
        source = source.with_file("weir.toml", text);
    }
    Config::load(&PROGRAM, &source).unwrap()
}

fn problems(config: Config) -> Vec<String> {
    config.finish().map_or_else(|error| error.problems, |()| Vec::new())
}

const FILE: (&str, &str) = ("WEIR_CONFIG", "weir.toml");

#[test]
fn a_flag_goes_before_a_variable_goes_before_the_file() {
    let file = Some("data = \"file\"\npartitions = 4\nopen = true");
    for (arguments, variables, expected) in [
        (&["--data", "flag"][..], &[FILE, ("WEIR_DATA", "variable")][..], "flag"),
        (&["--data=flag"], &[FILE], "flag"),
        (&[], &[FILE, ("WEIR_DATA", "variable")], "variable"),
        (&[], &[FILE, ("WEIR_DATA", "")], "file"),
        (&["--config", "weir.toml"], &[], "file"),
    ] {
        let mut config = load(arguments, variables, file);
        assert_eq!(config.get::<String>("data").as_deref(), Some(expected));
        assert_eq!(config.get_or("partitions", 1), 4);
        assert!(config.switch("open"));
        assert_eq!(problems(config), [""; 0]);
    }
}

#[test]
fn nothing_given_is_no_problem() {
    let mut config = load(&[], &[("PATH", "/bin"), ("WEIRD", "1")], None);
    assert_eq!(config.get::<String>("log_url"), None);
    assert_eq!(config.get_or("partitions", 1), 1);
    assert!(!config.switch("open") && config.origin("open").is_none());
    assert_eq!(problems(config), [""; 0]);
}

#[test]
fn switches() {
    for (arguments, variables, on) in [
        (&["--open"][..], &[][..], true),
        (&["--open=false"], &[("WEIR_OPEN", "1")], false),
        (&[], &[("WEIR_OPEN", "Yes")], true),
        (&[], &[("WEIR_OPEN", "0")], false),
    ] {
        let mut config = load(arguments, variables, None);
        assert_eq!(config.switch("open"), on, "{arguments:?} {variables:?}");
        assert_eq!(problems(config), [""; 0]);
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let arguments =
        ["--dat", "x", "--partitions", "few", "-v", "--log", "--store=a", "--store=b", "up", "--open", "perhaps"];
    let variables = [FILE, ("WEIR_DATE", "x"), ("WEIR_SOMETHING", "y"), ("WEIR_URL", "u"), ("WEIR_GROUP", "g")];
    let file = "partitons = 1\ngroup = \"g\"\nconfig = \"other.toml\"\n[data]\nx = 1\n";
    let mut config = load(&arguments, &variables, Some(file));
    assert_eq!(config.get_or("partitions", 7_u32), 7);
    config.refuse("--open and --listen 0.0.0.0: without keys only loopback is possible");
    let error = config.finish().unwrap_err();
    assert_eq!(
        error.problems,
        [
            "--dat: no such flag; did you mean --data?",
            "-v: not expected here; settings are given as --flag value",
            "--log: needs a value, URL",
            "--store: given twice",
            "up: not expected here; settings are given as --flag value",
            "perhaps: not expected here; settings are given as --flag value",
            "WEIR_DATE: no such variable; did you mean WEIR_DATA?",
            "WEIR_SOMETHING: no such variable",
            "weir.toml: config: no such key",
            "weir.toml: data: must be a text, a number, true or false",
            "weir.toml: partitons: no such key; did you mean partitions?",
            "--partitions: `few` can't be used: invalid digit found in string",
            "--open and --listen 0.0.0.0: without keys only loopback is possible",
        ]
    );
    let text = error.to_string();
    assert_eq!(text.lines().count(), 14);
    assert!(text.starts_with("the configuration can't be used:\n  --dat: no such flag"));
}

#[test]
fn a_bad_value_is_told_with_its_place() {
    let mut config = load(&["--config=weir.toml"], &[("WEIR_OPEN", "perhaps")], Some("partitions = -1"));
    assert!(!config.switch("open"));
    assert_eq!(config.get::<u32>("partitions"), None);
    assert_eq!(config.origin("partitions"), Some("weir.toml: partitions"));
    let problems = problems(config);
    assert_eq!(problems[0], "WEIR_OPEN: `perhaps` can't be used: it is true or false");
    assert!(problems[1].starts_with("weir.toml: partitions: `-1` can't be used"), "{problems:?}");
}

#[test]
fn a_secret_is_in_no_message() {
    let mut config = load(&[], &[("WEIR_STORE_URL", "postgres://ada:hunter2@x")], None);
    assert_eq!(config.get_with("store_url", |_| Err::<(), _>("no such scheme".to_owned())), None);
    assert_eq!(problems(config), ["WEIR_STORE_URL: the value can't be used: no such scheme"]);
}

#[test]
fn a_file_that_can_not_be_read_is_a_problem() {
    let missing = problems(load(&["--config", "nowhere.toml"], &[], Some("")));
    assert_eq!(missing.len(), 1);
    assert!(missing[0].starts_with("nowhere.toml: can't be read"), "{missing:?}");
    let broken = problems(load(&["--config", "weir.toml"], &[], Some("data = ")));
    assert!(broken[0].starts_with("weir.toml: not TOML"), "{broken:?}");
}

#[test]
fn flags_of_other_programs_are_unknown() {
    assert_eq!(problems(load(&["--group", "g"], &[], None)), ["--group: no such flag"]);
}

#[test]
fn help_names_flags_and_variables() {
    let Help(text) = Config::load(&PROGRAM, &Source::of(["--nonsense", "--help"], [])).unwrap_err();
    for part in ["Runs Weir.", "--log <URL>", "WEIR_LOG_URL", "--open", "--config <FILE>"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

proptest! {
    /// Whatever is given, each argument is either taken or told of, and nothing panics.
    #[test]
    fn nothing_is_ignored(words in prop::collection::vec("(--)?(data|partitions|open|x|)(=.{0,3})?", 0..6)) {
        let mut config = load(&words.iter().map(String::as_str).collect::<Vec<_>>(), &[], None);
        let _ = (config.get::<String>("data"), config.get::<u32>("partitions"), config.switch("open"));
        let given = ["data", "partitions", "open"].iter().filter(|name| config.origin(name).is_some()).count();
        prop_assert!(words.is_empty() || given + problems(config).len() > 0);
    }
}

const WITH_KAFKA: Program<'_> = Program {
    name: "ingest",
    about: "",
    settings: &[&[
        Setting::family("kafka", "a property"),
        Setting::value("log_url", "URL", "the log").flagged("--log"),
    ]],
    elsewhere: &[crate::settings::ALL],
};

#[test]
fn properties_of_a_family_come_from_everywhere() {
    let variables = [FILE, ("WEIR_KAFKA_SSL_CA_LOCATION", "/ca.pem"), ("WEIR_KAFKA_SASL_PASSWORD", "hunter2")];
    let file = "kafka_sasl_password = \"file\"\nkafka_sasl_username = \"ada\"";
    let source = Source::of(["--kafka-security-protocol=SASL_SSL"], variables).with_file("weir.toml", file);
    let mut config = Config::load(&WITH_KAFKA, &source).unwrap();
    let found: Vec<_> = config.family("kafka", Ok::<_, String>).into_iter().collect();
    let expected = [
        ("sasl.password", "hunter2"),
        ("sasl.username", "ada"),
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", "/ca.pem"),
    ];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(problems(config), [""; 0]);
}

#[test]
fn all_programs_share_variables_and_what_is_missing_is_named() {
    let variables =
        [("WEIR_STORE_URL", "postgres://x"), ("WEIR_TEST_KAFKA", "x"), ("WEIR_OPEN", "1"), ("WEIR_KAFKA_", "")];
    let mut config = Config::load(&WITH_KAFKA, &Source::of([], variables)).unwrap();
    config.require("log_url", "ingest needs a log");
    config.family("kafka", |_| Err::<(), _>("acks can't be set"));
    assert_eq!(
        problems(config),
        [
            "WEIR_KAFKA_: no such variable; did you mean WEIR_KAFKA_*?",
            "WEIR_LOG_URL: not given; ingest needs a log",
            "WEIR_KAFKA_*: acks can't be set"
        ]
    );
}

#[test]
fn a_setting_of_the_flag_alone_is_no_variable() {
    let settings: &[Setting] = &[Setting::switch("json", "print JSON").flag_only()];
    let program = Program { name: "weir init", about: "", settings: &[settings], elsewhere: &[] };
    let mut config = Config::load(&program, &Source::of(["--json"], [("WEIR_JSON", "1")])).unwrap();
    assert!(config.switch("json"));
    assert_eq!(problems(config), ["WEIR_JSON: no such variable"]);
    assert_eq!(
        unknown_variables(&[crate::settings::ALL], &Source::of([], [("WEIR_DAT", "x"), ("WEIR_DATA", "y")])),
        ["WEIR_DAT: no such variable; did you mean WEIR_DATA?"]
    );
}
