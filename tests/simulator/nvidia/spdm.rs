//! SPDM 1.1 GET_MEASUREMENTS and MEASUREMENTS (DSP0274), as the driver hands them out: one after the other.

use super::keys::{KeyName, Keyring, SIGNATURE_BYTES};
use super::opaque::OpaqueField;

/// Length of the request, in bytes.
pub const REQUEST_BYTES: usize = 37;
/// Length of one measured value, in bytes.
pub const VALUE_BYTES: usize = 48;

/// Every field of request and response. Lengths and counts that are `None` are the true ones.
#[derive(Debug, Clone)]
pub struct ReportFields {
    pub request: RequestFields,
    /// Version and code: `11 60`.
    pub response_code: [u8; 2],
    /// Param1 and Param2, both zero in every sample.
    pub response_params: [u8; 2],
    pub block_count: Option<u8>,
    pub record_length: Option<u32>,
    pub blocks: Vec<Block>,
    pub responder_nonce: [u8; 32],
    pub opaque_length: Option<u16>,
    pub opaque: Vec<OpaqueField>,
    /// Follows the last opaque field, inside what is signed.
    pub after_opaque: Vec<u8>,
    /// Overwritten last, before signing: offset and byte.
    pub patches: Vec<(usize, u8)>,
    pub signer: KeyName,
    /// Follows the signature.
    pub after_signature: Vec<u8>,
}

/// The verifier's half.
#[derive(Debug, Clone)]
pub struct RequestFields {
    /// Version and code: `11 E0`.
    pub code: [u8; 2],
    /// Param1 (signature asked for) and Param2 (all measurements).
    pub params: [u8; 2],
    pub nonce: [u8; 32],
    pub slot: u8,
}

/// One measurement block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Counts from 1: index i of a manifest is block i + 1.
    pub index: u8,
    /// 1: DMTF.
    pub specification: u8,
    pub size: Option<u16>,
    /// 1: mutable firmware, digest, in every sample.
    pub kind: u8,
    pub value_size: Option<u16>,
    pub value: Vec<u8>,
}

impl ReportFields {
    /// A report that breaks no rule.
    pub fn genuine(nonce: [u8; 32], blocks: Vec<Block>, opaque: Vec<OpaqueField>, signer: KeyName) -> Self {
        Self {
            request: RequestFields { code: [0x11, 0xe0], params: [0x01, 0xff], nonce, slot: 0 },
            response_code: [0x11, 0x60],
            response_params: [0, 0],
            block_count: None,
            record_length: None,
            blocks,
            responder_nonce: [0; 32],
            opaque_length: None,
            opaque,
            after_opaque: Vec::new(),
            patches: Vec::new(),
            signer,
            after_signature: Vec::new(),
        }
    }

    /// Request, response and signature.
    pub fn issue(&self, keys: &Keyring) -> Vec<u8> {
        let mut report = self.encode();
        let signature: [u8; SIGNATURE_BYTES] = keys.sign_raw(&self.signer, &report);
        report.extend_from_slice(&signature);
        report.extend_from_slice(&self.after_signature);
        report
    }

    /// The value of the block with this index.
    pub fn value_mut(&mut self, block: u8) -> Option<&mut Vec<u8>> {
        self.blocks.iter_mut().find(|one| one.index == block).map(|one| &mut one.value)
    }

    /// The first opaque field of this type.
    pub fn opaque_mut(&mut self, kind: u16) -> Option<&mut OpaqueField> {
        self.opaque.iter_mut().find(|field| field.kind == kind)
    }

    /// What the signature covers.
    fn encode(&self) -> Vec<u8> {
        let record: Vec<u8> = self.blocks.iter().flat_map(Block::encode).collect();
        let mut opaque: Vec<u8> = self.opaque.iter().flat_map(OpaqueField::encode).collect();
        opaque.extend_from_slice(&self.after_opaque);
        let record_length = self.record_length.unwrap_or(record.len() as u32).to_le_bytes();
        let mut out = Vec::new();
        out.extend_from_slice(&self.request.code);
        out.extend_from_slice(&self.request.params);
        out.extend_from_slice(&self.request.nonce);
        out.push(self.request.slot);
        out.extend_from_slice(&self.response_code);
        out.extend_from_slice(&self.response_params);
        out.push(self.block_count.unwrap_or(self.blocks.len() as u8));
        out.extend_from_slice(&record_length[..3]);
        out.extend_from_slice(&record);
        out.extend_from_slice(&self.responder_nonce);
        out.extend_from_slice(&self.opaque_length.unwrap_or(opaque.len() as u16).to_le_bytes());
        out.extend_from_slice(&opaque);
        for (offset, byte) in &self.patches {
            out.iter_mut().skip(*offset).take(1).for_each(|to| *to = *byte);
        }
        out
    }
}

impl Block {
    /// A block that breaks no rule.
    pub fn genuine(index: u8, value: [u8; VALUE_BYTES]) -> Self {
        Self { index, specification: 1, size: None, kind: 1, value_size: None, value: value.to_vec() }
    }

    /// Index, specification, size, value type, value size, value; little endian.
    fn encode(&self) -> Vec<u8> {
        let value_size = self.value.len() as u16;
        let mut out = vec![self.index, self.specification];
        out.extend_from_slice(&self.size.unwrap_or(value_size + 3).to_le_bytes());
        out.push(self.kind);
        out.extend_from_slice(&self.value_size.unwrap_or(value_size).to_le_bytes());
        out.extend_from_slice(&self.value);
        out
    }
}
