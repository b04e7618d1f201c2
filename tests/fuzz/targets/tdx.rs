//! TDX quotes: the genuine ones, and quotes that a simulated machine signs again.

use std::sync::LazyLock;

use tiltyard_attestation::policy::Level;
use tiltyard_attestation::tdx::{Authority, Demands, QUOTE_MAX_BYTES, Quote, declared_len};
use tiltyard_attestation::{AppraisalPolicy, Collateral, Links, TdxCollateral, Trace, TrustAnchors};
use tiltyard_simulator::intel::quote::Offsets;
use tiltyard_simulator::intel::{Form, Issued, Key, SimulatedTdx};

use super::Target;
use super::collateral::not_revoked;
use super::ground::{NOW, SEED, SIMULATED_NOW, put, vector};

pub const TARGET: Target = Target {
    name: "tdx",
    run,
    seeds,
    costly,
    limit_bytes: QUOTE_MAX_BYTES,
    mutated_bytes: QUOTE_MAX_BYTES + 64,
    words: &["-----BEGIN CERTIFICATE-----\\x0a", "-----END CERTIFICATE-----\\x0a"],
};

const FORMS: [Form; 3] = [Form::V4, Form::V5Td10, Form::V5Td15];
const OTHERS: [&str; 3] =
    ["gotdx_tdx_prod_quote_SPR_E4.dat", "trustee_tdx_quote_4.dat", "trustee_tdx_quote_5.dat"];

fn seeds() -> Vec<Vec<u8>> {
    let genuine = GENUINE.iter().map(|genuine| genuine.quote.clone());
    let others = OTHERS.iter().map(|name| trimmed(name));
    let simulated = MACHINE.issued.iter().map(|issued| issued.quote.clone());
    genuine.chain(others).chain(simulated).collect()
}

/// A chain of as many certificates as a quote has room for.
fn costly() -> Vec<Vec<u8>> {
    let quote = &MACHINE.issued[0].quote;
    let Some(at) = offsets(quote) else { return Vec::new() };
    let text = at.auth + u16_at(quote, at.auth_length).unwrap_or_default() + 6;
    let chain = quote[text..].strip_suffix(&[0]).unwrap_or(&quote[text..]);
    let mut long = [&quote[..text], &chain.repeat(8)].concat();
    long.truncate(QUOTE_MAX_BYTES);
    for covered in [at.signed_end + 4, at.outer_type + 6, text] {
        let len = (QUOTE_MAX_BYTES - covered) as u32;
        put(&mut long, covered - 4, &len.to_le_bytes());
    }
    vec![long]
}

fn run(data: &[u8]) {
    let mut trace = Trace::new();
    let parsed = Quote::parse(data, &mut trace);
    assert_eq!(parsed.is_err(), !trace.findings().is_empty(), "a refusal has a finding, and only a refusal");
    if parsed.is_err() {
        return;
    }
    assert!(data.len() <= QUOTE_MAX_BYTES);
    assert_eq!(declared_len(data), Ok(data.len()));
    let kind = data.get(48..50);
    let [v4, v5, extended] = &*GENUINE;
    let genuine = match (data[0], kind) {
        (4, _) => v4,
        (_, Some([3, 0])) => extended,
        _ => v5,
    };
    assert!(!genuine.accepts(data) || SIGNED.iter().any(|quote| quote == data), "a forged quote is accepted");
    if let Some(quote) = MACHINE.resigned(data) {
        let mut trace = Trace::new();
        if MACHINE.judge(&quote, &MACHINE.collateral, &mut trace) {
            // TD attributes: bit 0 is DEBUG (TDX Module ABI 348551, TDINFO_BASE).
            let body = if data[0] == 4 { 48 } else { 54 };
            assert_eq!(quote[body + 120] & 1, 0, "a TD that can be debugged is accepted");
        }
    }
}

/// A real platform's quote, with everything under which it is accepted.
struct Genuine {
    quote: Vec<u8>,
    collateral: Collateral,
    now: u64,
}

static POLICY: LazyLock<AppraisalPolicy> = LazyLock::new(|| AppraisalPolicy::preset(Level::Lab));
static VENDOR: LazyLock<(TrustAnchors, Links)> = LazyLock::new(|| (TrustAnchors::vendor(), Links::new()));
/// Version 4, version 5 of a TD 1.0 by its signatures alone, version 5 of a TD 1.5.
static GENUINE: LazyLock<[Genuine; 3]> = LazyLock::new(|| {
    let of = |name: &str, collateral: Option<&str>, now| {
        let quote = trimmed(name);
        let set = collateral.map(|name| {
            let file = vector(&format!("tdx/{name}"));
            TdxCollateral::from_json(&file).unwrap_or_else(|error| panic!("{name}: {error}"))
        });
        let collateral = Collateral { tdx: set.into_iter().collect(), ..Collateral::none() };
        let genuine = Genuine { quote, collateral, now };
        assert!(genuine.accepts(&genuine.quote), "{name} is accepted");
        genuine
    };
    [
        of("dcapqvl_tdx_quote", Some("dcapqvl_tdx_quote_collateral.json"), 1_751_155_200),
        of("dcapqvl_tdx_quote_outdated", None, NOW),
        of("dcapqvl_tdx_quote_td15ex", Some("dcapqvl_tdx_quote_td15ex_collateral.json"), 1_791_936_000),
    ]
});

