//! Search order, layers, origins, typed getters and checks of the configuration.

use std::{fs, path::Path, time::Duration};

use proptest::prelude::*;

use crate::{
    config::*,
    error::{Error, ErrorKind},
};

fn from_yaml(yaml: &str) -> Result<Config, Error> {
    Config::load(
        &Sources { yaml: Some(yaml.to_owned()), ..Sources::default() },
        &Environment::new("/nowhere"),
    )
}

/// The configuration of a file `lithops.yaml` with this text.
fn from_file(text: &str) -> Result<Config, Error> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lithops.yaml"), text).unwrap();
    let sources = Sources { file: Some("lithops.yaml".into()), ..Sources::default() };
    Config::load(&sources, &Environment::new(folder.path()))
}

fn write(folder: &Path, name: &str, backend: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("lithops: {{backend: {backend}}}")).unwrap();
}

#[test]
fn the_first_source_in_order_is_the_only_one() {
    let folder = tempfile::tempdir().unwrap();
    let (cwd, home, system) =
        (folder.path().join("cwd"), folder.path().join("home"), folder.path().join("etc"));
    fs::create_dir(&cwd).unwrap();
    let search = || Environment::new(&cwd).with_home(&home).with_system(&system);
    let backend = |sources: &Sources, environment: &Environment| {
        let config = Config::load(sources, environment).unwrap();
        (config.backend().to_owned(), config.found_in().map(ToString::to_string).unwrap_or_default())
    };
    let none = Sources::default();

    assert_eq!(backend(&none, &search()), ("localhost".into(), String::new()));
    write(&system, "lithops/config", "system");
    assert_eq!(backend(&none, &search()).0, "system");
    write(&home, ".lithops/config", "home");
    assert_eq!(
        backend(&none, &search()),
        ("home".into(), home.join(".lithops/config").display().to_string())
    );
    write(&cwd, ".lithops_config", "cwd");
    assert_eq!(backend(&none, &search()), ("cwd".into(), ".lithops_config".into()));
    write(&cwd, "named.yaml", "named");
    let environment = search().with_variable("LITHOPS_CONFIG_FILE", "named.yaml");
    assert_eq!(backend(&none, &environment), ("named".into(), "named.yaml".into()));
    let environment = environment.with_variable("LITHOPS_CONFIG", r#"{"lithops": {"backend": "text"}}"#);
    assert_eq!(backend(&none, &environment), ("text".into(), "variable LITHOPS_CONFIG".into()));
    write(&cwd, "explicit.yaml", "explicit");
    let file = Sources { file: Some("explicit.yaml".into()), yaml: None };
    assert_eq!(backend(&file, &environment), ("explicit".into(), "explicit.yaml".into()));
    let yaml = Sources { file: None, yaml: Some("lithops:\n  backend: yaml".into()) };
    assert_eq!(backend(&yaml, &environment).0, "yaml");

    let blank = search().with_variable("LITHOPS_CONFIG", " ").with_variable("LITHOPS_CONFIG_FILE", "");
    assert_eq!(backend(&none, &blank).0, "cwd");
    let overruled = environment.with_variable("LITHOPS_BACKEND", "variable");
    assert_eq!(backend(&file, &overruled).0, "variable");
}

#[test]
fn a_named_file_that_does_not_exist_is_an_error() {
    let sources = Sources { file: Some("none.yaml".into()), yaml: None };
    let error = Config::load(&sources, &Environment::new("/")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    assert_eq!(
        error.to_string(),
        "the configuration file `none.yaml` does not exist: the working directory is `/`"
    );
    let environment = Environment::new("/").with_variable("LITHOPS_CONFIG_FILE", "/none");
    let error = Config::load(&Sources::default(), &environment).unwrap_err();
    assert!(
        error.to_string().contains("LITHOPS_CONFIG_FILE") && error.to_string().contains("/none"),
        "{error}"
    );
    let both = Sources { file: Some("a".into()), yaml: Some("b".into()) };
    assert_eq!(Config::load(&both, &Environment::new("/")).unwrap_err().kind(), ErrorKind::ConfigInvalid);
    let folder = Sources { file: Some("/".into()), yaml: None };
    assert!(
        Config::load(&folder, &Environment::new("/")).unwrap_err().to_string().contains("cannot be read")
    );
}

#[test]
fn every_value_knows_its_origin() {
    let mut config =
        from_file("# comment\nlithops:\n  backend: k8s\n\nlocalhost: {runtime: a,\n  worker_processes: 4}\n")
            .unwrap();
    config.set("localhost", "worker_processes", 8, Origin::Builder("worker_processes"));
    config.set_default("localhost", "max_workers", 1);
    config.set_default("lithops", "backend", "never");
    let shown: Vec<_> = config
        .entries()
        .map(|entry| format!("{}.{}={} {}", entry.section, entry.key, entry.value, entry.origin))
        .collect();
    assert_eq!(
        shown,
        [
            "lithops.backend=k8s lithops.yaml:3",
            "localhost.max_workers=1 default",
            "localhost.runtime=a lithops.yaml:5",
            "localhost.worker_processes=8 builder call .worker_processes(..)",
        ]
    );
    let environment =
        Environment::new("/").with_variable("LITHOPS_CONFIG", "{\"lithops\":\n {\"backend\":\n \"x\"}}");
    let config = Config::load(&Sources::default(), &environment).unwrap();
    let origin = &config.section("lithops").get("backend").unwrap().origin;
    assert_eq!(origin.to_string(), "variable LITHOPS_CONFIG, line 2");
}

#[test]
fn faults_in_the_text_name_file_line_and_column() {
    for (text, expected) in [
        ("lithops:\n\tbackend: x\n", "a tab is used as indentation at lithops.yaml:2:2: indent with spaces"),
        ("a:\n  b: 1\n  b: 2\n", "key `b` is written a second time at lithops.yaml:3:3: keep one of the two"),
        ("a: {}\na: {}\n", "key `a` is written a second time at lithops.yaml:2:1"),
        (
            "a: b: c\n",
            "the configuration is not valid YAML at lithops.yaml:1:5, mapping values are not allowed",
        ),
        ("a: {b: [1\n", "the configuration is not valid YAML at lithops.yaml:1:"),
        ("x: {}\nlithops: aws_lambda\n", "section `lithops` at lithops.yaml:2 is a string, not a mapping"),
        ("lithops: [a]\n", "section `lithops` at lithops.yaml:1 is a list, not a mapping"),
        ("lithops: 3\n", "section `lithops` at lithops.yaml:1 is a whole number, not a mapping"),
        ("s:\n  null: 1\n", "a key at lithops.yaml:2:3 is null: write its name, in quotes"),
        ("- a\n", "the configuration in lithops.yaml is a list, not a mapping of sections"),
        ("hello", "the configuration in lithops.yaml is a string, not a mapping of sections"),
        ("a: {}\n---\nb: {}\n", "a second YAML document starts at lithops.yaml:2:1: keep one document"),
        (
            "lithops: {backend: 3}",
            "`backend` in section `lithops` must be a string, found `3` at lithops.yaml:1: put it",
        ),
    ] {
        let error = from_file(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(error.hint().is_some() && !error.to_string().contains('\n'), "{error}");
    }
    for text in ["", "# nothing\n", "~", "lithops:\n", "\u{feff}lithops: {}\n"] {
        assert_eq!(from_file(text).unwrap().backend(), "localhost", "{text:?}");
    }
}

#[test]
fn text_that_is_not_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let load = || {
        Config::load(&Sources { file: Some(path.clone()), yaml: None }, &Environment::new("/")).unwrap_err()
    };
    fs::write(&path, b"a: {}\nb: \xff\n").unwrap();
    assert!(load().to_string().contains("is not UTF-8 text, line 2"), "{}", load());
    fs::write(&path, vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(load().to_string().contains("larger than 1 MiB"), "{}", load());
}

#[test]
fn scalars_are_those_of_yaml_1_2() {
    let config = from_yaml("s: {a: AUTO, b: yes, c: true, d: 012, e: 1.50, f: ~, g: 'x', h: 0x10, i: 1_000, j: 99999999999999999999}").unwrap();
    let kinds: Vec<_> = config.section("s").iter().map(|(_, located)| located.value.kind()).collect();
    let (string, int, float) = ("a string", "a whole number", "a fraction");
    assert_eq!(kinds, [string, string, "a boolean", string, float, "null", string, int, string, float]);
}

#[test]
fn values_are_read_by_type() {
    let config = from_yaml("s: {n: 4, auto: auto, t: 2m, b: false, p: /data, name: x, none: ~}").unwrap();
    let section = config.section("s");
    assert_eq!(section.positive("n").unwrap(), Some(4));
    assert_eq!(section.count_or_auto("n").unwrap(), Some(CountValue::Count(4)));
    assert_eq!(section.count_or_auto("auto").unwrap(), Some(CountValue::Auto));
    assert_eq!(section.duration("t").unwrap(), Some(Duration::from_secs(120)));
    assert_eq!(section.bool("b").unwrap(), Some(false));
    assert_eq!(section.path("p").unwrap().unwrap(), Path::new("/data"));
    assert_eq!(section.string("name").unwrap(), Some("x"));
    for key in ["none", "missing"] {
        assert_eq!((section.positive(key).unwrap(), section.string(key).unwrap()), (None, None));
        assert!(section.get(key).is_none());
    }
    assert_eq!(config.section("missing").duration("x").unwrap(), None);
}

#[test]
fn what_cannot_be_used_is_refused_with_advice() {
    let mut config = from_file("s:\n  zero: 0\n  neg: -1\n  half: 0.5\n  text: \"4\"\n  yes: yes\n  list: [1]\n  num: 3.10\n  home: ~/x\n  empty: ''\n  password: 7\n").unwrap();
    config.set("s", "big", u64::MAX, Origin::Builder("set"));
    let section = config.section("s");
    let advice = |error: Error, expected: &str| {
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        assert_eq!(error.to_string(), expected);
    };
    advice(
        section.positive("zero").unwrap_err(),
        "`zero` in section `s` must be a whole number from 1 up, found `0` at lithops.yaml:2: \
         write for example `zero: 4`, or leave the key out",
    );
    advice(
        section.positive("text").unwrap_err(),
        "`text` in section `s` must be a whole number from 1 up, found the string `4` at lithops.yaml:5: \
         write `text: 4` without quotes",
    );
    advice(
        section.bool("yes").unwrap_err(),
        "`yes` in section `s` must be `true` or `false`, found the string `yes` at lithops.yaml:6: write `yes: true`",
    );
    for key in ["neg", "half", "list", "big", "yes"] {
        section.positive(key).unwrap_err();
        section.count_or_auto(key).unwrap_err();
    }
    assert!(section.positive("big").unwrap_err().to_string().contains("from builder call .set(..)"));
    for key in ["zero", "neg", "text", "list", "yes"] {
        section.duration(key).unwrap_err();
    }
    for key in ["num", "list", "empty"] {
        section.string(key).unwrap_err();
        section.path(key).unwrap_err();
    }
    assert!(section.path("home").unwrap_err().to_string().contains("`~` is not replaced"));
    let error = section.string("password").unwrap_err().to_string();
    assert!(!error.contains('7'), "{error}");
}

#[test]
fn keys_are_checked_against_the_known_ones() {
    let known = [Key::used("worker_processes", "").to_owned(), Key::accepted("version", "there is one", "")];
    let known = [known.as_slice(), &[Key::refused("max_workers", "there is one worker", "")]].concat();
    let text = "x: 1\nlocalhost:\n  worker_processes: 1\n  worker_proceses: 4\n  version: 2\n  max_workers: 3\n  zzz: 1\n";
    let config = from_file(&text[5..]).unwrap();
    let findings = check_section(config.section("localhost"), &known);
    let lines: Vec<_> = findings
        .iter()
        .map(|finding| {
            format!("{:?} {}: {}", finding.severity, finding.message, finding.hint.as_deref().unwrap_or("-"))
        })
        .collect();
    assert_eq!(
        lines,
        [
            "Error `max_workers` in section `localhost` at lithops.yaml:5 is refused: there is one worker",
            "Note `version` in section `localhost` at lithops.yaml:4 has no effect: there is one",
            "Error unknown key `worker_proceses` in section `localhost` at lithops.yaml:3: did you mean `worker_processes`?",
            "Error unknown key `zzz` in section `localhost` at lithops.yaml:6: section `localhost` knows \
             `worker_processes`, `version`",
        ]
    );
    let error = Error::from(findings[2].clone());
    assert!(error.to_string().ends_with("lithops.yaml:3: did you mean `worker_processes`?"), "{error}");
}

#[test]
fn sections_of_other_backends_are_ignored_and_unknown_ones_are_not() {
    let config = from_yaml("lithops: {}\naws_lambda: {x: 1}\nmine: {}\nlocalhots: {}\n???: {}").unwrap();
    let findings = check_sections(&config, &["localhost", "mine"]);
    let lines: Vec<_> =
        findings.iter().map(|finding| (finding.message.as_str(), finding.hint.as_deref().unwrap())).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].0.starts_with("unknown section `???`"), "{lines:?}");
    assert_eq!(
        lines[1],
        ("unknown section `localhots` at line 4 of .config_yaml(..)", "did you mean `localhost`?")
    );
}

#[test]
fn mappings_of_texts_and_files_that_exist_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x");
    fs::write(&file, "").unwrap();
    let config = from_yaml(&format!(
        "s:\n  tags: {{team: data, n: 4, yes: true}}\n  list: [a]\n  nested: {{a: [b]}}\n  fraction: {{a: 3.10}}\n  \
         file: {}\n  none: {}\n  folder: {}\n  env_vars: TOKEN=hunter2\n",
        file.display(),
        folder.path().join("y").display(),
        folder.path().display(),
    ))
    .unwrap();
    let section = config.section("s");
    let tags: Vec<_> = section.texts("tags").unwrap().into_iter().collect();
    let wanted = [("n", "4"), ("team", "data"), ("yes", "true")];
    assert_eq!(tags, wanted.map(|(name, text)| (name.to_owned(), text.to_owned())));
    assert!(section.texts("absent").unwrap().is_empty());
    for key in ["list", "nested", "fraction", "file"] {
        let error = section.texts(key).unwrap_err().to_string();
        assert!(error.contains("a mapping of names to texts") && error.contains(key), "{error}");
    }
    assert!(!section.texts("env_vars").unwrap_err().to_string().contains("hunter2"));
    assert_eq!(section.existing("file", "").unwrap(), Some(file));
    assert_eq!(section.existing("absent", "").unwrap(), None);
    for key in ["none", "folder"] {
        let error = section.existing(key, "build it").unwrap_err();
        assert!(error.to_string().starts_with(&format!("`{key}` in section `s` at line")), "{error}");
        assert_eq!(error.hint(), Some("build it"));
    }
}

