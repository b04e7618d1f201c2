//! `submit`: an entrant's recipe, sealed, signed, its key in escrow with the operator.

use std::path::PathBuf;

use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use tiltyard_attestation::{Base64Bytes, Hex};
use tiltyard_provisioning::dek::Dek;
use tiltyard_provisioning::hpke::{HpkeError, HpkeSecret, seal_to};
use tiltyard_provisioning::normalise::{RECIPE_PATH, normalised_digest};
use tiltyard_provisioning::order::{Submission, SubmissionKind};
use tiltyard_provisioning::output::seal_submission;
use tiltyard_provisioning::statement::Signed;
use zeroize::Zeroizing;

use super::{read_document, unlock, write_object};
use crate::cli::{Facts, OutputForm, SubmitArgs, path_text};
use crate::error::shown;
use crate::file::make_folder;
use crate::identity::Secret;
use crate::{BrokerError, PublicIdentity, read_limited, write_private};

/// Largest recipe, in bytes (TOURNAMENT 6).
const RECIPE_MAX_BYTES: u64 = 64 * 1024;

/// What an entrant hands to the operator, beside the sealed object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handover {
    pub submission: Signed<Submission>,
    pub escrow: Escrow,
}

/// The content's key, sealed to the operator.
///
/// info = `tiltyard-escrow-v1 NUL || submission id`, aad empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Escrow {
    pub enc: Base64Bytes,
    pub ct: Base64Bytes,
}

impl Escrow {
    fn seal(
        dek: &Dek,
        submission: &Hex<32>,
        operator: &PublicIdentity,
        rng: &dyn SecureRandom,
    ) -> Result<Self, HpkeError> {
        let (enc, ct) = seal_to(&operator.hpke, &escrow_info(submission), b"", dek.expose(), rng)?;
        Ok(Self { enc: enc.into(), ct: ct.into() })
    }

    /// The key, if it was sealed to this operator for this very submission.
    pub(super) fn open(
        &self,
        submission: &Hex<32>,
        operator: &HpkeSecret,
    ) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
        operator.open(&self.enc.0, &self.ct.0, &escrow_info(submission), b"")
    }
}

fn escrow_info(submission: &Hex<32>) -> Vec<u8> {
    [&b"tiltyard-escrow-v1\0"[..], submission.bytes()].concat()
}

#[derive(Serialize)]
struct Submitted {
    entrant: Hex<32>,
    submission: Hex<32>,
    normalised_sha256: Hex<32>,
    #[serde(serialize_with = "path_text")]
    handover: PathBuf,
    #[serde(serialize_with = "path_text")]
    object: PathBuf,
}

pub(super) fn submit(args: SubmitArgs, form: OutputForm) -> Result<(), BrokerError> {
    let operator: PublicIdentity = read_document(&args.escrow)?;
    let recipe = Zeroizing::new(read_limited(&args.recipe, RECIPE_MAX_BYTES)?);
    let text = std::str::from_utf8(&recipe).map_err(|_| BrokerError::Document {
        path: args.recipe.clone(),
        what: "a recipe is UTF-8 text".into(),
    })?;
    let home = unlock(&args.home)?;
    let entrant = home.entrant("submit")?.entrant;

    let rng = SystemRandom::new();
    let dek = Dek::generate(&rng).map_err(BrokerError::coded)?;
    let (content, object) =
        seal_submission(&args.tournament, &entrant, &dek, &recipe, &rng).map_err(BrokerError::coded)?;
    let submission = Submission {
        v: 1,
        kind: SubmissionKind::Recipe,
        entrant,
        tournament: args.tournament,
        content,
        normalised_sha256: normalised_digest([(RECIPE_PATH, text)]),
        licence: args.licence,
        base: args.base,
    };
    let signed = Signed::sign(&submission, &home.ed25519(Secret::Signing)?);
    let escrow = Escrow::seal(&dek, &signed.digest(), &operator, &rng)
        .map_err(|error| BrokerError::refused(error.code(), error))?;

    make_folder(&args.out)?;
    let (_, object) = write_object(&args.out, &object)?;
    let (id, _) = write_object(&args.out, &signed.payload.0)?;
    let handover = args.out.join("submission.json");
    // Strings and integers only, which always serialise.
    let document = serde_json::to_vec(&Handover { submission: signed, escrow }).unwrap_or_default();
    write_private(&handover, &document)?;
    Submitted { entrant, submission: id, normalised_sha256: submission.normalised_sha256, handover, object }
        .print(form)
}

impl Facts for Submitted {
    fn lines(&self) -> Vec<String> {
        vec![
            format!("submission {}", self.submission),
            format!("  give to the operator: {}", shown(&self.handover)),
            format!("  and to the hosts:     {}", shown(&self.object)),
        ]
    }
}
