//! SEV-SNP.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use tiltyard_attestation::policy::Level;
use tiltyard_attestation::result::SigningKey;
use tiltyard_simulator::hostile::snp::{Base, Lab, variants};

use crate::table::{LEVELS, NOW, findings};

fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| {
        let cache = Path::new(option_env!("CARGO_TARGET_TMPDIR").unwrap_or("target/tmp"));
        Lab::from_seed(&[0x5a; 32], Some(cache), NOW).expect("keys")
    })
}

#[test]
fn every_base_passes_at_its_levels() {
    for base in Base::ALL {
        let draft = base.draft(lab()).expect("draft");
        let set = lab().issue(&draft).expect("signed");
        for level in LEVELS.into_iter().filter(|level| *level <= base.highest()) {
            assert_eq!(findings(&set, level), BTreeSet::new(), "{base:?} at {level:?}");
        }
    }
}

#[test]
fn every_attack_gets_its_check_and_code_and_no_other() {
    let mut wrong = Vec::new();
    for variant in variants() {
        let set = variant.set(lab()).expect("signed");
        // Above the base's own levels there is more to refuse.
        let highest = variant.level.max(variant.base.highest());
        for level in LEVELS.into_iter().filter(|level| *level <= highest) {
            let (expected, found) = (variant.findings(level), findings(&set, level));
            if found != expected {
                wrong.push(format!("{} at {level:?}: expected {expected:?}, found {found:?}", variant.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_version_product_and_key_is_minted_and_read() {
    for base in Base::ALL {
        for version in 2..=5 {
            for endorsement in [SigningKey::Vcek, SigningKey::Vlek] {
                let mut draft = base.draft(lab()).expect("draft");
                draft.report.version = version;
                draft.endorsement = endorsement;
                if endorsement == SigningKey::Vlek {
                    (draft.report.key_info, draft.report.chip_id) = (1 << 2, [0; 64]);
                    draft.expected.platforms.clear();
                }
                let what = format!("{base:?} {version} {endorsement:?}");
                let set = lab().issue(&draft).expect("signed");
                let accepted = set.appraise(Level::Lab).expect("policy");
                let accepted = accepted.unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
                let facts = accepted.cpu().snp().expect("SNP");
                assert_eq!((facts.report_version, facts.signing_key), (version, endorsement), "{what}");
                assert_eq!(facts.product, base.product(), "{what}");
            }
        }
    }
}
