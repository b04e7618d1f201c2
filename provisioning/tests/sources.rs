//! Sources of a data owner: JSON Lines, JSON arrays and tables give the same rows, for every kind of task; what must be
//! mended is told row by row.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{BufRead, BufReader, Read};

use serde_json::json;
use tiltyard_provisioning::dataset::{
    Fields, Format, LINE_MAX_BYTES, Mapping, PROBLEMS_LISTED, Report, RowProblem, Rows, read_rows,
};

fn instruct() -> Mapping {
    let fields = Fields::Instruct {
        instruction: "q".into(),
        input: None,
        output: "a".into(),
        system: Some("s".into()),
    };
    Mapping { fields, group_columns: vec![] }
}

fn of(fields: Fields) -> Mapping {
    Mapping { fields, group_columns: vec![] }
}

fn texts(rows: &Rows) -> Vec<String> {
    rows.rows.iter().map(|row| String::from_utf8(row.canonical().to_vec()).unwrap()).collect()
}

fn read(format: Format, source: impl AsRef<[u8]>, mapping: &Mapping) -> Vec<String> {
    match read_rows(format, source.as_ref(), mapping) {
        Ok(rows) => texts(&rows),
        Err(report) => panic!("{report}"),
    }
}

fn refused(format: Format, source: impl AsRef<[u8]>, mapping: &Mapping) -> Report {
    let report = read_rows(format, source.as_ref(), mapping).err().expect("must be refused");
    assert!(report.refused >= 1 && !report.problems.is_empty());
    report
}

fn problems(report: &Report) -> Vec<(u64, Option<&str>, RowProblem)> {
    let one = |problem: &tiltyard_provisioning::dataset::RowError| problem.problem.clone();
    report.problems.iter().map(|row| (row.number, row.column.as_deref(), one(row))).collect()
}

#[test]
fn every_format_gives_the_same_rows() {
    let rows = [("Q1", "A1, \"quoted\"\nsecond line", "S"), ("Frage ä", "\u{1f600}", "")];
    let values = rows.map(|(q, a, s)| json!({"q": q, "a": a, "s": s, "other": "dropped"}));
    let jsonl: String = values.iter().map(|row| format!("{row}\n")).collect();
    let array = json!(values).to_string();
    let spaced = serde_json::to_string_pretty(&values).unwrap();
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let table = |end: &str| {
        let lines = rows.map(|(q, a, s)| format!("{},{},dropped,{s}{end}", quoted(q), quoted(a)));
        format!("q,a,other,s{end}{}", lines.concat())
    };
    let expected = read(Format::Jsonl, &jsonl, &instruct());
    assert_eq!(expected.len(), 2);
    assert_eq!(expected[1], "{\"instruction\":\"Frage ä\",\"output\":\"\u{1f600}\"}");
    for (format, source) in [
        (Format::Json, array.clone()),
        (Format::Json, format!("\u{feff}{spaced}\n")),
        (Format::Csv, table("\n")),
        (Format::Csv, table("\r\n")),
        (Format::Csv, format!("\u{feff}{}", table("\n"))),
        (Format::Csv, table("\n").trim_end().to_owned()),
    ] {
        assert_eq!(read(format, &source, &instruct()), expected, "{format:?} {source:?}");
    }
    for empty in ["[]", " [ ] "] {
        assert!(read(Format::Json, empty, &instruct()).is_empty());
    }
    assert!(read(Format::Csv, "q,a,s\n", &instruct()).is_empty());
}

