//! Read-only inputs, found by digest and believed only after it was recomputed.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use ring::digest::{Context, SHA256};
use tiltyard_attestation::{Disk, Hex};

use crate::error::GuestError;

/// Where the image mounts the inputs.
pub(crate) const INPUT_ROOT: &str = "/inputs";

const READ_BYTES: usize = 1 << 20;

/// The inputs named by the launch configuration.
#[derive(Clone)]
pub(crate) struct Inputs {
    root: PathBuf,
    disks: Vec<Disk>,
}

impl Inputs {
    pub(crate) fn new(root: impl Into<PathBuf>, disks: Vec<Disk>) -> Self {
        Self { root: root.into(), disks }
    }

    /// The input whose SHA-256 is `digest`, whole, of at most `max_bytes`.
    pub(crate) fn read(&self, digest: &Hex<32>, max_bytes: u64) -> Result<Vec<u8>, GuestError> {
        let refuse = |why| GuestError::Input { digest: *digest, why };
        let disk = self
            .disks
            .iter()
            .find(|disk| disk.sha256 == *digest)
            .ok_or_else(|| refuse("not in the launch configuration"))?;
        if disk.len_bytes > max_bytes {
            return Err(refuse("larger than its limit"));
        }
        let name = disk.sha256.to_string();
        let mut file = File::open(self.root.join(&name[..20])).map_err(|_| refuse("absent"))?;
        let len = usize::try_from(disk.len_bytes).map_err(|_| refuse("larger than memory"))?;
        let mut bytes = Vec::with_capacity(len);
        let mut hash = Context::new(&SHA256);
        let mut block = vec![0; READ_BYTES];
        loop {
            let read = file.read(&mut block).map_err(|_| refuse("unreadable"))?;
            if read == 0 {
                break;
            }
            if bytes.len() + read > len {
                return Err(refuse("longer than the launch configuration says"));
            }
            hash.update(&block[..read]);
            bytes.extend_from_slice(&block[..read]);
        }
        if bytes.len() != len || hash.finish().as_ref() != digest.bytes() {
            return Err(refuse("differs from its digest"));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(content: &[u8], claimed: &[u8]) -> (tempfile::TempDir, Inputs, Hex<32>) {
        let folder = tempfile::tempdir().expect("folder");
        let sha256 = Hex::sha256(claimed);
        let serial = sha256.to_string()[..20].to_owned();
        std::fs::write(folder.path().join(&serial), content).expect("write");
        let disk = Disk { serial, sha256, len_bytes: claimed.len() as u64 };
        let inputs = Inputs::new(folder.path(), vec![disk]);
        (folder, inputs, sha256)
    }

    #[test]
    fn an_input_is_read_only_under_its_digest() {
        let (_folder, good, digest) = inputs(b"abc", b"abc");
        assert_eq!(good.read(&digest, 3).expect("read"), b"abc");
        assert!(matches!(good.read(&digest, 2), Err(GuestError::Input { why: "larger than its limit", .. })));
        assert!(good.read(&Hex::sha256(b"other"), 3).is_err());
        for edited in [&b"abd"[..], b"ab", b"abcd"] {
            let (_folder, bad, digest) = inputs(edited, b"abc");
            assert!(matches!(bad.read(&digest, 9), Err(GuestError::Input { .. })), "{edited:?}");
        }
    }
}
