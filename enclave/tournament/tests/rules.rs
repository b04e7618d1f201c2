//! Draws, margins, points, ranks and pools against hand-worked values.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};

use tiltyard_tournament::points::{Placed, Pools, RankWeights, Shares, median_ppm, round_value, task_points};
use tiltyard_tournament::rulebook::{Direction, MarginRule, PresetError, RoundValue, RulebookError};
use tiltyard_tournament::verdict::{Outcome, Verdict, boss_verdict, need, passes};
use tiltyard_tournament::*;

fn seed_rules() -> Rulebook {
    Rulebook::parse(preset("seed").unwrap()).unwrap()
}

fn with(from: &str, to: &str) -> Result<Rulebook, RulebookError> {
    let text = std::str::from_utf8(preset("seed").unwrap()).unwrap();
    assert!(text.contains(from), "{from}");
    Rulebook::parse(text.replacen(from, to, 1).as_bytes())
}

fn id(n: u64) -> SubmissionId {
    SubmissionId(Digest::sha256(&n.to_be_bytes()))
}

fn score(steps: i32) -> Disclosed {
    Disclosed::try_from(steps).unwrap()
}

#[test]
fn presets_and_rulebooks_out_of_range() {
    assert_eq!(seed_rules().sha256(), Digest::sha256(preset("seed").unwrap()));
    for name in ["dec2025", "paired"] {
        assert!(matches!(preset(name), Err(PresetError::NotYet { .. })));
    }
    assert!(matches!(preset("legacy"), Err(PresetError::Legacy)));
    assert!(matches!(preset("x"), Err(PresetError::Unknown { .. })));
    for (from, to) in [
        ("version = 1", "version = 2"),
        ("version = 1", "version = 1\nversion = 1"),
        ("version = 1", "version = 1\nextra = 1"),
        ("preset = \"seed\"", "preset = \"paired\""),
        ("kind = \"text\"", "kind = \"image\""),
        ("kind = \"text\"", "kind = \"video\""),
        ("size = 32", "size = 33"),
        ("size = 32", "size = 0"),
        ("size = 32", "size = -1"),
        ("min = 2", "min = 33"),
        ("advance = 8", "advance = 0"),
        ("skip_at = 8", "skip_at = 0"),
        ("tasks = 6", "tasks = 17"),
        ("ppm = [100000", "ppm = [1000001"),
        ("ppm = [100000, 75000, 50000]", "ppm = []"),
        ("train = 2", "train = 0"),
        ("evaluate = 4", "evaluate = 17"),
        ("ratio = 3", "ratio = 11"),
        ("instruct = 350000", "instruct = 350001"),
        ("cap_ppm = 600000", "cap_ppm = 149999"),
        ("decay_den = 10", "decay_den = 2"),
        ("bonus_max_ppm = 250000", "bonus_max_ppm = 1000001"),
        ("break_s = 86400", "break_s = 0.5"),
    ] {
        assert!(with(from, to).is_err(), "{to}");
    }
    let large = vec![b'#'; 64 * 1024 + 1];
    assert!(matches!(Rulebook::parse(&large), Err(RulebookError::TooLarge { .. })));
    assert!(matches!(Rulebook::parse(&[0xff]), Err(RulebookError::NotUtf8)));
    assert!(with("advance = 8", "advance = 4").is_ok());
}

#[test]
fn margins_by_defence() {
    let at = |rule: &MarginRule| -> Vec<u32> {
        (1..=10).map(|w| rule.at(NonZeroU32::new(w).unwrap()).0).collect()
    };
    assert_eq!(at(&seed_rules().boss.margin)[..5], [100_000, 75_000, 50_000, 50_000, 50_000]);
    let decay =
        MarginRule::Decay { start_ppm: Ppm(100_000), factor_ppm: Ppm(800_000), floor_ppm: Ppm(30_000) };
    assert_eq!(at(&decay), [100_000, 80_000, 64_000, 51_200, 40_960, 32_768, 30_000, 30_000, 30_000, 30_000]);
    assert_eq!(decay.at(NonZeroU32::MAX).0, 30_000);
}

#[test]
fn margin_is_sign_safe_and_exhaustive_around_its_edges() {
    let rules = seed_rules();
    for w in 1..=10 {
        let margin = rules.boss.margin.at(NonZeroU32::new(w).unwrap());
        for centre in [-10_000, 0, 10_000] {
            for b in centre - 2..=centre + 2 {
                // need = max(1, ceil(t*|b|/1e6)), worked here another way.
                let product = i64::from(margin.0) * i64::from(b).abs();
                let mut least = product / 1_000_000;
                while least * 1_000_000 < product {
                    least += 1;
                }
                let least = least.max(1);
                assert_eq!(need(score(b), margin), i128::from(least));
                let edge = i32::try_from(least).unwrap();
                let lower = |c| passes(Direction::LowerIsBetter, score(b), score(c), margin);
                let higher = |c| passes(Direction::HigherIsBetter, score(b), score(c), margin);
                assert!(lower(b - edge) && !lower(b - edge + 1), "w {w} b {b}");
                assert!(higher(b + edge) && !higher(b + edge - 1), "w {w} b {b}");
                assert!(!lower(b) && !higher(b), "an equal score never takes the title");
            }
        }
    }
}