#[test]
fn conversations() {
    let chat = of(Fields::Chat {
        messages: "conversations".into(),
        role: "from".into(),
        content: "value".into(),
        user: "human".into(),
        assistant: "gpt".into(),
    });
    let said = |from: &str, value: &str| json!({"from": from, "value": value, "weight": 0.5});
    let whole = json!([said("system", "be brief"), said("human", "hello"), said("gpt", "hi")]);
    let holes = json!([said("human", "hello"), said("gpt", ""), {"from": "gpt"}, said("gpt", "hi"), 7]);
    let single = json!([said("human", "hello"), {"value": "nobody"}]);
    let rows = [&whole, &holes, &single].map(|messages| json!({"conversations": messages}));
    let expected = [
        r#"{"messages":[{"content":"be brief","role":"system"},{"content":"hello","role":"user"},{"content":"hi","role":"assistant"}]}"#,
        r#"{"messages":[{"content":"hello","role":"user"},{"content":"hi","role":"assistant"}]}"#,
    ];
    let read = read_rows(Format::Json, json!(rows).to_string().as_bytes(), &chat).unwrap();
    assert_eq!(texts(&read), expected);
    assert_eq!((read.report.source_rows, read.report.kept, read.report.dropped), (3, 2, 1));
    // A table has the list as text.
    let cell = |messages: &serde_json::Value| format!("\"{}\"\n", messages.to_string().replace('"', "\"\""));
    let table = ["conversations\n".to_owned(), cell(&whole), cell(&holes)].concat();
    assert_eq!(texts(&read_rows(Format::Csv, table.as_bytes(), &chat).unwrap()), expected);

    let rows = [
        json!({"conversations": "no list"}),
        json!({"conversations": {"from": "human"}}),
        json!({"conversations": null}),
        json!({"conversations": "[{\"from\":\"human\",\"from\":\"gpt\"}]"}),
    ];
    let report = refused(Format::Json, json!(rows).to_string(), &chat);
    let column = Some("conversations");
    assert_eq!(
        problems(&report),
        [
            (1, column, RowProblem::NotJson { byte: 2 }),
            (2, column, RowProblem::NotAList),
            (3, column, RowProblem::Missing),
            (4, column, RowProblem::DuplicateKey),
        ]
    );
}

#[test]
fn preferences_and_prompts() {
    let system = Some("s".into());
    let dpo = of(Fields::Dpo { prompt: "p".into(), chosen: "c".into(), rejected: "r".into(), system });
    let rows = json!([
        {"p": "P", "c": "C", "r": "R", "s": "S"},
        {"p": "P", "c": "C", "r": ""},
        {"p": "P", "r": "R"},
        {"p": null, "c": "C", "r": "R"},
        {"p": "P2", "c": "C", "r": "R", "s": null},
    ]);
    let read_dpo = read_rows(Format::Json, rows.to_string().as_bytes(), &dpo).unwrap();
    assert_eq!(
        texts(&read_dpo),
        [
            r#"{"chosen":"C","prompt":"P","rejected":"R","system":"S"}"#,
            r#"{"chosen":"C","prompt":"P2","rejected":"R"}"#
        ]
    );
    assert_eq!(read_dpo.report.dropped, 3);
    let report = refused(Format::Json, json!([{"p": 1, "c": "C", "r": "R"}]).to_string(), &dpo);
    assert_eq!(problems(&report), [(1, Some("p"), RowProblem::NotAString)]);

    let grpo = of(Fields::Grpo { prompt: "p".into(), extra: Some("x".into()) });
    let rows = json!([
        {"p": "P", "x": {"b": [1, 2.5], "a": null}},
        {"p": "P", "x": "{\"answer\": 42}"},
        {"p": "P", "x": null},
        {"p": "P"},
    ]);
    assert_eq!(
        read(Format::Json, rows.to_string(), &grpo),
        [
            r#"{"extra_data":{"a":null,"b":[1,2.5]},"prompt":"P"}"#,
            r#"{"extra_data":{"answer":42},"prompt":"P"}"#,
            r#"{"prompt":"P"}"#,
            r#"{"prompt":"P"}"#,
        ]
    );
    let report =
        refused(Format::Json, json!([{"p": "", "x": 1}, {"p": "P", "x": "no JSON"}]).to_string(), &grpo);
    assert_eq!(
        problems(&report),
        [(1, Some("p"), RowProblem::Empty), (2, Some("x"), RowProblem::NotJson { byte: 2 })]
    );
}

