//! Which interface a guest takes.

use std::fs;
use std::os::unix::fs::symlink;

use tiltyard_enclave::collect::{CollectError, Collector};

use crate::kernel::{Machine, Script, report};

#[test]
fn no_interface_is_named_with_everything_that_was_looked_for() {
    let machine = Machine::new();
    let error = Collector::find(machine.places()).unwrap_err();
    let CollectError::Absent { looked_for, .. } = &error else { panic!("{error}") };
    for place in ["tsm", "configfs", "sev-guest"] {
        assert!(looked_for.contains(machine.at(place).to_str().unwrap()), "{looked_for}");
    }
    assert!(error.to_string().contains("TSM_REPORTS"), "{error}");
}

#[test]
fn configfs_comes_before_the_device() {
    let machine = Machine::new();
    fs::write(machine.at("sev-guest"), b"").unwrap();
    machine.reader("exit 9");
    machine.serves(vec![Script::snp(report(1), Vec::new())]);
    machine.collect().unwrap();
}

#[test]
fn the_device_is_read_where_there_is_no_configfs() {
    let machine = Machine::new();
    fs::write(machine.at("sev-guest"), b"").unwrap();
    machine.reader("exit 9");
    let error = machine.collect().unwrap_err();
    assert!(matches!(error, CollectError::Reader { device: "/dev/sev-guest", .. }), "{error}");
}

#[test]
fn a_root_that_is_a_link_or_a_file_is_refused() {
    let machine = Machine::new();
    fs::create_dir(machine.at("elsewhere")).unwrap();
    symlink(machine.at("elsewhere"), machine.at("tsm")).unwrap();
    let error = Collector::find(machine.places()).unwrap_err();
    assert!(matches!(error, CollectError::Redirected { what: "report interface" }), "{error}");
    // A link that leads nowhere is no reason to look elsewhere either.
    fs::remove_dir(machine.at("elsewhere")).unwrap();
    assert!(matches!(Collector::find(machine.places()), Err(CollectError::Redirected { .. })));

    let machine = Machine::new();
    fs::write(machine.at("tsm"), b"").unwrap();
    assert!(matches!(Collector::find(machine.places()), Err(CollectError::Io { .. })));
}
