//! Collateral that is old, of another platform, or says that something is wrong.

use super::{Base, Draft, TdxVariant};
use crate::hostile::{DAY_S, variant};
use crate::intel::Key;
use crate::intel::tcb_info::{HARDENING_ADVISORY, TcbStatus};

pub(super) const VARIANTS: &[TdxVariant] = &[
    variant!(Base::V4; "qe-identity-other" "T3" Lab Tdx06 QeIdentity
        Signed(|draft| draft.td.quote.qe.mrsigner[0] ^= 1);
        "an enclave of another maker, on a genuine platform, signs quotes"),
    variant!(Base::V4; "qe-product-other" "T3" Lab Tdx06 QeIdentity
        Signed(|draft| draft.td.quote.qe.isv_prod_id = 1);
        "Intel's quoting enclave for enclaves signs a TD's quote"),
    variant!(Base::V4; "qe-debug" "T10" Lab Tdx06 QeIdentity
        Signed(|draft| draft.td.quote.qe.attributes[0] |= 0b10);
        "Intel's quoting enclave runs so that the host can read its keys"),
    variant!(Base::V4; "qe-identity-of-sgx" "T3" Lab Tdx06 QeIdentity [Lab Tdx09 TcbStatus, Lab Tdx10 TcbEvalTooOld]
        Signed(|draft| draft.td.collateral.qe_identity.id = "QE".to_owned());
        "the signed identity of the quoting enclave for enclaves is given"),
    variant!(Base::V4; "qe-identity-by-stranger" "T2" Lab Tdx06 QeIdentity
        [Lab Tdx09 TcbStatus, Lab Tdx10 TcbEvalTooOld]
        Signed(|draft| draft.td.collateral.qe_identity_signer = Key::Stranger);
        "an identity of the adversary's making"),
    variant!(Base::V4; "revoked-pck" "T8" Lab Tdx07 CertRevoked
        Signed(|draft| draft.td.collateral.pck_crl.revoked = vec![vec![7], draft.td.pki.pck.serial.clone()]);
        "Intel revoked the platform's certificate, and the list says so"),
    variant!(Base::V4; "revoked-authority" "T8" Lab Tdx07 CertRevoked
        Signed(|draft| draft.td.collateral.root_crl.revoked = vec![draft.td.pki.platform_ca.serial.clone()]);
        "Intel revoked the platform authority"),
    variant!(Base::V4; "revoked-tcb-signer" "T2" Lab Tdx07 CertRevoked
        Signed(|draft| draft.td.collateral.root_crl.revoked = vec![draft.td.pki.tcb_signing.serial.clone()]);
        "Intel revoked the key that signed TCB info and identity"),
    variant!(Base::V4; "pck-crl-stale" "T2" Lab Tdx07 CollateralStale
        Signed(|draft| draft.td.collateral.pck_crl.next_update = Some(draft.expected.now - 1));
        "an old list is replayed, past its next update"),
    variant!(Base::V4; "root-crl-stale" "T2" Lab Tdx07 CollateralStale
        Signed(|draft| draft.td.collateral.root_crl.next_update = Some(draft.expected.now - 1));
        "an old list of the root's is replayed, past its next update"),
    variant!(Base::V4; "pck-crl-by-stranger" "T2" Lab Tdx07 RevocationUnknown
        Signed(|draft| draft.td.collateral.pck_crl.signer = Key::Stranger);
        "a list of the adversary's making, with no entry"),
    variant!(Base::V4; "pck-crl-garbled" "T2" Lab Tdx07 RevocationUnknown
        Sent(|set| set.collateral.tdx.iter_mut().for_each(|row| row.pck_crl.0.push(0)));
        "one byte is added behind a list, so that nobody can read it"),
    variant!(Base::V4; "stale-collateral" "T2" Lab Tdx08 CollateralStale Signed(|draft| {
            let (now, info) = (draft.expected.now, &mut draft.td.collateral.tcb_info);
            (info.issue_date, info.next_update) = (now - 6 * DAY_S, now - DAY_S);
        });
        "TCB info from before the last advisory is replayed, past its next update"),
    variant!(Base::V4; "stale-identity" "T2" Lab Tdx08 CollateralStale Signed(|draft| {
            let (now, identity) = (draft.expected.now, &mut draft.td.collateral.qe_identity);
            (identity.issue_date, identity.next_update) = (now - 6 * DAY_S, now - DAY_S);
        });
        "an old identity is replayed, past its next update"),
    variant!(Base::V4; "collateral-of-tomorrow" "ST8" Lab Tdx08 CollateralStale
        Signed(|draft| draft.td.collateral.tcb_info.issue_date = draft.expected.now + 1);
        "the clock is set back behind the collateral's issue"),
    variant!(Base::V4; "air-gap-31-days" "I7" Standard Col03 CollateralStale Signed(old_and_in_time);
        "the newest collateral at hand is a month old, and still in its time"),
    variant!(Base::V4; "fmspc-other" "T2" Lab Tdx08 CollateralMismatch
        [Lab Tdx09 TcbStatus, Lab Tdx10 TcbEvalTooOld]
        Signed(|draft| draft.td.collateral.tcb_info.fmspc[0] ^= 1);
        "TCB info of another platform family, in which this one would be up to date"),
    variant!(Base::V4; "pceid-other" "T2" Lab Tdx08 CollateralMismatch
        [Lab Tdx09 TcbStatus, Lab Tdx10 TcbEvalTooOld]
        Signed(|draft| draft.td.collateral.tcb_info.pce_id[1] ^= 1);
        "TCB info of another provisioning enclave"),
    variant!(Base::V4; "tcb-info-of-sgx" "T3" Lab Tdx08 CollateralMismatch
        [Lab Tdx09 TcbStatus, Lab Tdx10 TcbEvalTooOld]
        Signed(|draft| draft.td.collateral.tcb_info.id = "SGX".to_owned());
        "TCB info that rates the platform for enclaves"),
    variant!(Base::V4; "tcb-info-by-stranger" "T2" Lab Tdx08 CollateralMismatch
        [Lab Tdx09 TcbStatus, Lab Tdx10 TcbEvalTooOld]
        Signed(|draft| draft.td.collateral.tcb_info_signer = Key::Stranger);
        "TCB info of the adversary's making"),
    variant!(Base::V4; "tcb-info-by-pck-authority" "T2" Lab Tdx08 CollateralMismatch
        [Lab Tdx06 QeIdentity, Lab Tdx09 TcbStatus, Lab Tdx10 TcbEvalTooOld]
        Signed(|draft| draft.td.pki.tcb_signing.subject = "Intel SGX PCK Certificate".to_owned());
        "the documents are signed under the root by a key that is for something else"),
    variant!(Base::V4; "platform-revoked-by-intel" "T2" Lab Tdx09 TcbStatus
        Signed(|draft| draft.td.pki.sgx().set_status(TcbStatus::Revoked));
        "the platform's versions are those that Intel calls revoked"),
    variant!(Base::V4; "tdx-outdated" "T2" Standard Tdx09 TcbStatus
        Signed(|draft| draft.td.pki.sgx().set_status(TcbStatus::OutOfDate));
        "a genuine platform without last year's microcode"),
    variant!(Base::V4; "qvl-not-uptodate" "T3" Standard Tdx09 TcbStatus
        Signed(|draft| draft.td.pki.sgx().set_status(TcbStatus::ConfigurationNeeded));
        "a platform that needs another configuration, which a library calls good"),
    variant!(Base::V4; "qe-outdated" "T2" Standard Tdx09 TcbStatus
        Signed(|draft| draft.td.quote.qe.isv_svn = 5);
        "an old quoting enclave on an up-to-date platform"),
    variant!(Base::V4; "qe-revoked" "T2" Lab Tdx09 TcbStatus Signed(|draft| draft.td.quote.qe.isv_svn = 3);
        "a quoting enclave that Intel calls revoked"),
    variant!(Base::V4; "below-every-level" "T2" Lab Tdx09 TcbStatus
        Signed(|draft| draft.td.pki.sgx().pce_svn = 1);
        "a platform so old that Intel does not rate it any more"),
    variant!(Base::V4; "advisory-refused" "T2" Lab Tdx09 AdvisoryRejected Signed(advisory);
        "the platform is up to date, under an advisory that the charter refuses"),
    variant!(Base::V4; "eval-number-back" "T2" Lab Tdx10 TcbEvalTooOld
        Signed(|draft| draft.td.collateral.tcb_info.tcb_evaluation_data_number -= 1);
        "TCB info of the recovery before, still in its time"),
    variant!(Base::V4; "identity-eval-number-back" "T2" Lab Tdx10 TcbEvalTooOld
        Signed(|draft| draft.td.collateral.qe_identity.tcb_evaluation_data_number -= 1);
        "an identity of the recovery before, still in its time"),
];

fn old_and_in_time(draft: &mut Draft) {
    let issued = draft.expected.now - 31 * DAY_S;
    let fields = &mut draft.td.collateral;
    (fields.tcb_info.issue_date, fields.qe_identity.issue_date) = (issued, issued);
    fields.pck_crl.this_update = issued;
}

fn advisory(draft: &mut Draft) {
    let advisory = HARDENING_ADVISORY.to_owned();
    if let Some(level) = draft.td.collateral.tcb_info.tcb_levels.first_mut() {
        level.advisory_ids.push(advisory);
    }
}