#[test]
fn groups_come_from_any_column() {
    let grouped = Mapping { group_columns: vec!["customer".into()], ..instruct() };
    assert_eq!(read(Format::Csv, "q,a,s,customer\nQ,A,,c1\n", &grouped).len(), 1);
    let report = refused(Format::Csv, "q,a,s\nQ,A,\n", &grouped);
    assert_eq!(problems(&report), [(1, Some("customer"), RowProblem::Missing)]);
    let report = refused(Format::Json, json!([{"q": "Q", "a": "A"}]).to_string(), &grouped);
    assert_eq!(problems(&report), [(1, Some("customer"), RowProblem::Missing)]);
}

#[test]
fn every_row_to_mend_is_told_and_none_is_sealed() {
    let table = "q,a,s\nQ,,\nQ,A,\nQ\nQ,A,S,more\n\"two\nlines\",A,\n,A,\n";
    let report = refused(Format::Csv, table, &instruct());
    assert_eq!(
        problems(&report),
        [
            (2, Some("a"), RowProblem::Empty),
            (4, None, RowProblem::Ragged { expected: 3, got: 1 }),
            (5, None, RowProblem::Ragged { expected: 3, got: 4 }),
            (8, Some("q"), RowProblem::Empty),
        ]
    );
    assert_eq!((report.source_rows, report.kept, report.refused, report.stopped), (6, 2, 4, false));
    let told = report.to_string();
    assert!(told.starts_with("E_ROW: row 2, column a: the column is empty\n  fill the column"), "{told}");
    assert!(told.ends_with("and 3 more rows to mend"), "{told}");
    assert!(report.problems.iter().all(|row| !row.problem.fix().is_empty()));

    let many: String = (0..PROBLEMS_LISTED + 50).map(|_| "{\"q\":\"\"}\n").collect();
    let report = refused(Format::Jsonl, many, &instruct());
    assert_eq!((report.problems.len(), report.refused), (PROBLEMS_LISTED, PROBLEMS_LISTED as u64 + 50));
}

#[test]
fn tables_that_are_none() {
    for (table, number, column, problem) in [
        ("q,a,a,s\nQ,A,A,\n", 1, Some("a"), RowProblem::DuplicateColumn),
        ("q,a\nQ,A\n", 1, Some("s"), RowProblem::Missing),
        ("q;a;s\nQ;A;\n", 1, Some("q"), RowProblem::Missing),
        ("", 1, None, RowProblem::NoHeader),
        ("\n\n", 1, None, RowProblem::NoHeader),
    ] {
        let report = refused(Format::Csv, table, &instruct());
        assert_eq!(problems(&report), [(number, column, problem)], "{table:?}");
        assert!(report.stopped);
    }
    let report = refused(Format::Csv, "\"x\n  y\u{1b}\",\"x\n  y\u{1b}\",q,a,s\n", &instruct());
    assert!(report.to_string().starts_with("E_ROW: row 1, column x\u{fffd}  y\u{fffd}: "), "{report}");
    let report = refused(Format::Csv, b"q,a,s\nQ,\xff,\nQ,A,\n", &instruct());
    assert_eq!(problems(&report), [(2, None, RowProblem::NotUtf8)]);
    let report = refused(Format::Csv, b"q,a,\xff\nQ,A,\n", &instruct());
    assert_eq!(problems(&report), [(1, None, RowProblem::NotUtf8)]);
}

