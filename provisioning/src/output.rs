//! What leaves a guest, and what an entrant hands in: sealed objects that no manifest names (PROVISIONING 8).

use ring::rand::SecureRandom;
use tiltyard_attestation::Hex;
use zeroize::Zeroizing;

use crate::container::{self, ContainerError, ObjectContext, ObjectKind};
use crate::dek::Dek;
use crate::order::ObjectRef;

/// Largest output or submission that is held in memory, in bytes; charters set lower ones.
pub const OUTPUT_MAX_BYTES: u64 = 8 << 30;

/// What a guest puts out, sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputKind {
    /// Trained weights.
    Artefact,
    /// A trainer's log.
    Log,
    /// Losses per held-out item, for the owner.
    Losses,
}

/// An adapter as the two files that PEFT reads, sealed together as one artefact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterFiles {
    /// `adapter_config.json`
    pub config: Vec<u8>,
    /// `adapter_model.safetensors`
    pub weights: Vec<u8>,
}

impl AdapterFiles {
    /// `u64le` length of the configuration, the configuration, the weights.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Vec::with_capacity(8 + self.config.len() + self.weights.len());
        out.extend_from_slice(&(self.config.len() as u64).to_le_bytes());
        out.extend_from_slice(&self.config);
        out.extend_from_slice(&self.weights);
        Zeroizing::new(out)
    }

    /// Splits what [`AdapterFiles::to_bytes`] made; says nothing of what is in the files.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OutputError> {
        bytes
            .split_first_chunk::<8>()
            .and_then(|(len, rest)| rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?))
            .map(|(config, weights)| Self { config: config.to_vec(), weights: weights.to_vec() })
            .ok_or(OutputError::Adapter { got: bytes.len() as u64 })
    }
}

/// Why an output or submission could not be sealed, or was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    #[error("E_TOO_LARGE: expected at most {OUTPUT_MAX_BYTES} bytes, found {got}")]
    TooLarge { got: u64 },
    #[error("E_DIGEST: expected an object of {expected} bytes, found {got}")]
    Length { expected: u64, got: u64 },
    #[error("E_ARTEFACT_FORM: expected a length, a configuration and weights, found {got} other bytes")]
    Adapter { got: u64 },
    #[error(transparent)]
    Container(#[from] ContainerError),
}

/// Seals what a guest made under `order`; returns how other documents refer to it, and the object.
pub fn seal_output(
    kind: OutputKind,
    tenant: &str,
    order: &Hex<32>,
    dek: &Dek,
    plaintext: &[u8],
    rng: &dyn SecureRandom,
) -> Result<(ObjectRef, Vec<u8>), OutputError> {
    seal(|name| output_context(kind, tenant, order, name), dek, plaintext, rng)
}

/// Opens what [`seal_output`] sealed, and nothing else: kind, tenant, order and reference must all be the same.
pub fn open_output(
    kind: OutputKind,
    tenant: &str,
    order: &Hex<32>,
    dek: &Dek,
    object: &ObjectRef,
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OutputError> {
    open(&output_context(kind, tenant, order, object.name), dek, object, bytes)
}

/// Seals an entrant's content for one tournament.
///
/// The submission's id can't be in the context, as it is the digest of a document that holds this
/// reference; tournament and entrant are.
pub fn seal_submission(
    tournament: &str,
    entrant: &Hex<32>,
    dek: &Dek,
    plaintext: &[u8],
    rng: &dyn SecureRandom,
) -> Result<(ObjectRef, Vec<u8>), OutputError> {
    seal(|name| submission_context(tournament, entrant, name), dek, plaintext, rng)
}

/// Opens what [`seal_submission`] sealed for the same tournament and entrant.
pub fn open_submission(
    tournament: &str,
    entrant: &Hex<32>,
    dek: &Dek,
    object: &ObjectRef,
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OutputError> {
    open(&submission_context(tournament, entrant, object.name), dek, object, bytes)
}

fn output_context(kind: OutputKind, tenant: &str, order: &Hex<32>, name: Hex<16>) -> ObjectContext {
    let kind = match kind {
        OutputKind::Artefact => ObjectKind::Artefact,
        OutputKind::Log => ObjectKind::Log,
        OutputKind::Losses => ObjectKind::Losses,
    };
    ObjectContext {
        tenant: tenant.into(),
        kind,
        id: order.to_string(),
        version: 1,
        split: None,
        name,
        index: 0,
    }
}

fn submission_context(tournament: &str, entrant: &Hex<32>, name: Hex<16>) -> ObjectContext {
    ObjectContext {
        tenant: tournament.into(),
        kind: ObjectKind::Submission,
        id: entrant.to_string(),
        version: 1,
        split: None,
        name,
        index: 0,
    }
}

fn seal(
    context: impl FnOnce(Hex<16>) -> ObjectContext,
    dek: &Dek,
    plaintext: &[u8],
    rng: &dyn SecureRandom,
) -> Result<(ObjectRef, Vec<u8>), OutputError> {
    bounded(plaintext.len() as u64)?;
    let name = container::random_name(rng)?;
    let bytes = container::seal(dek, &context(name), plaintext, rng)?;
    let object = ObjectRef {
        name,
        header: container::header_of(&bytes)?,
        sha256: Hex::sha256(&bytes),
        len_bytes: bytes.len() as u64,
    };
    Ok((object, bytes))
}

/// The signed header stands for the content: nobody without the key can make a second object under it, so
/// no hash of the whole file is taken here.
fn open(
    context: &ObjectContext,
    dek: &Dek,
    object: &ObjectRef,
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OutputError> {
    bounded(object.len_bytes)?;
    let got = bytes.len() as u64;
    if got != object.len_bytes {
        return Err(OutputError::Length { expected: object.len_bytes, got });
    }
    Ok(container::open_expected(dek, context, &object.header, bytes)?)
}

fn bounded(got: u64) -> Result<(), OutputError> {
    if got > OUTPUT_MAX_BYTES { Err(OutputError::TooLarge { got }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapter_files_split_into_what_they_were_made_of() {
        let files = AdapterFiles { config: b"{}".to_vec(), weights: b"weights".to_vec() };
        let blob = files.to_bytes();
        assert_eq!(AdapterFiles::from_bytes(&blob).expect("split"), files);
        assert!(matches!(AdapterFiles::from_bytes(&blob[..7]), Err(OutputError::Adapter { got: 7 })));
        let mut long = blob.clone();
        long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(AdapterFiles::from_bytes(&long), Err(OutputError::Adapter { .. })));
    }
}
