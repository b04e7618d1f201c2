//! JSON Lines at the owner's border: what is read, and each hostile row with its own refusal.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use tiltyard_provisioning::dataset::{
    Fields, Format, LINE_MAX_BYTES, Mapping, ROW_MAX_BYTES, RowError, RowProblem, read_rows,
};

fn mapping() -> Mapping {
    let fields = Fields::Instruct {
        instruction: "question".into(),
        input: Some("context".into()),
        output: "answer".into(),
        system: None,
    };
    Mapping { fields, group_columns: vec![] }
}

/// The rows, or the first problem.
fn read(source: &[u8]) -> Result<Vec<String>, RowError> {
    let rows = read_rows(Format::Jsonl, source, &mapping());
    let rows = rows.map_err(|report| report.problems.into_iter().next().unwrap())?.rows;
    Ok(rows.iter().map(|row| String::from_utf8(row.canonical().to_vec()).unwrap()).collect())
}

fn problem(source: &[u8]) -> (u64, Option<String>, RowProblem) {
    let error = read(source).expect_err("must be refused");
    (error.number, error.column, error.problem)
}

#[test]
fn rows_become_canonical() {
    let source = br#"{"answer":"A\u00e9\/", "extra":[1,2.5,{"a":null}], "question":"Q\n", "context":"C"}
{ "question" : "Q2", "answer" : "A2", "context" : "" }
{"question":"Q3","answer":"A3","context":null}
"#;
    assert_eq!(
        read(source).unwrap(),
        [
            "{\"input\":\"C\",\"instruction\":\"Q\\n\",\"output\":\"A\u{e9}/\"}",
            "{\"instruction\":\"Q2\",\"output\":\"A2\"}",
            "{\"instruction\":\"Q3\",\"output\":\"A3\"}",
        ]
    );
}

#[test]
fn line_ends_and_the_byte_order_mark() {
    let row = r#"{"question":"Q","answer":"A"}"#;
    for source in [row.to_string(), format!("{row}\n"), format!("{row}\r\n"), format!("\u{feff}{row}\n")] {
        assert_eq!(read(source.as_bytes()).unwrap().len(), 1, "{source:?}");
    }
    assert!(read(b"").unwrap().is_empty());
    assert!(read("\u{feff}".as_bytes()).unwrap().is_empty());
    let second = format!("{row}\n\u{feff}{row}\n");
    assert!(matches!(problem(second.as_bytes()), (2, None, RowProblem::NotJson { .. })));
    let twice = format!("\u{feff}\u{feff}{row}\n");
    assert!(matches!(problem(twice.as_bytes()), (1, None, RowProblem::NotJson { .. })));
}

#[test]
fn strings_keep_their_bytes() {
    // One letter in two Unicode forms stays two texts.
    let source = "{\"question\":\"\u{e9}\",\"answer\":\"e\u{301}\"}";
    assert_eq!(read(source.as_bytes()).unwrap(), ["{\"instruction\":\"\u{e9}\",\"output\":\"e\u{301}\"}"]);
}