#[test]
fn nine_cells_of_missing_data() {
    use Outcome::{DuplicateOf, Failed, Scored, Unscored};
    use Verdict::{Challenger, Champion, Undecided};
    let (good, bad) = (Scored { score: score(8_000) }, Scored { score: score(10_000) });
    let copy = DuplicateOf { submission: id(1) };
    let margin = Ppm(100_000);
    let cells = [
        (bad, good, Challenger),
        (good, bad, Champion),
        (good, good, Champion),
        (bad, Unscored, Champion),
        (bad, Failed, Champion),
        (Unscored, bad, Challenger),
        (Unscored, Unscored, Undecided),
        (Unscored, Failed, Champion),
        (Failed, bad, Challenger),
        (Failed, Unscored, Challenger),
        (Failed, Failed, Champion),
        (bad, copy, Champion),
        (Unscored, copy, Champion),
        (copy, Unscored, Challenger),
        (copy, Failed, Champion),
    ];
    for (champion, challenger, expected) in cells {
        let got = boss_verdict(Direction::LowerIsBetter, &champion, &challenger, margin);
        assert_eq!(got, expected, "{champion:?} against {challenger:?}");
    }
}

/// Raw scores 1.0 and 2.0 behind an errored first: the better one wins, whatever its place.
#[test]
fn grpo_errored_first() {
    let outcomes = BTreeMap::from([
        (id(1), Outcome::Failed),
        (id(2), Outcome::Scored { score: score(10_000) }),
        (id(3), Outcome::Scored { score: score(20_000) }),
    ]);
    let ranked = points::ranking(Direction::HigherIsBetter, &outcomes, |_| 0);
    assert_eq!(ranked, vec![id(3), id(2)]);
    let ranked = points::ranking(Direction::LowerIsBetter, &outcomes, |_| 0);
    assert_eq!(ranked, vec![id(2), id(3)]);
}

#[test]
fn task_points_for_every_count_and_failure() {
    let rules = seed_rules();
    for valid in 0..=33_u64 {
        for failed in [0, 1, 5] {
            let mut outcomes: BTreeMap<_, _> = (0..valid)
                .map(|n| (id(n), Outcome::Scored { score: score(i32::try_from(n).unwrap()) }))
                .collect();
            outcomes.extend((100..100 + failed).map(|n| (id(n), Outcome::Failed)));
            outcomes.insert(id(500), Outcome::Unscored);
            let ranked: Vec<_> = (0..valid).map(id).collect();
            let points = task_points(&rules.points, &outcomes, &ranked);
            assert_eq!(points[&id(500)], 0);
            for n in 100..100 + failed {
                assert_eq!(points[&id(n)], if valid > 0 { -1 } else { 0 });
            }
            if valid > 0 {
                assert_eq!(points[&id(0)], 3);
            }
            let worst = (1..valid).filter(|n| points[&id(*n)] == -1).count() as u64;
            let field = outcomes.len() as u64;
            let expected = if field >= 4 { (valid / 4).max(1).min(valid.saturating_sub(1)) } else { 0 };
            assert_eq!(worst, expected, "{valid} valid of {field}");
        }
    }
}

#[test]
fn rank_weights_of_four_and_ties() {
    let rules = seed_rules();
    let weights = RankWeights::new(&rules.rank, 4).unwrap();
    let parts: Vec<_> = (1..=4).map(|place| weights.part(1_000_000, place, 1).unwrap()).collect();
    assert_eq!(parts, [705_716, 211_714, 63_514, 19_054]);
    // Places 2 and 3 tied share the weights that they fill: (300 + 90) / 2 of 1417.
    assert_eq!(weights.part(1_000_000, 2, 2).unwrap(), 137_614);
    // The largest field, with the champion: exact in 128 bits.
    assert!(RankWeights::new(&rules.rank, 33).unwrap().part(1_000_000, 1, 33).is_ok());
    assert!(RankWeights::new(&rules.rank, 60).is_err());
}

#[test]
fn pools_grow_from_five_percent_to_the_cap() {
    let rules = seed_rules();
    let boosted = |diff, titles| Pools::new(&rules.pool, diff, titles).boosted_ppm;
    assert_eq!(boosted(0, 1), 150_000);
    assert_eq!(boosted(-900_000, 1), 150_000);
    assert_eq!(boosted(50_000, 1), 150_000);
    assert_eq!(boosted(50_001, 1), 150_002);
    assert_eq!(boosted(200_000, 1), 450_000);
    assert_eq!(boosted(200_000, 4), 420_000);
    assert_eq!(boosted(i64::MAX, 1), 600_000);
    assert_eq!(median_ppm(&[]), 0);
    assert_eq!(median_ppm(&[5, -7, 9]), 5);
    assert_eq!(median_ppm(&[-7, 4]), -2);
    assert_eq!(round_value(RoundValue::Geometric { ratio: 3 }, 1).unwrap(), 1);
    assert_eq!(round_value(RoundValue::Geometric { ratio: 3 }, 5).unwrap(), 81);
    assert_eq!(round_value(RoundValue::Linear, 5).unwrap(), 5);
}

