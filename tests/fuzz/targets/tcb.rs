//! What Intel signs beside a quote, signed again by a simulated certification service: TCB info, QE identity, lists.

use tiltyard_attestation::collateral::TDX_ITEM_MAX_BYTES;
use tiltyard_attestation::tdx::PcsAnswers;
use tiltyard_attestation::{Base64Bytes, TdxCollateral, Trace};
use tiltyard_simulator::intel::Key;

use super::Target;
use super::collateral::not_revoked;
use super::ground::{joined, parts, vector};
use super::tdx::MACHINE;

pub const TARGET: Target = Target {
    name: "tcb",
    run,
    seeds,
    costly,
    limit_bytes: TDX_ITEM_MAX_BYTES,
    mutated_bytes: 24 * 1024,
    words: &[
        "\\\"tcbLevels\\\"",
        "\\\"tcbStatus\\\"",
        "\\\"advisoryIDs\\\"",
        "\\\"tdxtcbcomponents\\\"",
        "\\\"sgxtcbcomponents\\\"",
        "\\\"tdxModuleIdentities\\\"",
        "\\\"UpToDate\\\"",
        "\\\"SWHardeningNeeded\\\"",
        "\\\"ConfigurationNeeded\\\"",
        "\\\"ConfigurationAndSWHardeningNeeded\\\"",
        "\\\"OutOfDate\\\"",
        "\\\"OutOfDateConfigurationNeeded\\\"",
        "\\\"Revoked\\\"",
        "\\\"TDX_01\\\"",
        "\\\"2026-11-22T00:00:00Z\\\"",
    ],
};

/// TCB info, list of the PCK authority, list of the root, QE identity.
fn seeds() -> Vec<Vec<u8>> {
    let simulated = &MACHINE.collateral;
    let of = |tcb_info: &[u8], qe_identity: &[u8]| {
        joined(&[tcb_info, &simulated.pck_crl.0, &simulated.root_ca_crl.0, qe_identity])
    };
    let genuine = vector("tdx/dcapqvl_tdx_quote_td15ex_collateral.json");
    let genuine = TdxCollateral::from_json(&genuine).unwrap_or_else(|error| panic!("{error}"));
    vec![
        of(&simulated.tcb_info.0, &simulated.qe_identity.0),
        of(&genuine.tcb_info.0, &genuine.qe_identity.0),
        joined(&[
            &vector("tdx/gotdx_sample_tcbInfo_response"),
            &vector("tdx/gotdx_pckcrl"),
            &vector("tdx/gotdx_rootcrl.der"),
            &vector("tdx/gotdx_sample_qeIdentity_response"),
        ]),
    ]
}

/// As many levels and identities as a document has room for.
fn costly() -> Vec<Vec<u8>> {
    let text = |bytes: &Base64Bytes| String::from_utf8_lossy(&bytes.0).into_owned();
    let info = text(&MACHINE.collateral.tcb_info);
    let repeated = |list: &str| {
        let mut document: serde_json::Value = serde_json::from_str(&info).ok()?;
        let rows = document.get_mut(list)?.as_array_mut()?;
        let row = rows.last()?.clone();
        let count = (TDX_ITEM_MAX_BYTES - info.len()) / (row.to_string().len() + 1);
        rows.extend(std::iter::repeat_n(row, count));
        Some(document.to_string().into_bytes())
    };
    ["tcbLevels", "tdxModuleIdentities"].into_iter().filter_map(repeated).collect()
}

fn run(data: &[u8]) {
    if data.len() > TDX_ITEM_MAX_BYTES {
        // Items reach the verifier as they are: its own limit is `envelope`'s to try.
        return;
    }
    let (machine, honest) = (&*MACHINE, &MACHINE.collateral);
    let [tcb_info, pck_crl, root_ca_crl, qe_identity] = match data.first() {
        // TCB info alone, which then may be as long as it can be.
        Some(b'{') => [data, &honest.pck_crl.0, &honest.root_ca_crl.0, &honest.qe_identity.0],
        _ => parts(data),
    };
    let sign = |text: &[u8]| machine.keys.keys().sign_raw(Key::TcbSigning, text).to_vec().into();
    let set = TdxCollateral {
        tcb_info: tcb_info.to_vec().into(),
        tcb_info_signature: sign(tcb_info),
        qe_identity: qe_identity.to_vec().into(),
        qe_identity_signature: sign(qe_identity),
        pck_crl: pck_crl.to_vec().into(),
        root_ca_crl: root_ca_crl.to_vec().into(),
        ..honest.clone()
    };
    let mut trace = Trace::new();
    if machine.judge(&machine.issued[0].quote, &set, &mut trace) && not_revoked(&trace) {
        assert_eq!((&set.pck_crl, &set.root_ca_crl), (&honest.pck_crl, &honest.root_ca_crl), "a forged list");
    }
    let answers = PcsAnswers {
        tcb_info,
        tcb_info_issuer_chain: &honest.tcb_info_issuer_chain.0,
        qe_identity,
        qe_identity_issuer_chain: &honest.qe_identity_issuer_chain.0,
        pck_crl,
        pck_crl_issuer_chain: &honest.pck_crl_issuer_chain.0,
        root_ca_crl,
    };
    if let Ok(set) = TdxCollateral::from_pcs(&answers) {
        let whole = |text: &[u8], part: &[u8]| super::ground::contains(text, part);
        assert!(whole(tcb_info, &set.tcb_info.0), "the signed text is the received one");
        assert!(whole(qe_identity, &set.qe_identity.0), "the signed text is the received one");
    }
}
