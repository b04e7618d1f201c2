//! The report of a TD as a quote carries it (TDX ABI 348551, TD_REPORT; DCAP quote v4 and v5 bodies).

/// Body of a v4 quote, and of a v5 quote of type 2.
pub const TD10_BYTES: usize = 584;
/// Body of a v5 quote of type 3.
pub const TD15_BYTES: usize = 648;

/// Every field. Genuine by default; a test changes one and signs again.
#[derive(Debug, Clone)]
pub struct TdReport {
    /// Security version of the TDX module, its major version, late microcode; at launch.
    pub tee_tcb_svn: [u8; 16],
    pub mrseam: [u8; 48],
    pub mrsignerseam: [u8; 48],
    pub seam_attributes: u64,
    pub td_attributes: u64,
    pub xfam: u64,
    pub mrtd: [u8; 48],
    pub mrconfigid: [u8; 48],
    pub mrowner: [u8; 48],
    pub mrownerconfig: [u8; 48],
    pub rtmr: [[u8; 48]; 4],
    pub report_data: [u8; 64],
    /// As `tee_tcb_svn`, of the module that runs now. TD 1.5 only.
    pub tee_tcb_svn2: [u8; 16],
    /// TD 1.5 only.
    pub mr_servicetd: [u8; 48],
    /// Overwritten last, before signing: offset within the body and byte.
    pub patches: Vec<(usize, u8)>,
}

impl TdReport {
    /// A TD that breaks no rule, on an up-to-date module of major version 1.
    pub fn genuine(mrseam: [u8; 48]) -> Self {
        Self {
            tee_tcb_svn: TEE_TCB_SVN,
            mrseam,
            mrsignerseam: [0; 48],
            seam_attributes: 0,
            td_attributes: SEPT_VE_DISABLE,
            xfam: XFAM,
            mrtd: [0; 48],
            mrconfigid: [0; 48],
            mrowner: [0; 48],
            mrownerconfig: [0; 48],
            rtmr: [[0; 48]; 4],
            report_data: [0; 64],
            tee_tcb_svn2: TEE_TCB_SVN,
            mr_servicetd: [0; 48],
            patches: Vec::new(),
        }
    }

    /// The first `len` bytes of the body; zeros beyond [`TD15_BYTES`].
    pub(super) fn encode(&self, len: usize) -> Vec<u8> {
        let mut body = Vec::with_capacity(TD15_BYTES);
        body.extend_from_slice(&self.tee_tcb_svn);
        body.extend_from_slice(&self.mrseam);
        body.extend_from_slice(&self.mrsignerseam);
        for bits in [self.seam_attributes, self.td_attributes, self.xfam] {
            body.extend_from_slice(&bits.to_le_bytes());
        }
        for register in
            [self.mrtd, self.mrconfigid, self.mrowner, self.mrownerconfig].iter().chain(&self.rtmr)
        {
            body.extend_from_slice(register);
        }
        body.extend_from_slice(&self.report_data);
        body.extend_from_slice(&self.tee_tcb_svn2);
        body.extend_from_slice(&self.mr_servicetd);
        body.resize(len, 0);
        for (at, byte) in &self.patches {
            if let Some(to) = body.get_mut(*at) {
                *to = *byte;
            }
        }
        body
    }
}

/// Module 1.5 at security version 9, late microcode 3.
const TEE_TCB_SVN: [u8; 16] = [9, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Bit 28: an unaccepted page gives no exception that the host could use.
const SEPT_VE_DISABLE: u64 = 1 << 28;
/// x87, SSE, AVX, AVX-512, PKRU, AMX: as in a public quote.
pub const XFAM: u64 = 0x6_02e7;
