//! The table of ARCHITECTURE.md, asserted over `cargo metadata` and over the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

use table::{LAYERS, NEVER};

#[path = "layering/table.rs"]
mod table;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Types that hold or open a data, code or record key.
const KEY_TYPES: &[&str] = &[
    "Dek",
    "Kek",
    "Opener",
    "HpkeSecret",
    "KeyFile",
    "WrappedKey",
    "NoteKey",
    "RefereeKeys",
    "Ed25519KeyPair",
    "EcdsaKeyPair",
    "RsaKeyPair",
    "LessSafeKey",
    "UnboundKey",
    "SealingKey",
    "OpeningKey",
];

/// Names of the simulator's library.
const MINT_API: &[&str] =
    &["tiltyard_simulator", "SimulatedPlatform", "mint_evidence", "mint_edited", "ReportFields", "sign_raw"];

fn metadata() -> &'static Metadata {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    METADATA.get_or_init(|| {
        let host = ["--filter-platform".to_owned(), "x86_64-unknown-linux-gnu".to_owned()];
        let mut command = MetadataCommand::new();
        command
            .manifest_path(Path::new(ROOT).join("Cargo.toml"))
            .other_options(host)
            .exec()
            .expect("metadata")
    })
}

fn ours() -> BTreeMap<&'static str, &'static PackageId> {
    metadata().workspace_packages().into_iter().map(|package| (package.name.as_str(), &package.id)).collect()
}

fn name_of(id: &PackageId) -> &'static str {
    metadata()[id].name.as_str()
}

/// Direct dependencies over edges of one of `kinds`.
fn direct(id: &PackageId, kinds: &[DependencyKind]) -> Vec<&'static PackageId> {
    let resolve = metadata().resolve.as_ref().expect("resolved graph");
    let node = resolve.nodes.iter().find(|node| node.id == *id).expect("node");
    (node.deps.iter())
        .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kinds.contains(&kind.kind)))
        .map(|dependency| &dependency.pkg)
        .collect()
}

/// Everything that is linked, with the path that leads there.
fn reached(package: &str) -> BTreeMap<&'static str, String> {
    let start = ours()[package];
    let mut paths = BTreeMap::from([(start, package.to_owned())]);
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        for next in direct(id, &[DependencyKind::Normal]) {
            if !paths.contains_key(next) {
                paths.insert(next, format!("{} -> {}", paths[id], name_of(next)));
                open.push(next);
            }
        }
    }
    paths.into_iter().map(|(id, path)| (name_of(id), path)).collect()
}

fn matches(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(family) => name.starts_with(family),
        None => name == pattern,
    }
}

