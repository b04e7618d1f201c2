//! The SGX extension of a PCK certificate, 1.2.840.113741.1.13.1 (Intel SGX PCK certificate and CRL profile).

use super::tcb_info::TcbStatus;
use crate::der;
use crate::x509::{Criticality, extension};

/// What the extension says about one platform.
#[derive(Debug, Clone)]
pub struct SgxExtension {
    /// `.1`: identity of the platform, encrypted for provisioning in the real world.
    pub ppid: [u8; 16],
    /// `.2.1` to `.2.16`.
    pub component_svns: [u8; 16],
    /// `.2.17`.
    pub pce_svn: u16,
    /// `.2.18`: the same versions as the processor reports them.
    pub cpu_svn: [u8; 16],
    /// `.3`.
    pub pce_id: [u8; 2],
    /// `.4`: family, model, stepping, platform type, SKU.
    pub fmspc: [u8; 6],
    /// `.5`: 0 standard, 1 scalable, 2 scalable with integrity.
    pub sgx_type: u8,
    /// `.6`: a platform authority writes it, a processor authority does not.
    pub platform_instance_id: Option<[u8; 16]>,
    /// `.7`: likewise.
    pub configuration: Option<Configuration>,
}

/// Configuration flags of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configuration {
    pub dynamic_platform: bool,
    pub cached_keys: bool,
    pub smt_enabled: bool,
}

impl SgxExtension {
    /// An up-to-date platform with none of the configuration flags.
    pub fn genuine(ppid: [u8; 16], platform_instance_id: [u8; 16]) -> Self {
        let mut extension = Self {
            ppid,
            component_svns: [0; 16],
            pce_svn: PCE_SVN,
            cpu_svn: [0; 16],
            pce_id: PCE_ID,
            fmspc: FMSPC,
            sgx_type: 1,
            platform_instance_id: Some(platform_instance_id),
            configuration: Some(Configuration {
                dynamic_platform: false,
                cached_keys: false,
                smt_enabled: false,
            }),
        };
        extension.set_status(TcbStatus::UpToDate);
        extension
    }

    /// Gives the platform the security versions that the genuine TCB info rates as `status`.
    pub fn set_status(&mut self, status: TcbStatus) {
        self.component_svns = component_svns(status);
        self.cpu_svn = self.component_svns;
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let row = |arcs: &[u32], value: Vec<u8>| der::sequence(&[&der::oid(&sgx(arcs)), &value]);
        let octets = |bytes: &[u8]| der::tlv(der::OCTET_STRING, bytes);
        let flag = |value: bool| der::tlv(der::BOOLEAN, &[if value { 0xff } else { 0 }]);
        let mut levels: Vec<u8> = (1..)
            .zip(self.component_svns)
            .flat_map(|(arc, svn)| row(&[2, arc], der::integer(u64::from(svn))))
            .collect();
        levels.extend(row(&[2, 17], der::integer(u64::from(self.pce_svn))));
        levels.extend(row(&[2, 18], octets(&self.cpu_svn)));
        let mut rows = [
            row(&[1], octets(&self.ppid)),
            row(&[2], der::tlv(der::SEQUENCE, &levels)),
            row(&[3], octets(&self.pce_id)),
            row(&[4], octets(&self.fmspc)),
            row(&[5], der::tlv(der::ENUMERATED, &[self.sgx_type])),
        ]
        .concat();
        if let Some(id) = self.platform_instance_id {
            rows.extend(row(&[6], octets(&id)));
        }
        if let Some(Configuration { dynamic_platform, cached_keys, smt_enabled }) = self.configuration {
            let flags = [(1, dynamic_platform), (2, cached_keys), (3, smt_enabled)];
            let flags: Vec<u8> = flags.into_iter().flat_map(|(arc, on)| row(&[7, arc], flag(on))).collect();
            rows.extend(row(&[7], der::tlv(der::SEQUENCE, &flags)));
        }
        extension(&sgx(&[]), Criticality::Not, &der::tlv(der::SEQUENCE, &rows))
    }
}

/// Component versions of a platform that the genuine TCB info rates as `status`; only the first differs.
pub(super) fn component_svns(status: TcbStatus) -> [u8; 16] {
    let first = match status {
        TcbStatus::UpToDate => 8,
        TcbStatus::SWHardeningNeeded => 7,
        TcbStatus::ConfigurationNeeded => 6,
        TcbStatus::ConfigurationAndSWHardeningNeeded => 5,
        TcbStatus::OutOfDate => 4,
        TcbStatus::OutOfDateConfigurationNeeded => 3,
        TcbStatus::Revoked => 2,
    };
    [first, 3, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// Security version of the provisioning enclave of an up-to-date platform.
pub(super) const PCE_SVN: u16 = 13;
pub(super) const PCE_ID: [u8; 2] = [0, 0];
/// A family of the fifth Xeon generation, as in a public quote.
pub(super) const FMSPC: [u8; 6] = [0xb0, 0xc0, 0x6f, 0, 0, 0];

fn sgx(arcs: &[u32]) -> Vec<u32> {
    [&[1, 2, 840, 113_741, 1, 13, 1], arcs].concat()
}
