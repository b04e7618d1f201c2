//! README, ARCHITECTURE and SECURITY against the tree: what they name is there, what they count is so many.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use layering_table::{LAYERS, NEVER};
use tiltyard_audit::LIMITS;

#[path = "layering/table.rs"]
mod layering_table;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const DOCUMENTS: [&str; 4] = ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"];
const README_LINES_MAX: usize = 60;
const ARCHITECTURE_LINES_MAX: usize = 200;
/// Groups of rows and how many each has; numbers are never reused.
const ROWS: [(&str, usize); 13] = [
    ("C", 5),
    ("N", 3),
    ("G", 9),
    ("T", 11),
    ("S", 2),
    ("L", 10),
    ("P", 10),
    ("ST", 9),
    ("E", 12),
    ("O", 4),
    ("A", 3),
    ("I", 9),
    ("PR", 22),
];

/// One table of a document.
struct Table {
    heading: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// What stands in the column `Test`.
#[derive(Debug, PartialEq)]
struct Enforced {
    tests: Vec<String>,
    pending: Option<String>,
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn tables(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let (mut heading, mut inside) = (String::new(), false);
    for line in text.lines() {
        if let Some(title) = line.strip_prefix('#') {
            title.trim_start_matches('#').trim().clone_into(&mut heading);
        }
        match (line.starts_with('|'), inside) {
            (true, false) => {
                tables.push(Table { heading: heading.clone(), header: cells(line), rows: Vec::new() })
            }
            (true, true) if !line.starts_with("|---") => tables.last_mut().unwrap().rows.push(cells(line)),
            _ => {}
        }
        inside = line.starts_with('|');
    }
    tables
}

/// Words between backquotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Reads one cell: names of tests, then `pending: <reason>`, at least one of the two.
fn enforced(cell: &str) -> Result<Enforced, String> {
    let (tests, pending) = match cell.split_once("pending:") {
        Some((tests, reason)) if reason.trim().is_empty() => {
            return Err(format!("`pending:` without a reason after {tests:?}"));
        }
        Some((tests, reason)) => (quoted(tests), Some(reason.trim().to_owned())),
        None => (quoted(cell), None),
    };
    if tests.is_empty() && pending.is_none() {
        return Err(format!("neither a test nor `pending: <reason>`: {cell:?}"));
    }
    Ok(Enforced { tests, pending })
}

/// Every row of SECURITY.md that must be enforced: its id, and by what.
fn enforced_rows(text: &str) -> Vec<(String, Result<Enforced, String>)> {
    let checked = tables(text).into_iter().filter(|table| table.header.last().is_some_and(|h| h == "Test"));
    checked.flat_map(|table| table.rows).map(|row| (row[0].clone(), enforced(row.last().unwrap()))).collect()
}

fn source_files(folder: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![Path::new(ROOT).join(folder)]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                open.push(path);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    found
}

/// Names of the functions that run as tests: marked so, and not ignored.
fn tests_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut marked, mut ignored) = (false, false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if line.starts_with("#[ignore") {
            ignored = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| marked) {
            if !ignored {
                found.push(rest.split(['(', '<']).next().unwrap_or_default().to_owned());
            }
            (marked, ignored) = (false, false);
        }
    }
    found
}

fn tests_of_the_tree() -> BTreeSet<String> {
    source_files("").iter().flat_map(|file| tests_in(&fs::read_to_string(file).unwrap())).collect()
}

#[test]
fn every_row_of_security_names_a_test_that_exists_or_why_there_is_none() {
    let known = tests_of_the_tree();
    let mut wrong = Vec::new();
    for (id, row) in enforced_rows(&read("SECURITY.md")) {
        match row {
            Err(why) => wrong.push(format!("{id}: {why}")),
            Ok(row) => {
                let absent = row.tests.iter().filter(|name| !known.contains(*name));
                wrong.extend(absent.map(|name| format!("{id}: no test is called {name}")));
            }
        }
    }
    assert!(wrong.is_empty(), "SECURITY.md:\n  {}", wrong.join("\n  "));
}

#[test]
fn pending_rows_are_counted_and_printed() {
    let text = read("SECURITY.md");
    let rows = enforced_rows(&text);
    let (mut shown, mut in_part, mut pending) = (0, 0, 0);
    for (id, row) in &rows {
        let row = row.as_ref().unwrap();
        match (&row.pending, row.tests.is_empty()) {
            (None, _) => shown += 1,
            (Some(why), false) => {
                in_part += 1;
                println!("in part {id}: {why}");
            }
            (Some(why), true) => {
                pending += 1;
                println!("pending {id}: {why}");
            }
        }
    }
    let count = format!("{} rows: {shown} tested, {in_part} tested in part, {pending} pending.", rows.len());
    println!("{count}");
    assert!(text.contains(&count), "SECURITY.md must say:\n  {count}");
}

#[test]
fn every_attack_and_promise_has_one_row_under_its_own_number() {
    let expected: Vec<String> = ROWS
        .iter()
        .flat_map(|(group, rows)| (1..=*rows).map(move |number| format!("{group}{number}")))
        .collect();
    let mut found: Vec<String> = enforced_rows(&read("SECURITY.md")).into_iter().map(|(id, _)| id).collect();
    let order = |id: &String| expected.iter().position(|known| known == id);
    found.sort_by_key(order);
    assert_eq!(found, expected);
}

