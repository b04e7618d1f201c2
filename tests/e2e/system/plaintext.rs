//! The host never holds plaintext: words planted in the rows are nowhere in its memory, files, logs or answers.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tiltyard_provisioning::keyid::Split;

use crate::canaries::{CANARIES, Needles};
use crate::owner::{Owner, charter};
use crate::processes;
use crate::scenario;
use crate::whole::{Whole, whole};

#[test]
fn no_canary_of_the_rows_is_in_the_hosts_files_logs_and_answers() {
    let _turn = scenario::turn();
    let Some(whole) = whole() else { return };
    let needles = Needles::new(&whole.canaries);
    let layout = &whole.layout;
    let mut files = 0;
    // State directory (objects, log, journal, guests), what it was given, what all services printed, the bundle.
    for place in [
        layout.host(),
        layout.objects(),
        layout.logs(),
        layout.events(),
        layout.path("bundle.tar"),
        layout.path("standings.html"),
        layout.path("roll.json"),
        layout.path("charter.dsse.json"),
    ] {
        let searched = needles.find_below(&place);
        assert_eq!(searched.found, [], "{}", place.display());
        assert!(searched.files > 0 || place == layout.logs(), "{}: nothing there", place.display());
        println!("{:7} files, {:11} bytes: {}", searched.files, searched.bytes, place.display());
        files += searched.files;
    }
    assert!(files > 30, "{files}");
    for (path, answer) in &whole.seen.answers {
        assert!(needles.find(&answer.body).is_empty(), "{path}");
    }
    let second = &whole.seen.second_agent.0;
    assert!(needles.find(&[&second.stdout[..], &second.stderr].concat()).is_empty());
}

#[test]
fn no_canary_is_in_the_memory_of_the_hosts_processes() {
    let _turn = scenario::turn();
    let Some(whole) = whole() else { return };
    let memory = match &whole.seen.memory {
        Ok(memory) => memory,
        Err(error) => {
            eprintln!(
                "SKIPPED: memory of the host's processes: {error}: this user may not trace its own children"
            );
            return;
        }
    };
    assert_eq!(memory.len(), 4);
    for (name, searched) in memory {
        println!("{:11} bytes of memory: {name}", searched.bytes);
        assert!(searched.bytes > 1 << 20, "{name}: {searched:?}");
        assert_eq!(searched.found, [] as [String; 0], "{name}");
    }
    // The same search where they must be: this process drew them.
    let own = processes::search_memory(std::process::id(), &Needles::new(&whole.canaries)).unwrap();
    assert_eq!(raw_words(&own.found), CANARIES);
}

#[test]
fn the_search_finds_what_is_there() {
    let _turn = scenario::turn();
    let Some(whole) = whole() else { return };
    let needles = Needles::new(&whole.canaries);
    let sources = needles.find_below(&whole.folder.path().join("rows"));
    for source in &whole.layout.scenario().datasets {
        let here: Vec<String> = sources
            .found
            .iter()
            .filter(|(path, _)| *path == source.path)
            .map(|(_, what)| what.clone())
            .collect();
        assert_eq!(raw_words(&here), CANARIES, "{}", source.id);
    }
    both_splits_hold_canaries(whole, &needles);

    let control = whole.folder.path().join("control");
    fs::create_dir_all(&control).unwrap();
    for (index, canary) in whole.canaries.iter().enumerate() {
        for (form, text) in planted(canary) {
            let file = control.join("planted");
            fs::write(&file, &text).unwrap();
            let found = needles.find_below(&control).found;
            let wanted = format!("canary {index}, {form}");
            assert!(found.iter().any(|(_, what)| what.starts_with(&wanted)), "{wanted}: {found:?}");
        }
    }
    let named = control.join(format!("name-{}", whole.canaries[0]));
    fs::write(&named, b"").unwrap();
    assert!(needles.find_below(&control).found.iter().any(|(path, _)| *path == named));
    assert!(needles.find_below(Path::new(env!("CARGO_MANIFEST_DIR"))).found.is_empty());
}

/// The words were on both sides of the split, in the tournament's own data.
fn both_splits_hold_canaries(whole: &Whole, needles: &Needles) {
    let owner = Owner::unlock(&whole.parties.owner);
    let charter = charter(&whole.agreed.envelope);
    for dataset in &whole.layout.scenario().datasets {
        for split in [Split::Train, Split::Test] {
            let opened = owner.open(&whole.layout, &charter, &dataset.id, split);
            let rows: Vec<u8> = opened.rows.iter().flat_map(|row| row.iter().copied()).collect();
            let here = raw_words(&needles.find(&rows).into_iter().collect::<Vec<_>>());
            // Thirty copies of each; a fifth of the rows is held out.
            assert!(here >= CANARIES - 2, "{} {split:?}: {here}", dataset.id);
        }
    }
}

/// Different canaries that were found as they are.
fn raw_words(found: &[String]) -> usize {
    found.iter().filter(|what| what.ends_with(", raw")).collect::<std::collections::BTreeSet<_>>().len()
}

/// A canary in the midst of other text, in every form that a program may leave it in.
fn planted(canary: &str) -> Vec<(&'static str, Vec<u8>)> {
    let text = |before: &str| format!("{before}{canary} and on");
    let hex = |upper: bool| {
        let digits = |byte: u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        text("a word: ").bytes().map(digits).collect::<String>().into_bytes()
    };
    let wide =
        |bytes: fn(u16) -> [u8; 2]| text("a word: ").encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    vec![
        ("raw", text("a word: ").into_bytes()),
        ("hex", hex(false)),
        ("HEX", hex(true)),
        ("UTF-16LE", wide(u16::to_le_bytes)),
        ("UTF-16BE", wide(u16::to_be_bytes)),
        ("base64, first", STANDARD.encode(text("abc")).into_bytes()),
        ("base64, second", STANDARD.encode(text("abcd")).into_bytes()),
        ("base64, third", STANDARD.encode(text("abcde")).into_bytes()),
    ]
}
