//! What was verified before: one Verifier meets the same intermediate certificates and manifests again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{Context, SHA256};

use crate::Hex;
use crate::collateral::COLLATERAL_ITEMS_MAX;
use crate::nvidia::rim::Signed;

/// Most remembered signatures; beyond that nothing more is remembered, and everything still verified.
const LINKS_MAX: usize = 4096;
/// Most remembered manifests: one collateral set's.
const MANIFESTS_MAX: usize = COLLATERAL_ITEMS_MAX;

/// Verified (key, message, signature) triples and signed manifests, by digest. Only what follows from the bytes alone
/// and only successes are remembered: a refusal is never cached, and neither is a chain, a date or a revocation.
#[derive(Debug, Default)]
pub struct Links {
    verified: Mutex<BTreeSet<[u8; 32]>>,
    manifests: Mutex<BTreeMap<Hex<32>, Arc<Signed>>>,
}

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
        if self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(&id) {
            return true;
        }
        let verified = verify();
        if verified {
            let mut known = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() < LINKS_MAX {
                known.insert(id);
            }
        }
        verified
    }

    /// The manifest that `read` makes of `bytes`, or made before of exactly these.
    pub(crate) fn manifest<E>(
        &self,
        bytes: &[u8],
        read: impl FnOnce() -> Result<Signed, E>,
    ) -> Result<Arc<Signed>, E> {
        let id = Hex::sha256(bytes);
        if let Some(known) = self.manifests.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(Arc::clone(known));
        }
        let signed = Arc::new(read()?);
        let mut known = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MANIFESTS_MAX {
            known.insert(id, Arc::clone(&signed));
        }
        Ok(signed)
    }
}