#[test]
fn the_tables_of_keys_are_sound() {
    for keys in [keys::LITHOPS, keys::BACKEND] {
        for (index, key) in keys.iter().enumerate() {
            assert!(!key.doc.is_empty(), "{key:?}");
            assert!(keys[..index].iter().all(|other| other.name != key.name), "{key:?}");
        }
    }
    assert!(keys::SECTIONS[1..].is_sorted());
}

#[test]
fn a_file_that_was_only_found_may_set_what_is_harmless_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let load = |text: &str, environment: Environment| {
        fs::write(folder.path().join(".lithops_config"), text).unwrap();
        Config::load(&Sources::default(), &environment)
    };
    let search = || Environment::new(folder.path());
    for (text, named) in [
        (
            "localhost:\n  storage_root: /tmp/evil\n",
            "`storage_root` in section `localhost` at .lithops_config:2 is not",
        ),
        ("lithops:\n  plugins: [evil.so]\n", "`plugins` in section `lithops` at .lithops_config:2 is not"),
        // Sections and keys that this program does not know.
        ("aws_lambda:\n  worker: evil\n", "`worker` in section `aws_lambda`"),
        ("aws: {access_key_id: evil}\n", "`access_key_id` in section `aws`"),
        ("plugins:\n  a: b\n", "`a` in section `plugins`"),
        (
            "x: {a: 1, b: 2, c: 3}\n",
            "`a` in section `x` at .lithops_config:1, `b` in section `x` at .lithops_config:1 and `c` in section `x` at",
        ),
    ] {
        let error = load(text, search()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        assert!(error.to_string().starts_with(named), "{error}");
        assert!(error.to_string().contains("only found in the working directory"), "{error}");
        assert!(error.to_string().contains("LITHOPS_CONFIG_FILE=.lithops_config"), "{error}");
        load(text, search().with_variable("LITHOPS_CONFIG_FILE", ".lithops_config")).unwrap();
        let sources = Sources { file: Some(folder.path().join(".lithops_config")), yaml: None };
        Config::load(&sources, &search()).unwrap();
    }
    // A key that a section does not have is never read: that it is unknown is told when the file is checked.
    load("lithops:\n  new_key: x\n", search()).unwrap();
    // A key that no file may set is refused as such.
    let error = load("lithops: {storage_bucket: b}\n", search()).unwrap_err().to_string();
    assert!(error.contains("is refused: write it in the section of the storage"), "{error}");
    let many: String = (0..20).map(|number| format!("k{number}: {{a: 1}}\n")).collect();
    assert!(load(&many, search()).unwrap_err().to_string().contains(" and 12 more are not accepted"));
    load("lithops: {backend: x, chunksize: 3, log_level: INFO}\nlocalhost: {storage_root: ~}\n", search())
        .unwrap();
}

