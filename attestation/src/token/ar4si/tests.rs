use std::collections::BTreeSet;

use super::*;
use crate::checks::{CHECKS, CheckId};

/// What no claim rests on by itself: form and binding, past which nothing of the evidence is believed at all, and roots,
/// which are the subject's own standing.
const GATES: [&str; 29] = [
    "EVD-01", "EVD-02", "BND-01", "BND-02", "BND-03", "BND-04", "BND-05", "BND-06", "BND-09", "BND-10",
    "CHN-01", "CHN-02", "POL-01", "POL-02", "SNP-01", "SNP-02", "SNP-03", "SNP-05", "TDX-01", "TDX-02",
    "TDX-03", "GPU-01", "GPU-02", "RIM-01", "RIM-02", "RIM-03", "RIM-04", "BND-07", "BND-08",
];
const PARTS: [(Part, Submod); 4] = [
    (Part::Snp, Submod::Cpu),
    (Part::Tdx, Submod::Cpu),
    (Part::Gpu, Submod::Gpu(3)),
    (Part::Switch, Submod::Switch(1)),
];

/// Every check of one part, and of what binds the parts, passed.
fn passed(part: Part, submod: Submod) -> Vec<CheckOutcome> {
    let outcome = |check: CheckId, submod: Submod| CheckOutcome {
        check,
        submod: submod.to_string(),
        verdict: Verdict::Pass,
        expected: String::new(),
        got: String::new(),
    };
    let covering = |part| CHECKS.iter().filter(move |row| row.id.covers(part));
    let envelope = covering(Part::Envelope).map(|row| outcome(row.id, Submod::Envelope));
    envelope.chain(covering(part).map(|row| outcome(row.id, submod))).collect()
}

fn subject<'a>(trace: &'a [CheckOutcome], part: Part, submod: Submod) -> Subject<'a> {
    Subject {
        trace,
        part,
        submod,
        hardware: Hardware::Sound,
        file_system: Stated::Yes,
        storage: Stated::Yes,
        data: Stated::Yes,
    }
}

fn full(part: Part) -> Vector {
    let of_a_guest = if matches!(part, Part::Snp | Part::Tdx) { 2 } else { 0 };
    Vector {
        instance_identity: 2,
        configuration: 2,
        executables: 3,
        file_system: of_a_guest,
        hardware: 2,
        runtime_opaque: of_a_guest,
        storage_opaque: of_a_guest,
        sourced_data: of_a_guest,
    }
}

#[test]
fn every_check_feeds_a_claim_or_is_a_gate() {
    for (part, _) in PARTS {
        let fed: BTreeSet<&str> = TABLE
            .iter()
            .filter(|row| row.part == part)
            .flat_map(|row| row.shown.iter().chain(row.where_it_applies))
            .copied()
            .collect();
        for row in CHECKS.iter().filter(|row| row.id.covers(part)) {
            assert_ne!(
                fed.contains(row.id.as_str()),
                GATES.contains(&row.id.as_str()),
                "{part:?} {}",
                row.id
            );
        }
        for id in &fed {
            let row = CHECKS.iter().find(|row| row.id == **id).unwrap_or_else(|| panic!("{id} is no check"));
            assert!(row.id.covers(part) || row.id.covers(Part::Envelope), "{part:?} {id}");
        }
    }
    let bound_to_claims: BTreeSet<&str> =
        TABLE.iter().flat_map(|row| row.shown.iter().chain(row.where_it_applies)).copied().collect();
    for row in CHECKS.iter().filter(|row| row.id.covers(Part::Envelope)) {
        let id = row.id.as_str();
        assert!(bound_to_claims.contains(id) || GATES.contains(&id), "{id}");
    }
}

#[test]
fn each_part_has_one_row_a_category() {
    for (at, row) in TABLE.iter().enumerate() {
        let same = |other: &Row| other.part == row.part && other.category == row.category;
        assert!(!TABLE[..at].iter().any(same), "{:?} {:?}", row.part, row.category);
        assert!(row.shown.iter().all(|id| !row.where_it_applies.contains(id)));
    }
}

#[test]
fn all_passed_is_affirming() {
    for (part, submod) in PARTS {
        let trace = passed(part, submod);
        let vector = subject(&trace, part, submod).vector();
        assert_eq!(vector, full(part), "{part:?}");
        assert_eq!(vector.tier(), Tier::Affirming);
    }
}

