//! The TD report body of a quote (TDX ABI 348551, TDREPORT_STRUCT; `sgx_quote_5.h`), little endian.

use std::fmt;

use crate::Hex;

const TD10_LEN: usize = 584;
const TD15_LEN: usize = 648;
const TD15_EX_LEN: usize = 885;

/// Types of TD report bodies. Type 1 of quote version 5 is an SGX enclave's, and no TD report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// TDX 1.0: type 2, and the only one of quote version 4.
    Td10,
    /// TDX 1.5: type 3.
    Td15,
    /// TDX 1.5 with the extended report: type 4.
    Td15Ex,
}

/// A TD report body of proven length; nothing in it is believed yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body<'a> {
    kind: BodyKind,
    base: &'a [u8; TD10_LEN],
    /// What TDX 1.5 adds.
    added: &'a [u8],
}

/// What a body of type 4 says of service TDs and of the report's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extension {
    /// 0 for an unpartitioned TD or its first-level VMM.
    pub(crate) vmid: u8,
    /// Whether any of the four service TD fields is set.
    pub(crate) service_td: bool,
}

impl BodyKind {
    pub(super) fn of(kind: u16) -> Option<Self> {
        match kind {
            2 => Some(Self::Td10),
            3 => Some(Self::Td15),
            4 => Some(Self::Td15Ex),
            _ => None,
        }
    }

    pub(super) fn len(self) -> usize {
        match self {
            Self::Td10 => TD10_LEN,
            Self::Td15 => TD15_LEN,
            Self::Td15Ex => TD15_EX_LEN,
        }
    }
}

impl fmt::Display for BodyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Td10 => "a TDX 1.0 body",
            Self::Td15 => "a TDX 1.5 body",
            Self::Td15Ex => "an extended TDX 1.5 body",
        })
    }
}

impl<'a> Body<'a> {
    /// `None` unless `bytes` has exactly the length of this kind.
    pub(super) fn read(kind: BodyKind, bytes: &'a [u8]) -> Option<Self> {
        let (base, added) = bytes.split_first_chunk()?;
        (bytes.len() == kind.len()).then_some(Self { kind, base, added })
    }

    pub(super) fn kind(&self) -> BodyKind {
        self.kind
    }

    /// Security versions at the TD's launch: module, module major version, microcode and so on.
    pub(crate) fn tee_tcb_svn(&self) -> [u8; 16] {
        self.array::<0, 16>()
    }

    pub(crate) fn mrseam(&self) -> Hex<48> {
        Hex(self.array::<16, 48>())
    }

    pub(crate) fn mrsignerseam(&self) -> Hex<48> {
        Hex(self.array::<64, 48>())
    }

    pub(crate) fn seam_attributes(&self) -> Hex<8> {
        Hex(self.array::<112, 8>())
    }

    pub(crate) fn td_attributes(&self) -> u64 {
        u64::from_le_bytes(self.array::<120, 8>())
    }

    pub(crate) fn xfam(&self) -> u64 {
        u64::from_le_bytes(self.array::<128, 8>())
    }

    pub(crate) fn mrtd(&self) -> Hex<48> {
        Hex(self.array::<136, 48>())
    }

    pub(crate) fn mrconfigid(&self) -> Hex<48> {
        Hex(self.array::<184, 48>())
    }

    pub(crate) fn mrowner(&self) -> Hex<48> {
        Hex(self.array::<232, 48>())
    }

    pub(crate) fn mrownerconfig(&self) -> Hex<48> {
        Hex(self.array::<280, 48>())
    }

    pub(crate) fn rtmr(&self) -> [Hex<48>; 4] {
        [
            Hex(self.array::<328, 48>()),
            Hex(self.array::<376, 48>()),
            Hex(self.array::<424, 48>()),
            Hex(self.array::<472, 48>()),
        ]
    }

    pub(crate) fn report_data(&self) -> Hex<64> {
        Hex(self.array::<520, 64>())
    }

    /// Security versions now, which differ after an update of the module under a running TD; TDX 1.5 only.
    pub(crate) fn tee_tcb_svn_2(&self) -> Option<[u8; 16]> {
        self.added.first_chunk().copied()
    }

    /// MR_SERVICETD; TDX 1.5 only.
    pub(crate) fn mr_servicetd(&self) -> Option<Hex<48>> {
        Hex::from_slice(self.added.get(16..64)?)
    }

    /// The extended report; type 4 only.
    pub(crate) fn extension(&self) -> Option<Extension> {
        /// Within what TDX 1.5 adds: hash and attributes of the service TDs at creation, and now.
        const SERVICE_TD: [std::ops::Range<usize>; 2] = [145..201, 245..301];
        let vmid = *self.added.get(64)?;
        let service_td = SERVICE_TD
            .into_iter()
            .any(|range| self.added.get(range).unwrap_or_default().iter().any(|&byte| byte != 0));
        Some(Extension { vmid, service_td })
    }

    /// A field of the part that every body has.
    fn array<const AT: usize, const N: usize>(&self) -> [u8; N] {
        const { assert!(AT + N <= TD10_LEN) };
        let mut out = [0; N];
        out.copy_from_slice(&self.base[AT..AT + N]);
        out
    }
}
