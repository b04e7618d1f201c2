//! Answers of Intel's certification service for one platform, made again from a genuine set in its JSON form.

use serde_json::Value;

const SET: &str = include_str!("../vectors/tdx/dcapqvl_tdx_quote_collateral.json");

/// Each answer as the service gives it, under its place in a bundle.
pub fn answers() -> Vec<(&'static str, Vec<u8>)> {
    let set: Value = serde_json::from_str(SET).unwrap();
    let text = |name: &str| set[name].as_str().unwrap();
    let answer = |member: &str, name: &str| {
        let signature = text(&format!("{name}_signature"));
        format!(r#"{{"{member}":{},"signature":"{signature}"}}"#, text(name)).into_bytes()
    };
    let hex = |name: &str| {
        let digits = text(name);
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    };
    vec![
        ("intel/tcbinfo-b0c06f000000", answer("tcbInfo", "tcb_info")),
        ("intel/tcbinfo-chain-tdx", text("tcb_info_issuer_chain").into()),
        ("intel/qeidentity-td", answer("enclaveIdentity", "qe_identity")),
        ("intel/qeidentity-chain-td", text("qe_identity_issuer_chain").into()),
        ("intel/pckcrl-platform", hex("pck_crl")),
        ("intel/pckcrl-chain-platform", text("pck_crl_issuer_chain").into()),
        ("intel/rootcrl-root", hex("root_ca_crl")),
    ]
}