/// Each id of the table, bent by itself, moves its own claims and no other.
#[test]
fn each_verdict_moves_exactly_its_claims() {
    let mut moved = 0;
    for (part, submod) in PARTS {
        let honest = passed(part, submod);
        for bent in 0..honest.len() {
            let id = honest[bent].check.as_str();
            for verdict in [Verdict::Fail, Verdict::Warning, Verdict::NotShown, Verdict::NotApplicable] {
                let mut trace = honest.clone();
                trace[bent].verdict = verdict;
                let subject = subject(&trace, part, submod);
                for row in TABLE.iter().filter(|row| row.part == part) {
                    let affirming = if row.category == Category::Executables { 3 } else { 2 };
                    let expected = match verdict {
                        _ if !row.shown.contains(&id) && !row.where_it_applies.contains(&id) => affirming,
                        Verdict::Fail => 96,
                        Verdict::Warning => 32,
                        Verdict::NotApplicable if row.where_it_applies.contains(&id) => affirming,
                        _ => 0,
                    };
                    assert_eq!(subject.value(row.category), expected, "{part:?} {id} {verdict:?}");
                    moved += usize::from(expected != affirming);
                }
            }
        }
    }
    assert!(moved > 300, "{moved}");
}

#[test]
fn a_check_that_never_ran_affirms_nothing() {
    for (part, submod) in PARTS {
        let vector = subject(&[], part, submod).vector();
        assert_eq!(vector.members(), [0; 8]);
        assert_eq!(vector.tier(), Tier::None);
        // Another part's rows are not this part's.
        let foreign = passed(part, Submod::Gpu(9));
        assert_eq!(subject(&foreign, part, submod).value(Category::Hardware), 0, "{part:?}");
    }
}

#[test]
fn of_two_verdicts_of_one_check_the_worse_counts() {
    let mut trace = passed(Part::Snp, Submod::Cpu);
    let mut second = trace.iter().find(|row| row.check == "SNP-15").cloned().into_iter().collect::<Vec<_>>();
    second[0].verdict = Verdict::NotShown;
    trace.append(&mut second);
    assert_eq!(subject(&trace, Part::Snp, Submod::Cpu).vector().instance_identity, 0);
}

#[test]
fn weak_and_foreign_hardware_is_a_warning() {
    for (part, submod) in PARTS {
        let trace = passed(part, submod);
        let of = |hardware| Subject { hardware, ..subject(&trace, part, submod) }.vector();
        let weak = of(Hardware::Weak);
        assert_eq!(weak, Vector { hardware: 32, ..full(part) }, "{part:?}");
        assert_eq!(weak.tier(), Tier::Warning);
        // No hardware vouches for encrypted memory.
        assert_eq!(
            of(Hardware::Foreign),
            Vector { hardware: 32, runtime_opaque: 0, ..full(part) },
            "{part:?}"
        );
    }
}

#[test]
fn what_nobody_states_is_not_claimed() {
    let trace = passed(Part::Tdx, Submod::Cpu);
    let subject = || subject(&trace, Part::Tdx, Submod::Cpu);
    let full = full(Part::Tdx);
    let file_system = Subject { file_system: Stated::No, ..subject() };
    assert_eq!(file_system.vector(), Vector { file_system: 0, ..full });
    let storage = Subject { storage: Stated::No, ..subject() };
    assert_eq!(storage.vector(), Vector { storage_opaque: 0, ..full });
    let data = Subject { data: Stated::No, ..subject() };
    assert_eq!(data.vector(), Vector { sourced_data: 0, ..full });
}

#[test]
fn tiers_of_values() {
    let tiers = [
        (-128, Tier::Contraindicated),
        (-97, Tier::Contraindicated),
        (-96, Tier::Warning),
        (-33, Tier::Warning),
        (-32, Tier::Affirming),
        (-2, Tier::Affirming),
        (-1, Tier::None),
        (0, Tier::None),
        (1, Tier::None),
        (2, Tier::Affirming),
        (31, Tier::Affirming),
        (32, Tier::Warning),
        (95, Tier::Warning),
        (96, Tier::Contraindicated),
        (127, Tier::Contraindicated),
    ];
    for (value, tier) in tiers {
        assert_eq!(Tier::of(value), tier, "{value}");
    }
}

#[test]
fn warnings_are_those_of_the_part() {
    let mut trace = passed(Part::Snp, Submod::Cpu);
    trace.extend(passed(Part::Gpu, Submod::Gpu(0)));
    let warned = ["SNP-17", "GPU-06", "BND-08"];
    trace
        .iter_mut()
        .filter(|row| warned.contains(&row.check.as_str()))
        .for_each(|row| row.verdict = Verdict::Warning);
    let ids = |part, submod| -> Vec<_> {
        subject(&trace, part, submod).warnings().map(|row| row.check.as_str()).collect()
    };
    assert_eq!(ids(Part::Snp, Submod::Cpu), ["SNP-17"]);
    assert_eq!(ids(Part::Gpu, Submod::Gpu(0)), ["GPU-06"]);
    assert!(ids(Part::Gpu, Submod::Gpu(1)).is_empty());
}
