//! SHA-384 into a fixed array.

use ring::digest::{Context, SHA384};

pub(super) const DIGEST_LEN: usize = 48;

pub(super) fn sha384(data: &[u8]) -> [u8; DIGEST_LEN] {
    let mut context = Context::new(&SHA384);
    context.update(data);
    finish(context)
}

pub(super) fn finish(context: Context) -> [u8; DIGEST_LEN] {
    let mut out = [0; DIGEST_LEN];
    out.copy_from_slice(context.finish().as_ref());
    out
}
