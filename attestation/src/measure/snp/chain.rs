//! The chain of PAGE_INFO digests (SNP ABI 56860, "Guest launch digest").

use ring::digest::{Context, SHA384};

use crate::Hex;
use crate::measure::firmware::Range;
use crate::measure::hash::{DIGEST_LEN, finish, sha384};
use crate::measure::{FOUR_GIB, PAGE};

/// Size of PAGE_INFO, in bytes; the structure carries it too.
const PAGE_INFO_LEN: u16 = 0x70;

/// PAGE_TYPE of SNP_LAUNCH_UPDATE. Only the first two measure what a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageType {
    Normal = 1,
    Vmsa = 2,
    Zero = 3,
    Unmeasured = 4,
    Secrets = 5,
    Cpuid = 6,
}

/// The launch digest so far.
#[derive(Debug, Clone)]
pub(super) struct Chain([u8; DIGEST_LEN]);

impl Chain {
    pub(super) fn new() -> Self {
        Self([0; DIGEST_LEN])
    }

    pub(super) fn resume(digest: Hex<48>) -> Self {
        Self(digest.0)
    }

    pub(super) fn digest(&self) -> Hex<48> {
        Hex(self.0)
    }

    /// ld' = SHA-384(PAGE_INFO): ld, digest of the contents, length, type, then IMI flag and the
    /// permissions of VMPL 3 to 1, all zero, and the guest address.
    pub(super) fn page(&mut self, kind: PageType, address: u64, contents: &[u8; DIGEST_LEN]) {
        let mut context = Context::new(&SHA384);
        context.update(&self.0);
        context.update(contents);
        context.update(&PAGE_INFO_LEN.to_le_bytes());
        context.update(&[kind as u8, 0, 0, 0, 0, 0]);
        context.update(&address.to_le_bytes());
        self.0 = finish(context);
    }

    /// Every page of `range`, with zeros for the digest of its contents.
    pub(super) fn without_contents(&mut self, kind: PageType, range: Range) {
        for address in range.pages() {
            self.page(kind, address, &[0; DIGEST_LEN]);
        }
    }

    /// The pages of a firmware that ends at 4 GiB; its length is a multiple of the page size.
    pub(super) fn firmware(&mut self, file: &[u8]) {
        let start = FOUR_GIB - file.len() as u64;
        for (address, page) in (start..).step_by(PAGE).zip(file.chunks_exact(PAGE)) {
            self.page(PageType::Normal, address, &sha384(page));
        }
    }
}
