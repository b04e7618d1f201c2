//! MRTD: SHA-384 over the records of the module's build-time leaves.

use ring::digest::{Context, SHA384};

use super::PageOrder;
use super::tdvf::{Section, sections};
use crate::Hex;
use crate::measure::hash::finish;
use crate::measure::{MeasureError, PAGE};

/// Size of a record, in bytes: the leaf's name, the guest address at 16, zeros.
const RECORD_LEN: usize = 128;
const ADDRESS_AT: usize = 16;
/// How much of a page one TDH.MR.EXTEND covers, in bytes.
const CHUNK: usize = 256;

/// MRTD of a TDX guest that starts with `firmware`, added in `order`.
pub fn mrtd(firmware: &[u8], order: PageOrder) -> Result<Hex<48>, MeasureError> {
    let mut context = Context::new(&SHA384);
    for section in sections(firmware)? {
        match order {
            PageOrder::PerPage => {
                for (page, address) in section.range.pages().enumerate() {
                    add(&mut context, address);
                    extend(&mut context, &section, page, address);
                }
            }
            PageOrder::PerSection => {
                section.range.pages().for_each(|address| add(&mut context, address));
                for (page, address) in section.range.pages().enumerate() {
                    extend(&mut context, &section, page, address);
                }
            }
        }
    }
    Ok(Hex(finish(context)))
}

/// TDH.MEM.PAGE.ADD.
fn add(context: &mut Context, address: u64) {
    context.update(&record(b"MEM.PAGE.ADD", address));
}

/// TDH.MR.EXTEND over one page, where the section says so.
fn extend(context: &mut Context, section: &Section<'_>, page: usize, address: u64) {
    let content = section.extended.and_then(|content| content.chunks_exact(PAGE).nth(page));
    let chunks = content.into_iter().flat_map(|content| content.chunks_exact(CHUNK));
    for (chunk_address, chunk) in (address..).step_by(CHUNK).zip(chunks) {
        context.update(&record(b"MR.EXTEND", chunk_address));
        context.update(chunk);
    }
}

fn record(leaf: &[u8], address: u64) -> [u8; RECORD_LEN] {
    let mut record = [0; RECORD_LEN];
    record[..leaf.len()].copy_from_slice(leaf);
    record[ADDRESS_AT..ADDRESS_AT + 8].copy_from_slice(&address.to_le_bytes());
    record
}