#[test]
fn what_nobody_has_named_and_cannot_be_read_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let (cwd, home, system) =
        (folder.path().join("cwd"), folder.path().join("home"), folder.path().join("etc"));
    let search = || Environment::new(&cwd).with_home(&home).with_system(&system);
    fs::create_dir_all(home.join(".lithops")).unwrap();
    write(&system, "lithops/config", "system");
    // A folder in place of one file, and a link to itself in place of the other: root could read anything
    // else.
    fs::create_dir_all(cwd.join(".lithops_config")).unwrap();
    std::os::unix::fs::symlink("config", home.join(".lithops/config")).unwrap();
    let config = Config::load(&Sources::default(), &search()).unwrap();
    assert_eq!(config.backend(), "system");
    let passed: Vec<_> = config.passed_over().map(|(path, _)| path.to_owned()).collect();
    assert_eq!(passed, [Path::new(".lithops_config").to_owned(), home.join(".lithops/config")]);
    let notes = check_files(&config);
    assert_eq!(notes[0].severity, FindingSeverity::Note);
    assert_eq!(
        notes[0].message,
        "the configuration file `.lithops_config` is passed over: it is a folder and no file"
    );
    // Opening a pipe does not wait, and a named file that cannot be read is an error.
    let pipe = cwd.join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    fs::remove_dir(cwd.join(".lithops_config")).unwrap();
    fs::hard_link(&pipe, cwd.join(".lithops_config")).unwrap();
    assert_eq!(Config::load(&Sources::default(), &search()).unwrap().backend(), "system");
    for named in [pipe, home.join(".lithops/config"), "/dev/zero".into()] {
        let sources = Sources { file: Some(named.clone()), yaml: None };
        let error = Config::load(&sources, &search()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        assert!(error.to_string().contains(&format!("`{}` cannot be read", named.display())), "{error}");
        let environment = search().with_variable("LITHOPS_CONFIG_FILE", named.display().to_string());
        assert!(Config::load(&Sources::default(), &environment).is_err());
    }
}

