//! Every attack on what binds a CPU and its devices, on a guest of each CPU. One test a check, named for its id.

use std::iter;

use tiltyard_attestation::CheckId;
use tiltyard_attestation::policy::Level;
use tiltyard_simulator::hostile::composite::{Cpu, variants};

use crate::{findings, lab};

/// Every attack that this check must refuse: at `lab` on each CPU, and on one of them in turn at the highest level that
/// would accept it.
fn refused_by(check: CheckId) {
    let rows: Vec<_> = variants().filter(|variant| variant.check == check).collect();
    assert!(!rows.is_empty(), "{check}: no attack");
    let mut wrong = Vec::new();
    for (at, variant) in rows.into_iter().enumerate() {
        for (place, cpu) in Cpu::ALL.into_iter().enumerate() {
            let set = variant.set(lab(), cpu).expect("signed");
            let in_turn = at % Cpu::ALL.len() == place;
            for level in iter::once(Level::Lab).chain(in_turn.then(|| cpu.highest())) {
                let (mut expected, found) = (variant.findings(level), findings(&set, level));
                // That these roots are nobody's is what every set shows above `lab`.
                if level > Level::Lab {
                    expected.retain(|(check, _)| *check != CheckId::Pol02);
                }
                if found != expected {
                    let name = variant.name;
                    wrong.push(format!(
                        "{name}, {cpu:?} at {level:?}: expected {expected:?}, found {found:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

macro_rules! attacked {
    ($(fn $name:ident = $check:ident;)*) => {
        $(#[test] fn $name() { refused_by(CheckId::$check); })*

        /// Checks that have a test of their own here.
        pub(crate) const ATTACKED: &[CheckId] = &[$(CheckId::$check),*];
    };
}

attacked! {
    fn evd_01_more_devices_than_any_guest_has = Evd01;
    fn evd_02_the_other_vendors_cpu = Evd02;
    fn bnd_01_nonce_of_another_challenge = Bnd01;
    fn bnd_02_late_answer = Bnd02;
    fn bnd_03_runtime_document_edited = Bnd03;
    fn bnd_05_one_device_of_an_earlier_challenge = Bnd05;
    fn bnd_06_other_devices_than_the_statement_covers = Bnd06;
    fn bnd_07_another_guests_keys_role_or_order = Bnd07;
    fn bnd_08_launched_for_something_else = Bnd08;
    fn bnd_10_facts_of_another_boot_or_none = Bnd10;
    fn chn_01_no_channel = Chn01;
    fn pol_01_unlisted_backend = Pol01;
    fn pol_02_unnamed_roots = Pol02;
    fn gpu_01_a_switch_in_a_gpus_place = Gpu01;
    fn gpu_04_all_devices_of_another_guest_or_challenge = Gpu04;
    fn gpu_07_driver_below_the_floor = Gpu07;
    fn gpu_08_one_device_on_hold = Gpu08;
    fn gpu_09_a_manifest_missing = Gpu09;
    fn gpu_10_one_device_measures_something_else = Gpu10;
    fn gpu_13_one_device_without_protection = Gpu13;
    fn gpu_14_one_device_in_another_mode = Gpu14;
    fn gpu_15_one_device_twice_or_held_elsewhere = Gpu15;
    fn gpu_16_one_device_unlisted_or_revoked = Gpu16;
    fn gpu_17_counts_that_differ = Gpu17;
    fn gpu_18_devices_that_are_no_fabric = Gpu18;
}