#[test]
fn a_row_that_names_nothing_or_the_wrong_thing_is_found() {
    assert!(enforced("").is_err());
    assert!(enforced("soon").is_err());
    assert!(enforced("pending:").is_err());
    assert!(enforced("`a_test`; pending: ").is_err());
    let both = enforced("`a_test`, `b_test`; pending: the `GPU` part").unwrap();
    assert_eq!((both.tests.len(), both.pending.as_deref()), (2, Some("the `GPU` part")));
    let tree = "#[test]\nfn runs() {}\n#[test]\n#[ignore]\nfn sleeps() {}\nfn helper() {}\n";
    assert_eq!(tests_in(tree), ["runs"]);
    let known = tests_of_the_tree();
    assert!(known.contains("a_row_that_names_nothing_or_the_wrong_thing_is_found"));
    assert!(!known.contains("tests_of_the_tree"));
    let text =
        "# A\n| Id | Test |\n|---|---|\n| X1 | `no_such_test` |\n\n| Id | Note |\n|---|---|\n| Y1 | |\n";
    let rows = enforced_rows(text);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].0, "X1");
    assert!(!known.contains(&rows[0].1.as_ref().unwrap().tests[0]));
}

#[test]
fn the_limits_in_security_are_those_of_every_audit_report() {
    let tables = tables(&read("SECURITY.md"));
    let limits = tables.iter().find(|table| table.heading.contains("does not mean")).unwrap();
    let found: Vec<[&str; 3]> =
        limits.rows.iter().map(|row| [row[0].as_str(), row[1].as_str(), row[2].as_str()]).collect();
    let expected: Vec<[&str; 3]> = LIMITS.iter().map(|limit| [limit.id, limit.open, limit.instead]).collect();
    assert_eq!(found, expected);
}

/// Domain tags that a source file hashes or signs under: string literals, and the kinds of signed statements.
fn tags_in(text: &str) -> Vec<String> {
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for line in product.lines().map(|line| line.split("//").next().unwrap_or_default()) {
        for literal in line.split('"').skip(1).step_by(2) {
            let tag = literal.trim_end_matches("\\0");
            let ours = ["tiltyard-", "tiltyard/", "EXPORTER-tiltyard-"].iter().any(|p| tag.starts_with(p));
            let versioned = ["-v1", "/v1", "/1"].iter().any(|end| tag.ends_with(end));
            if ours && versioned && !tag.contains('{') {
                found.push(tag.to_owned());
            }
            if line.contains("const KIND: &'static str") {
                found.push(format!("tiltyard-{literal}-v1"));
            }
        }
    }
    found
}

#[test]
fn every_domain_tag_of_the_sources_is_in_security_and_no_other() {
    let mut used = BTreeSet::new();
    for (_, folder, _) in LAYERS {
        for file in source_files(folder) {
            // Tests write tags out by hand, to hold the code against them.
            let inner = file.strip_prefix(ROOT).unwrap();
            if !inner.components().any(|part| part.as_os_str() == "tests") {
                used.extend(tags_in(&fs::read_to_string(file).unwrap()));
            }
        }
    }
    assert!(used.len() > 20, "{used:?}");
    let tables = tables(&read("SECURITY.md"));
    let table = tables.iter().find(|table| table.header[0] == "Tag").unwrap();
    let listed: Vec<String> = table.rows.iter().flat_map(|row| quoted(&row[0])).collect();
    let once: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "a tag stands twice");
    assert_eq!(once, used);
}

#[test]
fn the_layering_table_of_architecture_is_the_asserted_one() {
    let short = |name: &str| name.trim_start_matches("tiltyard-").to_owned();
    let listed = |names: Vec<String>| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    let mut expected: Vec<Vec<String>> = LAYERS
        .iter()
        .map(|(package, folder, on)| {
            let never = NEVER.iter().find(|(name, _)| name == package).map_or(&[][..], |(_, groups)| groups);
            vec![
                short(package),
                format!("`{folder}/`"),
                listed(on.iter().map(|name| short(name)).collect()),
                listed(never.iter().map(|group| group.name.to_owned()).collect()),
            ]
        })
        .collect();
    expected.push(["tests", "`tests/`", "any", "being built on"].map(str::to_owned).to_vec());
    let tables = tables(&read("ARCHITECTURE.md"));
    let table = tables.iter().find(|table| table.header[0] == "Package").unwrap();
    assert_eq!(table.rows, expected);
    // The groups are explained by the packages that stand for them.
    for group in NEVER.iter().flat_map(|(_, groups)| groups.iter()) {
        assert!(read("ARCHITECTURE.md").contains(&format!("*{}*", group.name)), "{}", group.name);
    }
}

#[test]
fn readme_is_one_screen_with_both_commands() {
    let text = read("README.md");
    assert!(text.lines().count() <= README_LINES_MAX, "{} lines", text.lines().count());
    let makefile = read("Makefile");
    for command in ["demo", "test"] {
        assert!(text.lines().any(|line| line.trim().starts_with(&format!("make {command}"))), "{command}");
        assert!(makefile.contains(&format!("\n{command}:")), "{command}");
    }
    for said in ["not verified on hardware", "NOT A VENDOR ROOT", "target/demo"] {
        assert!(text.to_lowercase().contains(&said.to_lowercase()), "{said}");
    }
    assert!(read("ARCHITECTURE.md").lines().count() <= ARCHITECTURE_LINES_MAX);
}

#[test]
fn files_that_documents_point_at_are_there() {
    let mut links = 0;
    for document in DOCUMENTS {
        for target in read(document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            assert!(path.is_empty() || Path::new(ROOT).join(path).exists(), "{document}: {target}");
            links += 1;
        }
    }
    assert!(links > 0);
}
