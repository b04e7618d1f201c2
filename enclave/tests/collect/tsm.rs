//! configfs-tsm: whose answer it is, from which driver, and how much of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::thread;
use std::time::Duration;

use tiltyard_attestation::evidence::CpuEvidence;
use tiltyard_enclave::collect::CollectError;

use crate::kernel::{ASKED, Attribute, Machine, REPORT_LEN, Script, report};

fn refused(script: Script) -> CollectError {
    let machine = Machine::new();
    machine.serves(vec![script]);
    machine.collect().unwrap_err()
}

/// An entry that somebody else used before or while we did.
fn raced(generations: [&'static str; 2]) -> Script {
    Script { generations, ..Script::snp(report(9), Vec::new()) }
}

#[test]
fn exactly_the_report_data_is_asked() {
    let machine = Machine::new();
    machine.serves(vec![Script::snp(report(1), Vec::new())]);
    machine.collect().unwrap();
    assert_eq!(fs::read(machine.at("tsm/entry-1/.asked")).unwrap(), ASKED.bytes());
}

#[test]
fn a_raced_answer_is_asked_for_again_in_a_new_entry() {
    let machine = Machine::new();
    machine.serves(vec![raced(["0\n", "2\n"]), raced(["1\n", "2\n"]), Script::snp(report(7), Vec::new())]);
    let CpuEvidence::Snp { report, .. } = machine.collect().unwrap().into_evidence() else { panic!("TDX") };
    assert_eq!(report.0[0xC0], 7, "the third answer, which nobody disturbed");
}

#[test]
fn a_third_race_is_the_last() {
    let machine = Machine::new();
    let last = Script::snp(report(7), Vec::new());
    machine.serves(vec![raced(["0\n", "2\n"]), raced(["0\n", "2\n"]), raced(["0\n", "3\n"]), last]);
    let error = machine.collect().unwrap_err();
    assert!(matches!(error, CollectError::Raced { expected: 1, got: 3 }), "{error}");
}

#[test]
fn an_entry_with_writes_that_are_not_ours_is_not_used() {
    let machine = Machine::new();
    machine.serves(vec![raced(["4\n", "5\n"]), raced(["4\n", "5\n"]), raced(["4\n", "5\n"])]);
    let error = machine.collect().unwrap_err();
    assert!(matches!(error, CollectError::Raced { expected: 0, got: 4 }), "{error}");
    // A write of ours that is not counted: the answer may be to an older question.
    let machine = Machine::new();
    machine.serves(vec![raced(["0\n", "0\n"]), raced(["0\n", "0\n"]), raced(["0\n", "0\n"])]);
    assert!(matches!(machine.collect(), Err(CollectError::Raced { expected: 1, got: 0 })));
}

#[test]
fn a_generation_that_is_no_number_is_refused() {
    for text in
        ["", "\n", "+0\n", "-0\n", "0 \n", "0\n\n", "0\0\n", "0x0\n", "18446744073709551616\n", "\u{660}\n"]
    {
        let error = refused(raced([text, "1\n"]));
        assert!(matches!(error, CollectError::Format { what: "generation", .. }), "{text:?}: {error}");
    }
}

#[test]
fn only_the_two_drivers_that_are_appraised_are_asked() {
    for name in ["arm_cca_guest\n", "sev_guest2\n", "SEV_GUEST\n", "tdx\n", "\n", ""] {
        let provider = Attribute::Holds(name.into());
        let error = refused(Script { provider, ..Script::snp(report(1), Vec::new()) });
        assert!(matches!(error, CollectError::Provider), "{name:?}: {error}");
    }
    for name in [
        "sev_guest\0\n",
        "sev_guest\0",
        "sev_guest\n\n",
        " sev_guest\n",
        "sev_guest\r\n",
        "\u{feff}sev_guest",
    ] {
        let provider = Attribute::Holds(name.into());
        let error = refused(Script { provider, ..Script::snp(report(1), Vec::new()) });
        assert!(matches!(error, CollectError::Format { what: "provider", .. }), "{name:?}: {error}");
    }
    let provider = Attribute::Holds(vec![b'a'; 65]);
    let error = refused(Script { provider, ..Script::snp(report(1), Vec::new()) });
    assert!(matches!(error, CollectError::TooLarge { what: "provider", limit: 64 }), "{error}");
}

#[test]
fn an_entry_that_no_driver_fills_ends_in_time() {
    let error = refused(Script { provider: Attribute::Absent, ..Script::snp(report(1), Vec::new()) });
    let CollectError::Io { step: "wait for provider", source } = error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn blobs_over_the_limit_are_not_kept() {
    let over = Attribute::Holds(vec![0; 32 * 1024 + 1]);
    let error = refused(Script { outblob: over.clone(), ..Script::snp(report(1), Vec::new()) });
    assert!(matches!(error, CollectError::TooLarge { what: "outblob", limit: 32768 }), "{error}");
    let error = refused(Script { auxblob: over, ..Script::snp(report(1), Vec::new()) });
    assert!(matches!(error, CollectError::TooLarge { what: "auxblob", limit: 32768 }), "{error}");
    // An endless one is cut off, not read to its end.
    let endless = Attribute::LinksTo("/dev/zero".into());
    let error = refused(Script { outblob: endless, ..Script::snp(report(1), Vec::new()) });
    assert!(matches!(error, CollectError::Redirected { what: "outblob" }), "{error}");
}

#[test]
fn a_report_has_one_length_and_answers_our_data() {
    for len in [0, 1, REPORT_LEN - 1, REPORT_LEN + 1, 4000] {
        let mut bytes = report(1);
        bytes.resize(len, 0);
        let error = refused(Script::snp(bytes, Vec::new()));
        let CollectError::Length { what: "SNP report", expected: 1184, got } = error else {
            panic!("{error}")
        };
        assert_eq!(got, len as u64);
    }
    for at in [0x50, 0x8F] {
        let mut bytes = report(1);
        bytes[at] ^= 1;
        let error = refused(Script::snp(bytes, Vec::new()));
        assert!(matches!(error, CollectError::NotOurs { what: "SNP report" }), "{error}");
    }
}

#[test]
fn attributes_that_lead_elsewhere_are_not_followed() {
    let machine = Machine::new();
    fs::write(machine.at("victim"), b"sev_guest\n").unwrap();
    let link = || Attribute::LinksTo(machine.at("victim"));
    let plain = || Script::snp(report(1), Vec::new());
    let cases = [
        ("provider", Script { provider: link(), ..plain() }),
        ("outblob", Script { outblob: link(), ..plain() }),
        ("auxblob", Script { auxblob: link(), ..plain() }),
    ];
    for (name, script) in cases {
        let error = refused(script);
        assert!(matches!(error, CollectError::Redirected { what } if what == name), "{name}: {error}");
    }
    assert_eq!(fs::read(machine.at("victim")).unwrap(), b"sev_guest\n", "nothing was written through a link");
}

#[test]
fn an_entry_that_becomes_a_link_is_refused() {
    let machine = Machine::new();
    let (root, elsewhere) = (machine.at("tsm"), machine.at("elsewhere"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("provider"), b"sev_guest\n").unwrap();
    let entry = root.join("entry-1");
    let swap = thread::spawn(move || {
        while fs::rename(&entry, entry.with_file_name("moved")).is_err() {
            thread::sleep(Duration::from_millis(1));
        }
        symlink(&elsewhere, &entry).unwrap();
    });
    let error = machine.collect().unwrap_err();
    swap.join().unwrap();
    assert!(matches!(error, CollectError::Redirected { what: "entry" }), "{error}");
}

#[test]
fn a_name_in_use_is_not_taken_over() {
    let machine = Machine::new();
    fs::create_dir_all(machine.at("tsm/entry-1")).unwrap();
    let error = machine.collect().unwrap_err();
    let CollectError::Io { step: "make an entry", source } = error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists);
}
