//! Intel's word on one platform family: documents signed by the TCB signing key, lists signed by the authorities
//! (PCS API v4; Intel SGX PCK Certificate and CRL Profile Specification).

use super::documents::{DocumentError, QeIdentity, TcbInfo};
use super::json::Date;
use super::pck::Pck;
use super::pem::{self, PemError};
use crate::chain::ec::{Curve, EcChain, Form};
use crate::chain::{ChainError, Links, TrustAnchors};
use crate::checks::Code;
use crate::collateral::{Collateral, TdxCollateral};
use crate::{Base64Bytes, Hex};

const TCB_SIGNER: &str = "Intel SGX TCB Signing";

/// What verifying collateral rests on.
#[derive(Clone, Copy)]
pub(super) struct Basis<'a> {
    pub(super) anchors: &'a TrustAnchors,
    pub(super) links: &'a Links,
    /// Unix seconds.
    pub(super) now: u64,
}

/// The collateral of a platform's family, each document with its own verdict.
pub(super) struct Endorsed {
    /// Genuine, of this platform's family; whether it is in its time is asked apart.
    pub(super) info: Result<TcbInfo, CollateralError>,
    pub(super) identity: Result<QeIdentity, CollateralError>,
    /// Serial numbers of the certificates that signed the documents.
    pub(super) signers: Vec<Vec<u8>>,
    /// Whether the TCB info says that it is of the platform's family, whoever says it.
    pub(super) of_family: bool,
}

/// Why a document of Intel's says nothing of this platform now. Times in Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollateralError {
    #[error("issuer chain: {0}")]
    Pem(#[from] PemError),
    #[error("issuer chain: {0}")]
    Chain(#[from] ChainError),
    #[error("expected a signer named {TCB_SIGNER} that the root issued, found a chain of {got} certificates")]
    Signer { got: usize },
    #[error("the signature on the document of {len_bytes} bytes does not verify")]
    Signature { len_bytes: usize },
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("expected TCB info of FMSPC {expected}, found {got}")]
    Fmspc { expected: Hex<6>, got: Hex<6> },
    #[error("expected TCB info of PCE-ID {expected}, found {got}")]
    PceId { expected: Hex<2>, got: Hex<2> },
    #[error("issued at {issued}, now is {now}")]
    NotYetIssued { issued: u64, now: u64 },
    #[error("to be replaced by {next_update}, now is {now}")]
    Expired { next_update: u64, now: u64 },
}

impl CollateralError {
    /// The stable name of this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::NotYetIssued { .. }
            | Self::Expired { .. }
            | Self::Chain(ChainError::CertExpired { .. } | ChainError::CertNotYetValid { .. }) => {
                Code::CollateralStale
            }
            _ => Code::CollateralMismatch,
        }
    }
}

impl Endorsed {
    /// Verifies the set for this platform's family, or the first one when none says that it is; `None` without any.
    pub(super) fn of(collateral: &Collateral, pck: &Pck, basis: Basis<'_>) -> Option<Self> {
        let mut read = collateral.tdx.iter().map(|set| (set, TcbInfo::read(set.tcb_info.as_ref())));
        let first = read.next()?;
        let of_family =
            |info: &Result<TcbInfo, DocumentError>| info.as_ref().is_ok_and(|info| info.fmspc.0 == pck.fmspc);
        let (set, info) =
            if of_family(&first.1) { first } else { read.find(|(_, info)| of_family(info)).unwrap_or(first) };
        Some(Self::verify(set, info, pck, basis))
    }