/// Every quote of a real platform, and the same without the NUL that ends its chain: nobody signs that byte.
static SIGNED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let genuine = GENUINE.iter().map(|genuine| genuine.quote.clone());
    let quotes: Vec<Vec<u8>> = genuine.chain(OTHERS.iter().map(|name| trimmed(name))).collect();
    let shorter: Vec<Vec<u8>> = quotes.iter().map(|quote| without_nul(quote)).collect();
    [quotes, shorter].concat()
});

impl Genuine {
    fn accepts(&self, quote: &[u8]) -> bool {
        let (anchors, links) = &*VENDOR;
        let mut trace = Trace::new();
        let Self { collateral, now, .. } = self;
        let authority = Authority { anchors, policy: &POLICY, links, collateral, now: *now };
        accepts(quote, &authority, None, &mut trace)
    }
}

fn accepts(quote: &[u8], authority: &Authority<'_>, event_log: Option<&[u8]>, trace: &mut Trace) -> bool {
    let judged = Quote::parse(quote, trace).and_then(|quote| {
        let authentic = authority.authenticate(quote, trace)?;
        let Authority { policy, now, .. } = *authority;
        let demands =
            Demands { policy, reference: None, config: None, event_log, accepted_evaluation: 0, now };
        Ok(demands.judge(&authentic, trace))
    });
    if let Ok(facts) = judged {
        assert!(serde_json::to_string(&facts).is_ok(), "facts are written");
    }
    trace.findings().is_empty()
}

fn trimmed(name: &str) -> Vec<u8> {
    let mut quote = vector(&format!("tdx/{name}"));
    let len = declared_len(&quote).unwrap_or_else(|error| panic!("{name}: {error}"));
    quote.truncate(len);
    quote
}

fn offsets(quote: &[u8]) -> Option<Offsets> {
    match (quote.first()?, quote.get(48..50)?) {
        (4, _) => Some(Form::V4.offsets()),
        (5, [2, 0]) => Some(Form::V5Td10.offsets()),
        (5, [3, 0]) => Some(Form::V5Td15.offsets()),
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|bytes| usize::from(u16::from_le_bytes(*bytes)))
}

/// One byte less at the end, in every length that covers it.
fn without_nul(quote: &[u8]) -> Vec<u8> {
    let mut shorter = quote.to_vec();
    shorter.pop();
    if let Some(at) = offsets(quote) {
        let inner = at.auth + u16_at(quote, at.auth_length).unwrap_or_default() + 2;
        for at in [at.signed_end, at.outer_type + 2, inner] {
            if let Some(len) = quote.get(at..).and_then(|rest| rest.first_chunk()) {
                put(&mut shorter, at, &u32::from_le_bytes(*len).wrapping_sub(1).to_le_bytes());
            }
        }
    }
    shorter
}

/// A platform whose keys sign whatever they are given.
pub struct Machine {
    pub keys: SimulatedTdx,
    /// In every form of a quote.
    pub issued: Vec<Issued>,
    pub collateral: TdxCollateral,
    anchors: TrustAnchors,
    links: Links,
}

pub static MACHINE: LazyLock<Machine> = LazyLock::new(|| {
    let keys = SimulatedTdx::from_seed(&SEED);
    let issued: Vec<Issued> =
        FORMS.iter().map(|form| keys.issue(&keys.draft(*form, SIMULATED_NOW))).collect();
    let anchors = TrustAnchors::foreign(keys.anchors()).unwrap_or_else(|error| panic!("{error}"));
    let collateral = issued[0].collateral.to_tdx();
    let machine = Machine { keys, collateral, anchors, links: Links::new(), issued };
    for issued in &machine.issued {
        let mut trace = Trace::new();
        let accepted = machine.judge(&issued.quote, &machine.collateral, &mut trace);
        assert!(accepted, "an honest TD is accepted: {:?}", trace.findings());
        assert!(not_revoked(&trace), "its lists are believed");
        assert_eq!(machine.resigned(&issued.quote).as_ref(), Some(&issued.quote));
    }
    machine
});

impl Machine {
    /// Whether nothing is found against a quote of this machine under this collateral.
    pub fn judge(&self, quote: &[u8], collateral: &TdxCollateral, trace: &mut Trace) -> bool {
        let collateral = Collateral { tdx: vec![collateral.clone()], ..Collateral::none() };
        let Self { anchors, links, .. } = self;
        let authority =
            Authority { anchors, policy: &POLICY, links, collateral: &collateral, now: SIMULATED_NOW };
        accepts(quote, &authority, Some(&self.issued[0].event_log), trace)
    }

    /// The quote with both signatures, and what the quoting enclave vouches for, made to fit.
    fn resigned(&self, quote: &[u8]) -> Option<Vec<u8>> {
        use ring::digest::{SHA256, digest};
        let at = offsets(quote)?;
        let auth = quote.get(at.auth..at.auth + u16_at(quote, at.auth_length)?)?;
        let keys = self.keys.keys();
        let key = keys.public(Key::Attestation);
        let vouched = digest(&SHA256, &[&key[..], auth].concat());
        let mut quote = quote.to_vec();
        put(&mut quote, at.attestation_key, &key);
        let signature = keys.sign_raw(Key::Attestation, &quote[..at.signed_end]);
        put(&mut quote, at.signature, &signature);
        put(&mut quote, at.qe_report + 320, vouched.as_ref());
        let signature = keys.sign_raw(Key::Pck, &quote[at.qe_report..at.qe_signature]);
        put(&mut quote, at.qe_signature, &signature);
        Some(quote)
    }
}
