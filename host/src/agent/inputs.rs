//! Which files each guest is given: by digest, all of them ciphertext or public.

use tiltyard_attestation::{Disk, Hex};
use tiltyard_provisioning::keyid::Split;
use tiltyard_provisioning::manifest::{Manifest, ManifestError};
use tiltyard_provisioning::order::{Order, Submission, Work};
use tiltyard_provisioning::statement::StatementError;

use super::Agent;
use crate::launch::disk;
use crate::store::StoreError;

/// Why a guest's inputs are not complete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    #[error("input: {what} {sha256} is not in the object store\n  import it with --objects")]
    Missing { what: &'static str, sha256: Hex<32> },
    #[error(
        "input: {what} {sha256}: expected {expected} bytes, found {got}\n  it was changed or cut: fetch it again"
    )]
    Length { what: &'static str, sha256: Hex<32>, expected: u64, got: u64 },
    #[error("input: the charter has no {split:?} split of dataset {dataset_id}")]
    NoDataset { dataset_id: String, split: Split },
    #[error("input: submission {submission} is not in the roll")]
    NotInRoll { submission: Hex<32> },
    #[error("input: {0}")]
    Manifest(#[from] ManifestError),
    #[error("input: {0}")]
    Submission(#[from] StatementError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("input: manifest: {0}")]
    Read(#[from] std::io::Error),
}

impl Agent {
    /// The rulebook, every submission's payload and, in a lab, the anchor set: what the bundle will hold.
    pub(super) fn referee_disks(&self) -> Result<Vec<Disk>, InputError> {
        let mut disks = vec![self.input("rulebook", &self.charter.tournament.rulebook_sha256, None)?];
        if let Some(anchors) = &self.charter.reference_values.foreign_anchors {
            disks.push(self.input("anchor set", anchors, None)?);
        }
        for entry in &self.roll.entries {
            disks.push(self.input("submission", &entry.submission.digest(), None)?);
        }
        Ok(unique(disks))
    }

    /// What one order's guest opens: base model, its split of the dataset, submission or artefacts.
    pub(super) fn order_disks(&self, order: &Order) -> Result<Vec<Disk>, InputError> {
        let base = &self.charter.base;
        let mut disks = vec![self.input("base model", &base.sha256, Some(base.len_bytes))?];
        match &order.work {
            Work::Train { submission } => {
                self.dataset(&order.dataset_id, Split::Train, &mut disks)?;
                let content = self.submission(submission)?.content;
                disks.push(self.input("submission", submission, None)?);
                disks.push(self.input("submission content", &content.sha256, Some(content.len_bytes))?);
            }
            Work::Evaluate { artefacts } => {
                self.dataset(&order.dataset_id, Split::Test, &mut disks)?;
                for artefact in artefacts {
                    let object = &artefact.object;
                    disks.push(self.input("artefact", &object.sha256, Some(object.len_bytes))?);
                }
            }
        }
        Ok(unique(disks))
    }

    /// A dataset's manifest payload and every object that it lists.
    fn dataset(&self, dataset_id: &str, split: Split, disks: &mut Vec<Disk>) -> Result<(), InputError> {
        let dataset = self
            .charter
            .datasets
            .iter()
            .find(|dataset| dataset.dataset_id == dataset_id && dataset.split == split)
            .ok_or_else(|| InputError::NoDataset { dataset_id: dataset_id.to_owned(), split })?;
        let sha256 = dataset.manifest_sha256;
        disks.push(self.input("manifest", &sha256, None)?);
        let payload = std::fs::read(self.store.path(&sha256))?;
        let manifest = Manifest::admit(&payload, &self.charter.tenant, dataset)?;
        for object in &manifest.objects {
            disks.push(self.input("sealed object", &object.sha256, Some(object.len))?);
        }
        Ok(())
    }

    fn submission(&self, id: &Hex<32>) -> Result<Submission, InputError> {
        let entry = self.roll.entries.iter().find(|entry| entry.submission.digest() == *id);
        let signed = &entry.ok_or(InputError::NotInRoll { submission: *id })?.submission;
        // Whose key it is, is the referee's to judge; here it only says which file to show.
        Ok(signed.verify(&signed.key)?.into_value())
    }

    fn input(
        &self,
        what: &'static str,
        sha256: &Hex<32>,
        len_bytes: Option<u64>,
    ) -> Result<Disk, InputError> {
        let sha256 = *sha256;
        let got = self.store.len_bytes(&sha256).ok_or(InputError::Missing { what, sha256 })?;
        match len_bytes.filter(|expected| *expected != got) {
            Some(expected) => Err(InputError::Length { what, sha256, expected, got }),
            None => Ok(disk(sha256, got)),
        }
    }
}

/// One file is shown once, whatever it serves as.
fn unique(mut disks: Vec<Disk>) -> Vec<Disk> {
    let mut seen = Vec::new();
    disks.retain(|disk| {
        let new = !seen.contains(&disk.sha256);
        seen.push(disk.sha256);
        new
    });
    disks
}
