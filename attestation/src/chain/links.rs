//! Signatures that were verified before: one Verifier meets the same intermediate certificates again and again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use ring::digest::{Context, SHA256};

/// Most remembered signatures; beyond that nothing more is remembered, and everything still verified.
const LINKS_MAX: usize = 4096;

/// Verified (key, message, signature) triples, by digest. Only successes are remembered: a refusal is never cached.
#[derive(Debug, Default)]
pub struct Links(Mutex<BTreeSet<[u8; 32]>>);

impl Links {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `verify` holds, or held before for exactly these bytes under this key and scheme.
    pub(crate) fn holds(
        &self,
        scheme: &str,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
        verify: impl FnOnce() -> bool,
    ) -> bool {
        let mut context = Context::new(&SHA256);
        for part in [scheme.as_bytes(), key, message, signature] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut id = [0; 32];
        id.copy_from_slice(context.finish().as_ref());
        // A panic elsewhere cannot leave a half-written set, so a poisoned lock still holds a sound one.
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id) {
            return true;
        }
        let verified = verify();
        if verified {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() < LINKS_MAX {
                known.insert(id);
            }
        }
        verified
    }
}