#[test]
fn the_workspace_has_exactly_the_packages_of_the_table() {
    let mut expected: BTreeSet<_> = LAYERS.iter().map(|(name, _, _)| *name).collect();
    expected.insert("tiltyard-tests");
    assert_eq!(ours().into_keys().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn each_package_builds_only_on_its_row_of_the_table() {
    let ours = ours();
    for (package, _, allowed) in LAYERS {
        let linked: BTreeSet<_> = direct(ours[package], &[DependencyKind::Normal, DependencyKind::Build])
            .into_iter()
            .map(name_of)
            .filter(|name| ours.contains_key(name))
            .collect();
        let beyond: Vec<_> = linked.iter().filter(|name| !allowed.contains(name)).collect();
        assert!(beyond.is_empty(), "{package} builds on {beyond:?}");
        // Its own tests see no more of us than it does, but itself with other features.
        for name in direct(ours[package], &[DependencyKind::Development]).into_iter().map(name_of) {
            let fine = !ours.contains_key(name) || name == *package || allowed.contains(&name);
            assert!(fine, "tests of {package} depend on {name}");
        }
    }
}

#[test]
fn nothing_depends_on_the_tests() {
    let (ours, kinds) =
        (ours(), [DependencyKind::Normal, DependencyKind::Build, DependencyKind::Development]);
    for (package, _, _) in LAYERS {
        assert!(
            direct(ours[package], &kinds).into_iter().all(|id| name_of(id) != "tiltyard-tests"),
            "{package}"
        );
    }
}

#[test]
fn no_package_reaches_what_the_table_forbids() {
    let mut found = Vec::new();
    for (package, families) in NEVER {
        let forbidden: Vec<_> = families.iter().flat_map(|family| family.packages.iter()).collect();
        for (name, path) in reached(package) {
            if forbidden.iter().any(|pattern| matches(name, pattern)) {
                found.push(path);
            }
        }
    }
    assert!(found.is_empty(), "forbidden dependencies:\n  {}", found.join("\n  "));
}

#[test]
fn the_search_finds_what_is_there() {
    // Positive control: the same walk does find tokio and candle where they belong.
    let enclave = reached("tiltyard-enclave");
    for name in ["tokio", "candle-core", "rustls", "tiltyard-training"] {
        assert!(enclave.contains_key(name), "{name}");
    }
    assert!(reached("tiltyard-broker").contains_key("tokio"));
    assert!(reached("tiltyard-audit").contains_key("tiltyard-attestation"));
}

#[test]
fn only_training_names_candle() {
    let ours = ours();
    for (package, id) in &ours {
        let linked = direct(id, &[DependencyKind::Normal, DependencyKind::Build]);
        let candle = linked.into_iter().map(name_of).any(|name| matches(name, "candle-*"));
        assert_eq!(candle, *package == "tiltyard-training", "{package}");
    }
}

#[test]
fn the_hosts_sources_name_no_key_holding_type() {
    // The program; its tests play referees, which do have keys.
    let hits = names_in(&source_files("host/src"), KEY_TYPES);
    assert!(hits.is_empty(), "the host names key-holding types:\n  {}", hits.join("\n  "));
    // Positive control: the guest does hold keys, and the same search sees it.
    assert!(!names_in(&source_files("enclave"), KEY_TYPES).is_empty());
}

#[test]
fn nothing_outside_the_tests_mentions_the_mint() {
    let product: Vec<_> = LAYERS.iter().flat_map(|(_, folder, _)| source_files(folder)).collect();
    let hits = names_in(&product, MINT_API);
    assert!(hits.is_empty(), "product code names the simulator's library:\n  {}", hits.join("\n  "));
    assert!(!names_in(&source_files("tests"), MINT_API).is_empty());
}

#[test]
fn pure_packages_name_no_socket_clock_or_environment() {
    let ambient = ["SystemTime", "Instant", "TcpStream", "UdpSocket", "UnixStream", "SystemRandom"];
    let paths = ["std::net", "std::env", "std::process", "std::fs", "std::thread"];
    for folder in ["attestation/src", "enclave/tournament/src"] {
        let files = source_files(folder);
        assert!(!files.is_empty(), "{folder}");
        let mut hits = names_in(&files, &ambient);
        for file in &files {
            let text = product_code(file);
            hits.extend(paths.iter().filter(|path| text.contains(**path)).map(|path| hit(file, path)));
        }
        assert!(hits.is_empty(), "{folder} is not pure:\n  {}", hits.join("\n  "));
    }
}

/// Every `.rs` file under a folder of the repository, build outputs apart.
fn source_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(ROOT).join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("entry").path();
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A file's text without its unit tests, which stand last.
fn product_code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("source");
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// Each use of one of `names` as a whole identifier, outside comments.
fn names_in(files: &[PathBuf], names: &[&str]) -> Vec<String> {
    let mut hits = Vec::new();
    for file in files {
        for line in product_code(file).lines() {
            let code = line.split("//").next().unwrap_or_default();
            let words = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            hits.extend(words.filter(|word| names.contains(word)).map(|word| hit(file, word)));
        }
    }
    hits
}

fn hit(file: &Path, word: &str) -> String {
    let shown = file.strip_prefix(ROOT).unwrap_or(file);
    format!("{}: {word}", shown.display())
}
