//! Intel's collateral in the JSON form of quote verification libraries.

use std::sync::LazyLock;

use tiltyard_attestation::policy::Level;
use tiltyard_attestation::tdx::{Authority, COLLATERAL_FILE_MAX_BYTES, Quote, declared_len};
use tiltyard_attestation::{
    AppraisalPolicy, CheckId, Collateral, Links, TdxCollateral, Trace, TrustAnchors, Verdict,
};
use tiltyard_simulator::intel::collateral::quote_collateral;

use super::Target;
use super::ground::{names, vector};
use super::tdx::MACHINE;

pub const TARGET: Target = Target {
    name: "collateral",
    run,
    seeds,
    costly,
    limit_bytes: COLLATERAL_FILE_MAX_BYTES,
    mutated_bytes: 32 * 1024,
    words: &[
        "\\\"tcb_info\\\"",
        "\\\"qe_identity\\\"",
        "\\\"pck_crl\\\"",
        "\\\"root_ca_crl\\\"",
        "\\\"tcb_info_signature\\\"",
        "\\\"pck_certificate_chain\\\"",
        "-----BEGIN X509 CRL-----",
        "-----BEGIN CERTIFICATE-----\\\\n",
    ],
};

fn seeds() -> Vec<Vec<u8>> {
    let files = names("tdx").into_iter().filter(|name| name.ends_with("_collateral.json"));
    files.map(|name| vector(&name)).chain([quote_collateral(&MACHINE.collateral).into_bytes()]).collect()
}

/// One text of escapes, many members, and a list in hex.
fn costly() -> Vec<Vec<u8>> {
    let text = quote_collateral(&MACHINE.collateral);
    let room = COLLATERAL_FILE_MAX_BYTES - text.len() - 64;
    let first = |more: String| text.replacen('{', &format!("{{{more},"), 1).into_bytes();
    let members: Vec<String> = (0..room / 12).map(|at| format!(r#""{at:07}":0"#)).collect();
    vec![
        first(format!(r#""more":"{}""#, "\\u0041".repeat(room / 6))),
        first(members.join(",")),
        first(format!(r#""more":{}{}"#, "[".repeat(15), "]".repeat(15))),
        text.replacen(r#""root_ca_crl":""#, &format!(r#""root_ca_crl":"{}"#, "30".repeat(room / 2)), 1)
            .into_bytes(),
    ]
}

fn run(data: &[u8]) {
    let read = TdxCollateral::from_json(data);
    let Ok(set) = read else { return };
    assert!(data.len() <= COLLATERAL_FILE_MAX_BYTES);
    if data.len() > TARGET.mutated_bytes {
        return;
    }
    let again = TdxCollateral::from_json(quote_collateral(&set).as_bytes());
    // PEM around a list and white space around a signature are not kept.
    assert_eq!(again.as_ref(), Ok(&set), "what is written is read as it was");
    GENUINE.judge(set);
}

struct Genuine {
    quote: Vec<u8>,
    set: TdxCollateral,
    anchors: TrustAnchors,
    policy: AppraisalPolicy,
    links: Links,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let mut quote = vector("tdx/dcapqvl_tdx_quote");
    let len = declared_len(&quote).unwrap_or_else(|error| panic!("{error}"));
    quote.truncate(len);
    let file = vector("tdx/dcapqvl_tdx_quote_collateral.json");
    let set = TdxCollateral::from_json(&file).unwrap_or_else(|error| panic!("{error}"));
    let policy = AppraisalPolicy::preset(Level::Lab);
    let genuine = Genuine { quote, set, anchors: TrustAnchors::vendor(), policy, links: Links::new() };
    assert!(genuine.judge(genuine.set.clone()), "the genuine set is believed");
    genuine
});

impl Genuine {
    /// Only what Intel signed for this quote can be used with it; whether all of it was believed.
    fn judge(&self, set: TdxCollateral) -> bool {
        /// 2025-06-29, in the window of the genuine set.
        const THEN: u64 = 1_751_155_200;
        let Self { quote, set: genuine, anchors, policy, links } = self;
        let collateral = Collateral { tdx: vec![set], ..Collateral::none() };
        let mut trace = Trace::new();
        let authority = Authority { anchors, policy, links, collateral: &collateral, now: THEN };
        let authentic = Quote::parse(quote, &mut trace)
            .and_then(|quote| authority.authenticate(quote, &mut trace).map(|_| ()));
        let accepted = authentic.is_ok() && trace.findings().is_empty();
        if accepted {
            let set = &collateral.tdx[0];
            assert_eq!(set.tcb_info, genuine.tcb_info);
            assert_eq!(set.qe_identity, genuine.qe_identity);
            if not_revoked(&trace) {
                assert_eq!((&set.pck_crl, &set.root_ca_crl), (&genuine.pck_crl, &genuine.root_ca_crl));
            }
        }
        accepted && not_revoked(&trace)
    }
}

/// Whether the lists were believed: at `lab` a list that nobody signed is a warning.
pub fn not_revoked(trace: &Trace) -> bool {
    trace.outcomes().iter().any(|row| row.check == CheckId::Tdx07 && row.verdict == Verdict::Pass)
}