#[test]
fn nothing_shows_credentials() {
    let yaml = "aws: {secret_access_key: hunter2, region: eu}\nredis: {url: 'redis://u:hunter2@h'}\nk8s: {env: {TOKEN: hunter2}}";
    let config = from_yaml(yaml).unwrap();
    let sources = Sources { yaml: Some(yaml.into()), file: None };
    let environment = Environment::new("/").with_variable("LITHOPS_CONFIG", yaml);
    let located = config.section("aws").get("secret_access_key").unwrap();
    let shown = format!("{config:?} {sources:?} {environment:?} {located:?} {:?}", config.section("aws"));
    assert!(!shown.contains("hunter2") && shown.contains("eu"), "{shown}");
    let error = from_yaml("aws: {secret_access_key: hunter2, secret_access_key: hunter2}").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn values_are_json_for_machines() {
    let config = from_yaml("s: {a: [1, 2.5, x, true, ~], b: {c: d}}").unwrap();
    let entries: Vec<_> = config.entries().collect();
    // MessagePack with field names stands in for JSON here: both need nothing but `Serialize`.
    let read: Value = rmp_serde::from_slice(&rmp_serde::to_vec(&entries[0].value).unwrap()).unwrap();
    assert_eq!(read.to_string(), "[1, 2.5, x, true, null]");
    assert_eq!(entries[1].value.to_string(), "{c: d}");
}

fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        "\\PC{0,8}|[a-z0-9.:#~ \\n\\t'\"\\\\-]{0,8}|(?i:yes|null|true|auto|y|\\.inf|0x1f|1e5|<<)"
            .prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::btree_map("[a-z_]{1,6}|\\PC{1,4}", inner, 0..4).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_shown_is_read_back(value in any_value()) {
        let config = from_yaml(&format!("s: {{k: {value}}}")).unwrap();
        let read = config.section("s").iter().next().unwrap().1.value.clone();
        prop_assert_eq!(read, value);
    }

    #[test]
    fn no_text_is_a_panic(text in "(\\PC|[\\n\\t:{}\\[\\], &*!|>'\"#-]){0,60}") {
        if let Err(error) = from_yaml(&text) {
            prop_assert!(error.hint().is_some());
        }
    }
}