#[test]
fn shares_and_money_are_conserved() {
    let rules = seed_rules();
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for _ in 0..20_000 {
        let n = next() % 33 + 1;
        let mut placed: Vec<Placed> = Vec::new();
        for i in 0..n {
            let before = placed.last().and_then(|p| p.place);
            let place = match before {
                Some(place) if i > 1 && next() % 4 == 0 => Some(place),
                _ if i > 0 && (before.is_none() || next() % 9 == 0) => None,
                _ => Some(u32::try_from(i + 1).unwrap()),
            };
            placed.push(Placed { submission: id(i), entrant: EntrantId(id(i).0), place });
        }
        let diff = i64::try_from(next() % 400_000).unwrap() - 50_000;
        let pools = Pools::new(&rules.pool, diff, 1 + (next() % 5) as u32);
        let shares = Shares::new(&rules.pool, &rules.rank, pools, &placed).unwrap();
        let sum: u32 = shares.rows.iter().map(|row| row.share_ppm).sum();
        assert_eq!(sum + shares.unspent_ppm, 1_000_000);
        assert!(shares.rows.iter().all(|row| row.share_ppm >= 100));
        let amount = next() * next();
        let payout = shares.divide(Minor(amount));
        let paid: u64 = payout.rows.iter().map(|(_, part)| part.0).sum();
        assert_eq!(paid + payout.unspent.0, amount);
    }
}

#[test]
fn draws_follow_the_written_formula() {
    // Independently: SHA-256 over the tagged inputs, as PROVISIONING 13 writes them.
    let seed = DrawSeed::new([42; 32]);
    let (rulebook, root) = (Digest([1; 32]), Digest([2; 32]));
    let commit = Digest::sha256(&[&b"tiltyard/draw-commit/v1\0"[..], &[42; 32]].concat());
    assert_eq!(seed.commitment().0, commit);
    let key = Digest::sha256(&[&b"tiltyard/draw/v1\0"[..], &[42; 32], &[1; 32], &[2; 32]].concat());
    let mut stream = DrawKey::derive(&seed, &rulebook, &root).stream("pairs/2");
    for block in 0_u64..3 {
        let bytes = [
            &b"tiltyard/draw-block/v1\0"[..],
            key.bytes(),
            &7_u16.to_be_bytes(),
            b"pairs/2",
            &block.to_be_bytes(),
        ]
        .concat();
        for word in Digest::sha256(&bytes).bytes().chunks_exact(8) {
            assert_eq!(stream.next_u64(), u64::from_be_bytes(word.try_into().unwrap()));
        }
    }
}

#[test]
fn below_stays_below_and_shuffles_are_fair() {
    let key = DrawKey::derive(&DrawSeed::new([1; 32]), &Digest([1; 32]), &Digest([2; 32]));
    let mut stream = key.stream("group");
    for n in [1, 2, 3, 7, (1 << 63) + 1, u64::MAX] {
        let n = NonZeroU64::new(n).unwrap();
        assert!((0..200).all(|_| stream.below(n) < n.get()));
    }
    // Chi-square over 24 orders of four, 23 degrees of freedom: 49.7 is the 0.1 % point.
    let mut counts: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    for _ in 0..100_000 {
        let mut order = vec![0, 1, 2, 3];
        stream.shuffle(&mut order);
        *counts.entry(order).or_default() += 1;
    }
    assert_eq!(counts.len(), 24);
    let squares: i64 = counts.values().map(|count| (count * 24 - 100_000).pow(2)).sum();
    // sum((count - e)^2 / e) with e = 100_000 / 24, in integers.
    assert!(squares / (24 * 100_000) < 50, "{}", squares / (24 * 100_000));
}

/// Vectors that an independent implementation must meet; see `vectors/draw.json`.
#[test]
fn draw_vectors() {
    #[derive(serde::Deserialize)]
    struct Vector {
        seed: Digest,
        rulebook: Digest,
        entries_root: Digest,
        commitment: Digest,
        label: String,
        shuffle_of_8: Vec<usize>,
        next_below_1000: Vec<u64>,
    }
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("vectors/draw.json")).unwrap();
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        let seed = DrawSeed::new(vector.seed.0);
        assert_eq!(seed.commitment().0, vector.commitment);
        let mut stream = DrawKey::derive(&seed, &vector.rulebook, &vector.entries_root).stream(&vector.label);
        let mut order: Vec<usize> = (0..8).collect();
        stream.shuffle(&mut order);
        assert_eq!(order, vector.shuffle_of_8);
        let n = NonZeroU64::new(1000).unwrap();
        let next: Vec<_> = vector.next_below_1000.iter().map(|_| stream.below(n)).collect();
        assert_eq!(next, vector.next_below_1000);
    }
}