    fn verify(
        set: &TdxCollateral,
        info: Result<TcbInfo, DocumentError>,
        pck: &Pck,
        basis: Basis<'_>,
    ) -> Self {
        let of_family = info.as_ref().is_ok_and(|info| info.fmspc.0 == pck.fmspc);
        let mut signers = Vec::new();
        let mut signed =
            |signer: Result<Signer, CollateralError>, text: &Base64Bytes, signature: &Base64Bytes| {
                let signer = signer?;
                signer.signed(text.as_ref(), signature.as_ref(), basis.links)?;
                signers.push(signer.serial);
                Ok(())
            };
        let of_info = Signer::read(set.tcb_info_issuer_chain.as_ref(), basis);
        // The service sends one chain with both documents: the same bytes have the same verdict.
        let of_identity = match set.qe_identity_issuer_chain == set.tcb_info_issuer_chain {
            true => of_info.clone(),
            false => Signer::read(set.qe_identity_issuer_chain.as_ref(), basis),
        };
        let info = signed(of_info, &set.tcb_info, &set.tcb_info_signature)
            .and_then(|()| Ok(info?))
            .and_then(|info| of_platform(info, pck));
        let identity = signed(of_identity, &set.qe_identity, &set.qe_identity_signature)
            .and_then(|()| Ok(QeIdentity::read(set.qe_identity.as_ref())?));
        Self { info, identity, signers, of_family }
    }

    /// Whether both documents are in their time; a document that is not genuine has none.
    pub(super) fn in_time(&self, now: u64) -> Result<(), CollateralError> {
        if let Ok(info) = &self.info {
            in_time(info.issue_date, info.next_update, now)?;
        }
        if let Ok(identity) = &self.identity {
            in_time(identity.issue_date, identity.next_update, now)?;
        }
        Ok(())
    }

    /// When the older of the two documents was issued.
    pub(super) fn as_of(&self) -> Option<u64> {
        let (info, identity) = (self.info.as_ref().ok()?, self.identity.as_ref().ok()?);
        Some(info.issue_date.min(identity.issue_date).0)
    }

    /// `tcbEvaluationDataNumber`, the lower of the two documents'.
    pub(super) fn evaluation(&self) -> Option<u32> {
        let (info, identity) = (self.info.as_ref().ok()?, self.identity.as_ref().ok()?);
        Some(info.evaluation.min(identity.evaluation))
    }
}

/// Who may sign documents: the key of a certificate under the pinned root, valid at the time of the appraisal.
#[derive(Clone)]
struct Signer {
    serial: Vec<u8>,
    point: Vec<u8>,
    curve: Curve,
}

impl Signer {
    fn read(chain: &[u8], basis: Basis<'_>) -> Result<Self, CollateralError> {
        let certificates = pem::certificates(chain)?;
        let given: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
        let chain = EcChain::verify(&given, basis.anchors.intel(), basis.links)?;
        // Keys of platforms chain to the same root, through an authority of their own.
        let [signer, _root] = chain.certificates() else {
            return Err(CollateralError::Signer { got: chain.certificates().len() });
        };
        if signer.common_name() != Some(TCB_SIGNER) {
            return Err(CollateralError::Signer { got: chain.certificates().len() });
        }
        chain.valid_at(basis.now)?;
        let (serial, point) = (signer.serial().to_vec(), signer.point().to_vec());
        Ok(Self { serial, point, curve: signer.curve() })
    }

    fn signed(&self, text: &[u8], signature: &[u8], links: &Links) -> Result<(), CollateralError> {
        match self.curve.verifies(&self.point, text, signature, Form::Fixed, links) {
            true => Ok(()),
            false => Err(CollateralError::Signature { len_bytes: text.len() }),
        }
    }
}

fn of_platform(info: TcbInfo, pck: &Pck) -> Result<TcbInfo, CollateralError> {
    if info.fmspc.0 != pck.fmspc {
        return Err(CollateralError::Fmspc { expected: pck.fmspc, got: info.fmspc.0 });
    }
    if info.pce_id.0 != pck.pce_id {
        return Err(CollateralError::PceId { expected: pck.pce_id, got: info.pce_id.0 });
    }
    Ok(info)
}

/// Both ends included.
fn in_time(issued: Date, next_update: Date, now: u64) -> Result<(), CollateralError> {
    if now < issued.0 {
        return Err(CollateralError::NotYetIssued { issued: issued.0, now });
    }
    if now > next_update.0 {
        return Err(CollateralError::Expired { next_update: next_update.0, now });
    }
    Ok(())
}