#[test]
fn hostile_rows_are_refused_one_by_one() {
    let ok = r#"{"question":"Q","answer":"A"}"#;
    let with = |extra: &str| format!("{{\"question\":\"Q\",\"answer\":\"A\",\"x\":{extra}}}").into_bytes();
    let column = |name: &str| Some(name.to_owned());
    let cases: Vec<(&str, Vec<u8>, Option<String>, RowProblem)> = vec![
        ("not UTF-8", b"{\"question\":\"\xff\",\"answer\":\"A\"}".to_vec(), None, RowProblem::NotUtf8),
        ("UTF-16", b"\xff\xfe{\0".to_vec(), None, RowProblem::NotUtf8),
        (
            "surrogate in UTF-8",
            b"{\"question\":\"\xed\xa0\x80\",\"answer\":\"A\"}".to_vec(),
            None,
            RowProblem::NotUtf8,
        ),
        ("blank", b"\n".to_vec(), None, RowProblem::Blank),
        ("blanks only", b" \t\r\n".to_vec(), None, RowProblem::Blank),
        ("array", b"[]".to_vec(), None, RowProblem::NotAnObject),
        ("string", b"\"x\"".to_vec(), None, RowProblem::NotAnObject),
        ("null", b"null".to_vec(), None, RowProblem::NotAnObject),
        (
            "duplicate key",
            br#"{"question":"Q","answer":"A","answer":"B"}"#.to_vec(),
            None,
            RowProblem::DuplicateKey,
        ),
        (
            "duplicate key, escaped",
            br#"{"question":"Q","answer":"A","\u0061nswer":"B"}"#.to_vec(),
            None,
            RowProblem::DuplicateKey,
        ),
        ("duplicate key inside", with(r#"{"a":1,"a":1}"#), None, RowProblem::DuplicateKey),
        ("too deep", with(&format!("{}{}", "[".repeat(32), "]".repeat(32))), None, RowProblem::TooDeep),
        ("far too deep", with(&"[".repeat(100_000)), None, RowProblem::TooDeep),
        ("above i64", with("9223372036854775808"), None, RowProblem::Number),
        ("above u64", with("18446744073709551616"), None, RowProblem::Number),
        ("below i64", with("-9223372036854775809"), None, RowProblem::Number),
        ("missing", br#"{"question":"Q"}"#.to_vec(), column("answer"), RowProblem::Missing),
        (
            "null field",
            br#"{"question":null,"answer":"A"}"#.to_vec(),
            column("question"),
            RowProblem::Missing,
        ),
        ("empty", br#"{"question":"Q","answer":""}"#.to_vec(), column("answer"), RowProblem::Empty),
        ("number", br#"{"question":1,"answer":"A"}"#.to_vec(), column("question"), RowProblem::NotAString),
        (
            "optional not a string",
            br#"{"question":"Q","answer":"A","context":[]}"#.to_vec(),
            column("context"),
            RowProblem::NotAString,
        ),
        (
            "row too long",
            format!("{{\"question\":\"{}\",\"answer\":\"A\"}}", "q".repeat(ROW_MAX_BYTES)).into_bytes(),
            None,
            RowProblem::RowTooLong,
        ),
    ];
    for (name, row, column, expected) in cases {
        // Second in the source, so that the number is seen to count.
        let source = [ok.as_bytes(), b"\n", &row].concat();
        assert_eq!(problem(&source), (2, column, expected), "{name}");
    }
    for (name, row) in [
        ("NaN", with("NaN")),
        ("Infinity", with("-Infinity")),
        ("overflow", with("1e999")),
        ("lone leading surrogate", with(r#""\ud800""#)),
        ("lone trailing surrogate", with(r#""\udc00""#)),
        ("control character", b"{\"question\":\"\x01\",\"answer\":\"A\"}".to_vec()),
        ("two objects", [ok, ok].concat().into_bytes()),
        ("cut off", ok.as_bytes()[..20].to_vec()),
        ("trailing comma", br#"{"question":"Q","answer":"A",}"#.to_vec()),
        ("comment", br#"{"question":"Q","answer":"A"} // x"#.to_vec()),
        ("leading zero", with("01")),
        ("NUL", b"\0".to_vec()),
    ] {
        let source = [ok.as_bytes(), b"\n", &row].concat();
        assert!(
            matches!(problem(&source), (2, None, RowProblem::NotJson { .. })),
            "{name}: {:?}",
            problem(&source)
        );
    }
}

#[test]
fn limits_are_inclusive() {
    let depth = format!("{}{}", "[".repeat(31), "]".repeat(31));
    let numbers = "[9223372036854775807,-9223372036854775808,1e18,0.5]";
    for extra in [depth.as_str(), numbers] {
        let source = format!("{{\"question\":\"Q\",\"answer\":\"A\",\"x\":{extra}}}");
        assert_eq!(read(source.as_bytes()).unwrap().len(), 1, "{extra}");
    }
    let frame = r#"{"instruction":"","output":"A"}"#.len();
    let longest = format!("{{\"question\":\"{}\",\"answer\":\"A\"}}", "q".repeat(ROW_MAX_BYTES - frame));
    assert_eq!(read(longest.as_bytes()).unwrap()[0].len(), ROW_MAX_BYTES);
}

#[test]
fn a_line_without_end_is_not_read_to_its_end() {
    struct Endless(u64);
    impl std::io::Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            self.0 += out.len() as u64;
            assert!(self.0 < 2 * LINE_MAX_BYTES as u64, "read on beyond the limit");
            out.fill(b' ');
            Ok(out.len())
        }
    }
    let report = read_rows(Format::Jsonl, std::io::BufReader::new(Endless(0)), &mapping()).err().unwrap();
    assert!(report.stopped);
    assert_eq!(report.problems[0].problem, RowProblem::LineTooLong);
}

#[test]
fn no_error_holds_a_value() {
    let canary = "CANARY-4711";
    for row in [
        format!(r#"{{"question":{{"{canary}":1}},"answer":"A"}}"#),
        format!(r#"{{"{canary}":1,"{canary}":2}}"#),
        format!(r#"{{"question":"{canary}"}}"#),
        format!(r#""{canary}""#),
        format!(r#"{{"question":"{canary}","answer":{canary}}}"#),
        format!(r#"{{"question":"{canary}","answer":"\q{canary}"}}"#),
    ] {
        let error = read(row.as_bytes()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("CANARY"), "{error}");
        assert!(error.to_string().starts_with("E_ROW: row 1"), "{error}");
    }
}