#[test]
fn arrays_that_are_none() {
    let row = r#"{"q":"Q","a":"A"}"#;
    for (source, number, problem) in [
        (row.to_owned(), 1, RowProblem::NotAnArray),
        ("null".into(), 1, RowProblem::NotAnArray),
        ("\"x\"".into(), 1, RowProblem::NotAnArray),
        ("7".into(), 1, RowProblem::NotAnArray),
        (format!("[{row},{{\"q\":1,\"q\":2}}]"), 2, RowProblem::DuplicateKey),
        (format!("[{row},{{\"q\":18446744073709551616}}]"), 2, RowProblem::Number),
        (format!("[{row},{}]", "[".repeat(100)), 2, RowProblem::TooDeep),
    ] {
        let report = refused(Format::Json, &source, &instruct());
        assert_eq!(problems(&report), [(number, None, problem)], "{source}");
        assert!(report.stopped, "{source}");
    }
    for source in [
        "".to_owned(),
        "[".into(),
        format!("[{row}"),
        format!("[{row},]"),
        format!("[{row}] x"),
        format!("[{row}{row}]"),
        format!("[{row},nul]"),
        "\u{feff}\u{feff}[]".into(),
    ] {
        let report = refused(Format::Json, &source, &instruct());
        assert!(matches!(report.problems[0].problem, RowProblem::NotJson { .. }), "{source}: {report}");
        assert!(report.stopped);
    }
    // What is no object is told, and the rest is looked at.
    let report = refused(Format::Json, format!("[1,{row},[],{{}}]"), &instruct());
    assert_eq!(
        problems(&report),
        [
            (1, None, RowProblem::NotAnObject),
            (3, None, RowProblem::NotAnObject),
            (4, Some("q"), RowProblem::Missing),
        ]
    );
}

/// A source that never ends, behind some bytes.
struct Endless {
    begin: Vec<u8>,
    given: u64,
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        assert!(self.given < 3 * LINE_MAX_BYTES as u64, "read on beyond the limit");
        let take = self.begin.len().min(out.len());
        out[..take].copy_from_slice(&self.begin[..take]);
        self.begin.drain(..take);
        out[take..].fill(b'x');
        self.given += out.len() as u64;
        Ok(out.len())
    }
}

#[test]
fn a_record_without_an_end_is_not_read_to_its_end() {
    for (format, begin) in [
        (Format::Csv, "q,a,s\n\"an open quote"),
        (Format::Csv, "an endless header"),
        (Format::Json, "[{\"q\":\"an open string"),
        (Format::Jsonl, "an endless line"),
    ] {
        let source = BufReader::new(Endless { begin: begin.into(), given: 0 });
        let report = read_rows(format, source, &instruct()).err().unwrap();
        let last = report.problems.last().unwrap();
        assert_eq!(last.problem, RowProblem::LineTooLong, "{format:?} {begin}");
        assert!(report.stopped);
    }
}

#[test]
fn what_can_t_be_read_is_told() {
    struct Broken(bool);
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
    }
    impl BufRead for Broken {
        fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
            match std::mem::replace(&mut self.0, true) {
                false => Ok(b"[{\"q\":\"Q\",\"a\":\"A\"},"),
                true => Err(std::io::ErrorKind::ConnectionReset.into()),
            }
        }
        fn consume(&mut self, _: usize) {}
    }
    for format in [Format::Jsonl, Format::Json, Format::Csv] {
        let report = read_rows(format, Broken(false), &instruct()).err().unwrap();
        let last = report.problems.last().unwrap();
        assert_eq!(last.problem, RowProblem::Io(std::io::ErrorKind::ConnectionReset), "{format:?}");
    }
}

#[test]
fn no_report_holds_a_value() {
    let canary = "CANARY-4711";
    for (format, source) in [
        (Format::Csv, format!("q,a,s\n{canary},,\n{canary}\n")),
        (Format::Csv, format!("q,a,{canary}\nQ,A,\n")),
        (Format::Json, format!("[{{\"q\":\"{canary}\"}}]")),
        (Format::Json, format!("[{{\"{canary}\":1,\"{canary}\":2}}]")),
        (Format::Json, format!("{{\"{canary}\":1}}")),
        (Format::Json, format!("[{canary}]")),
    ] {
        let report = refused(format, &source, &instruct());
        let told = format!("{report} {report:?} {}", serde_json::to_string(&report).unwrap());
        assert!(!told.contains("CANARY"), "{told}");
    }
}
