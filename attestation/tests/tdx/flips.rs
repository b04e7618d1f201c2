//! No single bit of a genuine quote can change, no byte can be missing, and none can follow.

use proptest::prelude::*;
use tiltyard_attestation::eventlog::{CcelTable, EventLog};
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::tdx::{Authority, Demands, Quote};
use tiltyard_attestation::{AppraisalPolicy, Collateral, Links, TdxCollateral, Trace, TrustAnchors};

use crate::support::{Case, EX_NOW, TODAY, V4_NOW, collateral, file, set, trimmed};

/// A genuine quote that is accepted as it is: version 4 and the extended version 5 with all collateral, version 5
/// by its signatures.
struct Genuine {
    quote: Vec<u8>,
    collateral: Collateral,
    now: u64,
    anchors: TrustAnchors,
    policy: AppraisalPolicy,
    links: Links,
}

impl Genuine {
    fn all() -> [(&'static str, Self); 3] {
        let of = |name: &str, sets: Vec<_>, now| Self {
            quote: trimmed(name),
            collateral: collateral(sets),
            now,
            anchors: TrustAnchors::vendor(),
            policy: AppraisalPolicy::preset(Level::Lab),
            links: Links::new(),
        };
        [
            ("version 4", of("dcapqvl_tdx_quote", vec![set("dcapqvl_tdx_quote_collateral.json")], V4_NOW)),
            ("version 5", of("dcapqvl_tdx_quote_outdated", vec![], TODAY)),
            (
                "extended version 5",
                of("dcapqvl_tdx_quote_td15ex", vec![set("dcapqvl_tdx_quote_td15ex_collateral.json")], EX_NOW),
            ),
        ]
    }

    fn accepts(&self, quote: &[u8]) -> bool {
        let Self { anchors, policy, links, collateral, now, .. } = self;
        let mut trace = Trace::new();
        let judged = Quote::parse(quote, &mut trace).and_then(|quote| {
            let authority = Authority { anchors, policy, links, collateral, now: *now };
            let authentic = authority.authenticate(quote, &mut trace)?;
            let demands = Demands {
                policy,
                reference: None,
                config: None,
                event_log: None,
                accepted_evaluation: 0,
                now: *now,
            };
            Ok(demands.judge(&authentic, &mut trace))
        });
        let accepted = trace.findings().is_empty();
        assert!(judged.is_ok() || !accepted, "a refusal has a finding");
        accepted
    }
}

/// One bit of each byte, another one from byte to byte: an eighth of all single-bit flips; all of them when
/// `TILTYARD_FLIPS` is `all`, as before a release.
fn flips(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let all = std::env::var("TILTYARD_FLIPS").is_ok_and(|value| value == "all");
    (0..bytes.len() * 8).filter(move |bit| all || bit % 8 == bit / 8 % 8).map(|bit| {
        let mut bent = bytes.to_vec();
        bent[bit / 8] ^= 1 << (bit % 8);
        (bit, bent)
    })
}

#[test]
fn no_single_bit_flip_is_accepted() {
    for (name, genuine) in Genuine::all() {
        assert!(genuine.accepts(&genuine.quote), "{name}");
        let accepted: Vec<usize> =
            flips(&genuine.quote).filter(|(_, bent)| genuine.accepts(bent)).map(|(bit, _)| bit).collect();
        assert_eq!(accepted, Vec::<usize>::new(), "{name}");
    }
}

#[test]
fn no_truncation_is_accepted() {
    for (name, genuine) in Genuine::all() {
        for len in 0..genuine.quote.len() {
            assert!(!genuine.accepts(&genuine.quote[..len]), "{name}: {len} bytes");
        }
    }
}

#[test]
fn no_trailing_byte_is_accepted() {
    for (name, genuine) in Genuine::all() {
        for more in 1..=64 {
            for fill in [0, 0x0a, 0xff] {
                let longer = [&genuine.quote[..], &vec![fill; more]].concat();
                assert!(!genuine.accepts(&longer), "{name}: {more} bytes of {fill:#x}");
            }
        }
    }
}

/// A NUL more at the end, with all lengths made to fit: the chain may have one, and these have.
#[test]
fn no_second_final_nul_is_accepted() {
    for (name, genuine) in Genuine::all() {
        let mut longer = genuine.quote.clone();
        let body =
            if longer[0] == 4 { 632 } else { 54 + usize::from(u16::from_le_bytes([longer[50], longer[51]])) };
        let auth = u16::from_le_bytes([longer[body + 586], longer[body + 587]]);
        let inner = body + 588 + usize::from(auth) + 2;
        longer.push(0);
        for at in [body, body + 134, inner] {
            let len = u32::from_le_bytes(longer[at..at + 4].try_into().unwrap()) + 1;
            longer[at..at + 4].copy_from_slice(&len.to_le_bytes());
        }
        assert!(!genuine.accepts(&longer), "{name}");
        // The same lengths without either NUL hold, so it is the NUL that is refused.
        let mut shorter = longer;
        shorter.truncate(genuine.quote.len() - 1);
        for at in [body, body + 134, inner] {
            let len = u32::from_le_bytes(shorter[at..at + 4].try_into().unwrap()) - 2;
            shorter[at..at + 4].copy_from_slice(&len.to_le_bytes());
        }
        assert!(genuine.accepts(&shorter), "{name}");
    }
}

proptest! {
    /// Bytes of every kind where a quote, a log, a table or collateral should be: a refusal, never a panic.
    #[test]
    fn noise_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2_048)) {
        prop_assert!(Quote::parse(&bytes, &mut Trace::new()).is_err());
        prop_assert!(EventLog::parse(&bytes).is_err());
        prop_assert!(CcelTable::parse(&bytes).is_err());
        prop_assert!(TdxCollateral::from_json(&bytes).is_err());
    }

    /// Several bytes of a genuine quote or log changed at once, and its length with them.
    #[test]
    fn bent_inputs_do_not_panic(
        edits in proptest::collection::vec((0..5_000usize, any::<u8>()), 1..16),
        len in 0..5_300usize,
        which in 0..3usize,
    ) {
        let names = ["dcapqvl_tdx_quote", "dcapqvl_tdx_quote_td15ex", "trustee_tdx_quote_5.dat"];
        let bend = |mut bytes: Vec<u8>| {
            for (at, value) in &edits {
                if let Some(byte) = bytes.get_mut(*at) {
                    *byte = *value;
                }
            }
            bytes.truncate(len);
            bytes
        };
        let log = bend(file("trustee_CCEL_data_ovmf.unfilled"));
        // Whether a bent log still is one depends on the bytes: only a quote must be refused.
        let _ = EventLog::parse(&log).map(|log| log.replay());
        let quote = bend(trimmed(names[which]));
        prop_assume!(quote != trimmed(names[which]));
        prop_assert!(!Case::of(quote).run().findings().is_empty());
    }
}
