//! Identity of the TD quoting enclave, version 2: members in the order in which the PCS writes and signs them.

use serde::Serialize;

use super::tcb_info::{EVALUATION, IsvLevel, LIFETIME_S, TcbStatus};
use super::text::{time, upper_hex};

/// The signed document.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QeIdentity {
    pub id: String,
    pub version: u8,
    /// Unix seconds.
    #[serde(serialize_with = "time")]
    pub issue_date: u64,
    /// Unix seconds.
    #[serde(serialize_with = "time")]
    pub next_update: u64,
    pub tcb_evaluation_data_number: u32,
    #[serde(serialize_with = "upper_hex")]
    pub miscselect: [u8; 4],
    #[serde(serialize_with = "upper_hex")]
    pub miscselect_mask: [u8; 4],
    #[serde(serialize_with = "upper_hex")]
    pub attributes: [u8; 16],
    #[serde(serialize_with = "upper_hex")]
    pub attributes_mask: [u8; 16],
    #[serde(serialize_with = "upper_hex")]
    pub mrsigner: [u8; 32],
    pub isvprodid: u16,
    pub tcb_levels: Vec<IsvLevel>,
}

impl QeIdentity {
    /// Intel's TD quoting enclave, issued at `issue_date` for 30 days.
    pub fn genuine(issue_date: u64) -> Self {
        let mut attributes_mask = [0; 16];
        attributes_mask[..8].copy_from_slice(&[0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        Self {
            id: "TD_QE".to_owned(),
            version: 2,
            issue_date,
            next_update: issue_date + LIFETIME_S,
            tcb_evaluation_data_number: EVALUATION,
            miscselect: [0; 4],
            miscselect_mask: [0xff; 4],
            attributes: IDENTITY_ATTRIBUTES,
            attributes_mask,
            mrsigner: MRSIGNER,
            isvprodid: PROD_ID,
            tcb_levels: vec![
                IsvLevel::of(QE_SVN, TcbStatus::UpToDate),
                IsvLevel::of(4, TcbStatus::OutOfDate),
                IsvLevel::of(2, TcbStatus::Revoked),
            ],
        }
    }
}

/// INIT and PROVISIONING KEY.
const IDENTITY_ATTRIBUTES: [u8; 16] = [0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Product id of the TD quoting enclave.
pub(super) const PROD_ID: u16 = 2;
/// Newest security version of the quoting enclave.
pub(super) const QE_SVN: u16 = 8;
/// MRSIGNER of Intel's quoting enclaves, as every public quote has it.
pub(super) const MRSIGNER: [u8; 32] = [
    0xdc, 0x9e, 0x2a, 0x7c, 0x6f, 0x94, 0x8f, 0x17, 0x47, 0x4e, 0x34, 0xa7, 0xfc, 0x43, 0xed, 0x03, 0x0f,
    0x7c, 0x15, 0x63, 0xf1, 0xba, 0xbd, 0xdf, 0x63, 0x40, 0xc8, 0x2e, 0x0e, 0x54, 0xa8, 0xc5,
];
