//! The quoting enclave's report (SGX REPORT body, 384 bytes, little endian; SDM volume 3D, table 36-20).

use crate::Hex;

/// Report of the enclave that signs quotes; believed once the PCK's signature on it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct QeReport<'a>(pub(super) &'a [u8; 384]);

impl QeReport<'_> {
    pub(super) fn miscselect(&self) -> [u8; 4] {
        self.array::<16, 4>()
    }

    pub(super) fn attributes(&self) -> [u8; 16] {
        self.array::<48, 16>()
    }

    pub(super) fn mrsigner(&self) -> Hex<32> {
        Hex(self.array::<128, 32>())
    }

    pub(super) fn prod_id(&self) -> u16 {
        u16::from_le_bytes(self.array::<256, 2>())
    }

    pub(super) fn svn(&self) -> u16 {
        u16::from_le_bytes(self.array::<258, 2>())
    }

    pub(super) fn report_data(&self) -> Hex<64> {
        Hex(self.array::<320, 64>())
    }

    fn array<const AT: usize, const N: usize>(&self) -> [u8; N] {
        const { assert!(AT + N <= 384) };
        let mut out = [0; N];
        out.copy_from_slice(&self.0[AT..AT + N]);
        out
    }
}
